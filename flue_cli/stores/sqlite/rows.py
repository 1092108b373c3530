"""The rows of sessions: where each stands, and the lease on it.

Each function works inside a transaction of the caller's.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from flue_cli.errors import StoreDamaged
from flue_cli.stores.records import ABSENT, Ask, Head, Lease
from flue_cli.stores.rules import let_in, lost
from flue_cli.stores.sqlite.owner import Term


class State(NamedTuple):
    """A session's row: where it stands, and the lease on it.

    `entry` is the id of the head entry, `base` the turn of the last snapshot of its data, `tip` the id of
    the newest entry that was undone. `running` is the id of the entry that runs; `fence`, `owner`, `wall`
    and `monotonic` (the ends of its lease) and `since` (when it began) are those of the turn that runs, or
    ran last. `owns_line` tells whether the line the head lies on is this session's own, `is_kept` whether
    undoing made the session, `is_newest` whether no session was used after it, `is_awaited` whether prompts
    stand in line for it.
    """

    head: Head
    entry: int | None
    base: int
    running: int | None
    fence: int
    owner: str | None
    wall: int
    monotonic: int
    since: int
    owns_line: bool
    is_newest: bool
    is_awaited: bool
    tip: int | None
    is_kept: bool

    @property
    def expires(self) -> Term:
        """When the lease ends."""
        return Term(self.wall, self.monotonic)


# No more columns than that: sqlite3 describes each anew at every execute, which costs more than reading it.
STATE = """
    SELECT s.uid, s.agent, s.name, s.version, coalesce(e.line, 0), coalesce(e.turn, 0),
           coalesce(e.total, 0), s.created_at, s.updated_at,
           s.head, coalesce(e.base, 0), s.running, s.fence, s.owner,
           coalesce(s.expires_at, 0), coalesce(s.expires_monotonic, 0),
           coalesce((SELECT started_at FROM entry r WHERE r.id = s.running), 0), e.session IS s.uid,
           s.used = (SELECT max(used) FROM session),
           EXISTS (SELECT 1 FROM waiting w WHERE w.session = s.uid), s.tip, s.kept
    FROM session s LEFT JOIN entry e ON e.id = s.head
"""
_BY_NAME = f"{STATE} WHERE s.agent = ? AND s.name = ?"


def load_state(db: sqlite3.Connection, agent: str, name: str) -> State | None:
    row = db.execute(_BY_NAME, (agent, name)).fetchone()
    return state_of(row) if row else None


def state_of(row: Sequence[Any]) -> State:
    """The state in a row of STATE."""
    state = State._make((Head._make(row[:9]), *row[9:]))
    if state.entry is not None and not state.head.turn:
        raise StoreDamaged(
            f"the newest turn of session '{state.head.name}' is missing",
            hint="restore the store from a backup",
        )
    return state


def admit(db: sqlite3.Connection, state: State | None, ask: Ask, uid: int) -> State:
    """The session's row, made if it may be; whatever forbids the prompt is raised."""
    let_in(ask, uid, state.head.uid if state else ABSENT)
    if state is None:
        now = now_us()
        db.execute(
            "INSERT INTO session (agent, name, created_at, updated_at, used)"
            " VALUES (?, ?, ?, ?, (SELECT coalesce(max(used), 0) + 1 FROM session))",
            (ask.agent, ask.name, now, now),
        )
        state = load_state(db, ask.agent, ask.name)
        assert state is not None  # noqa: S101 - inserted one statement ago
    return state


def take(db: sqlite3.Connection, state: State, lease: Lease, owner: str, expires: Term) -> None:
    """Give the session to the lease's turn; it is the one used last from here on."""
    db.execute(
        "UPDATE session SET fence = ?, owner = ?, expires_at = ?, expires_monotonic = ?, running = ?"  # noqa: S608 - our own words
        f"{used(state)} WHERE uid = ?",
        (lease.fence, owner, *expires, lease.entry, lease.head.uid),
    )


def used(state: State) -> str:
    """What an UPDATE adds to make the session the one used last: nothing (an index entry less) if it is."""
    return "" if state.is_newest else ", used = (SELECT max(used) + 1 FROM session)"


def release(db: sqlite3.Connection, lease: Lease, total: int) -> Head:
    """Move the head to the lease's entry and free the session; LeaseLost unless both guards hold."""
    now = now_us()
    done = db.execute(
        "UPDATE session SET head = running, running = NULL, owner = NULL, version = version + 1,"
        " updated_at = ? WHERE uid = ? AND fence = ? AND version = ? AND running = ?",
        (now, lease.head.uid, lease.fence, lease.head.version, lease.entry),
    )
    if not done.rowcount:
        raise lost(lease)
    uid, agent, name, version, _, _, _, created_at, _ = lease.head
    return Head(uid, agent, name, version + 1, lease.line, lease.turn, total, created_at, now)


def now_us() -> int:
    """The wall clock, in microseconds since the epoch."""
    return time.time_ns() // 1000
