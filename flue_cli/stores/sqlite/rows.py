"""The rows of sessions and entries: where a session stands, and every change of it.

Each function works inside a transaction of the caller's.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flue_cli.errors import StoreDamaged
from flue_cli.session import Message
from flue_cli.stores.contract import ABSENT, Ask, Entry, Failure, Head, Lease
from flue_cli.stores.rules import INTERRUPTED, let_in, lost, taken
from flue_cli.stores.splice import splice
from flue_cli.stores.sqlite import reading
from flue_cli.stores.sqlite.owner import Term

SNAPSHOT_EVERY = 256
"""How many entries at most are read to find the data after a turn."""


class State(NamedTuple):
    """A session's row: where it stands, and the lease on it.

    `entry` is the id of the head entry, `owns_line` whether the line it lies on is this session's own;
    `is_newest` whether no session was used after it, `is_awaited` whether prompts stand in line for it.
    """

    head: Head
    entry: int | None
    base: int
    data_checksum: int | None
    running: int | None
    fence: int
    owner: str | None
    expires: Term
    since: int
    owns_line: bool
    is_newest: bool
    is_awaited: bool


STATE = """
    SELECT s.uid, s.agent, s.name, s.version, coalesce(e.line, 0), coalesce(e.turn, 0),
           coalesce(e.total, 0), s.created_at, s.updated_at,
           s.head, coalesce(e.base, 0), e.data_checksum, s.running, s.fence, s.owner,
           s.expires_at, s.expires_monotonic,
           (SELECT started_at FROM entry r WHERE r.id = s.running), e.id, e.session,
           s.used = (SELECT max(used) FROM session),
           EXISTS (SELECT 1 FROM waiting w WHERE w.session = s.uid)
    FROM session s LEFT JOIN entry e ON e.id = s.head
"""


def load_state(db: sqlite3.Connection, agent: str, name: str) -> State | None:
    row = db.execute(f"{STATE} WHERE s.agent = ? AND s.name = ?", (agent, name)).fetchone()
    return state_of(row) if row else None


def state_of(row: Sequence[Any]) -> State:
    entry, base, checksum, running, fence, owner, wall, monotonic, since, found, *more = row[9:]
    if entry != found:
        raise StoreDamaged(
            f"the newest turn of session '{row[2]}' is missing", hint="restore the store from a backup"
        )
    expires = Term(wall or 0, monotonic or 0)
    session, newest, awaited = more
    return State(
        head=Head._make(row[:9]),
        entry=entry,
        base=base,
        data_checksum=checksum,
        running=running,
        fence=fence,
        owner=owner,
        expires=expires,
        since=since or 0,
        owns_line=session == row[0],
        is_newest=bool(newest),
        is_awaited=bool(awaited),
    )


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


def record(db: sqlite3.Connection, state: State, ask: Ask, data: str, now: int) -> Lease:
    """Insert the running entry after the head, on the head's line or on a new one; the lease on it.

    Data that has not changed for long gets a snapshot here, or finding it would cost ever more.
    """
    head, turn = state.head, state.head.turn + 1
    snapshot = data if turn - state.base >= SNAPSHOT_EVERY else None
    base = state.base if snapshot is None else turn
    checksum = reading.texts_checksum((turn, "prompt", "running", head.messages), ask.key, ask.prompt)
    rest = (state.entry, head.messages, base, now, checksum, reading.data_checksum(data), snapshot)
    line = head.line if state.owns_line else 0
    entry = 0
    if line:
        try:
            entry = (
                db.execute(_RUNNING, (None, head.uid, line, turn, *rest, ask.key, ask.prompt)).lastrowid or 0
            )
        except sqlite3.IntegrityError:  # the line goes on already: the head was moved back
            line = 0
    if not line:
        (entry,) = db.execute("SELECT coalesce(max(id), 0) + 1 FROM entry").fetchone()
        line = entry
        db.execute(_RUNNING, (entry, head.uid, line, turn, *rest, ask.key, ask.prompt))
    return Lease(head, state.fence + 1, entry, turn, now, ask.prompt, ask.key, data, line, base)


_RUNNING = """
    INSERT INTO entry (id, session, line, turn, parent, total, base, started_at, checksum,
        data_checksum, snapshot, key, prompt, kind, outcome)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 'prompt', 'running')
"""


def take(db: sqlite3.Connection, state: State, lease: Lease, owner: str, expires: Term) -> None:
    """Give the session to the lease's turn; it is the one used last from here on."""
    # An index entry less to write, when it is the newest already.
    used = "" if state.is_newest else ", used = (SELECT max(used) + 1 FROM session)"
    db.execute(
        f"UPDATE session SET fence = ?, owner = ?, expires_at = ?, expires_monotonic = ?, running = ?{used}"  # noqa: S608 - our own words
        " WHERE uid = ?",
        (lease.fence, owner, *expires, lease.entry, lease.head.uid),
    )


def interrupt(db: sqlite3.Connection, state: State, running: int, now: int) -> Entry:
    """Settle the prompt that a crash left unanswered, and free the session; the entry as settled."""
    entry = reading.one_entry(db, running, state.head.name)
    settle(db, running, entry, state.head.messages, "interrupted", INTERRUPTED, {}, now)
    db.execute(
        "UPDATE session SET head = running, running = NULL, owner = NULL, version = version + 1,"
        " updated_at = ? WHERE uid = ?",
        (now, state.head.uid),
    )
    return entry._replace(outcome="interrupted", error=INTERRUPTED, finished_at=now)


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
    return lease.head._replace(
        version=lease.head.version + 1, line=lease.line, turn=lease.turn, messages=total, updated_at=now
    )


def rename(db: sqlite3.Connection, state: State, name: str) -> Head:
    """Give the session another name; SessionExists if its agent has a session of that name."""
    head = state.head
    if name != head.name and load_state(db, head.agent, name):
        raise taken(head.agent, name)
    db.execute("UPDATE session SET name = ? WHERE uid = ?", (name, head.uid))
    return head._replace(name=name)


def settle(
    db: sqlite3.Connection,
    entry: int,
    asked: Lease | Entry,
    total: int,
    outcome: str,
    error: Failure,
    meta: Mapping[str, Any],
    now: int,
) -> None:
    """Write down how the entry with that id ended, if not completed.

    `asked` is what it says so far, `total` the length of the history, which stays.
    """
    meta_text = reading.json_or_none(meta)
    place = (asked.turn, "prompt", outcome, total)
    checksum = reading.texts_checksum(
        place, asked.key, asked.prompt, None, None, error.type, error.message, meta_text
    )
    done = db.execute(
        "UPDATE entry SET outcome = ?, error_type = ?, error_message = ?, meta = ?, checksum = ?,"
        " finished_at = ? WHERE id = ?",
        (outcome, error.type, error.message, meta_text, checksum, now, entry),
    )
    if not done.rowcount:
        raise _gone(asked.turn)


def complete(
    db: sqlite3.Connection,
    lease: Lease,
    head: Head,
    reply: str,
    messages: Sequence[Message],
    data: str,
    meta: Mapping[str, Any],
) -> None:
    """Write down the lease's entry as completed; `head` is the session as it stands then."""
    base, snapshot, change = _change(lease, data)
    between = reading.json_or_none([message.as_dict() for message in messages])
    meta_text = reading.json_or_none(meta)
    place = (lease.turn, "prompt", "completed", head.messages)
    checksum = reading.texts_checksum(place, lease.key, lease.prompt, reply, between, meta=meta_text)
    done = db.execute(
        """
        UPDATE entry SET outcome = 'completed', finished_at = ?, total = ?, base = ?, snapshot = ?,
            splice = ?, data_checksum = ?, messages = ?, reply = ?, meta = ?, checksum = ?
        WHERE id = ?
        """,
        (
            head.updated_at,
            head.messages,
            base,
            snapshot,
            change,
            reading.data_checksum(data),
            between,
            reply,
            meta_text,
            checksum,
            lease.entry,
        ),
    )
    if not done.rowcount:
        raise _gone(lease.turn)


def _gone(turn: int) -> StoreDamaged:
    return StoreDamaged(f"turn {turn}, which is running, is missing", hint="restore the store from a backup")


def _change(lease: Lease, data: str) -> tuple[int, str | None, str | None]:
    """(base, snapshot, splice) for the data after a turn, whichever is smaller in the long run."""
    if lease.base == lease.turn:  # it has its snapshot, made as it began
        return lease.base, data, None
    if data == lease.data:
        return lease.base, None, None
    change = splice(lease.data, data)
    if 2 * len(change) >= len(data):
        return lease.turn, data, None
    return lease.base, None, change


def now_us() -> int:
    """The wall clock, in microseconds since the epoch."""
    return time.time_ns() // 1000
