"""The rows of sessions and entries: where a session stands, and every change of it.

Each function works inside a transaction of the caller's.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from flue_cli.errors import StoreDamaged
from flue_cli.stores.records import (
    ABSENT,
    Ask,
    Entry,
    Failure,
    Head,
    Lease,
)
from flue_cli.stores.rules import INTERRUPTED, let_in, lost
from flue_cli.stores.splice import splice
from flue_cli.stores.sqlite import reading, texts
from flue_cli.stores.sqlite.owner import Term

_SNAPSHOT_EVERY = 256
_BYTES_A_TURN = 128
_BYTES_MOVED = 2**28


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

    @property
    def end(self) -> End:
        """Where the session goes on."""
        return End(self.head, self.entry, self.base, self.fence, self.owns_line)


class End(NamedTuple):
    """Where a session goes on: what the next entry of it is added to. The fields are those of State."""

    head: Head
    entry: int | None
    base: int
    fence: int
    owns_line: bool = True


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


def record(db: sqlite3.Connection, end: End, ask: Ask, data: str, now: int) -> Lease:
    """Insert the running entry after the head; the lease on it.

    Data that has not changed for long gets a snapshot here, or finding it would cost ever more.
    """
    head, turn = end.head, end.head.turn + 1
    snapshot = data if _is_due(data, turn, end.base) else None
    base = end.base if snapshot is None else turn
    checksum = texts.texts_checksum((turn, "prompt", "running", head.messages), ask.key, ask.prompt)
    entry, line = append(
        db,
        end,
        ("prompt", "running", now, 0, checksum),
        (base, texts.data_checksum(data), snapshot or "", ""),
        (ask.key, ask.prompt),
    )
    return Lease(head, end.fence + 1, entry, turn, now, ask.prompt, ask.key, data, line, base)


def append(
    db: sqlite3.Connection,
    end: End,
    what: tuple[str, str, int, int, int],
    data: tuple[int, int, str, str],
    said: tuple[str | None, str],
) -> tuple[int, int]:
    """Insert an entry after the head, on the head's line or on a new one; its id, and its line.

    `what` is (kind, outcome, started_at, finished_at or 0, checksum), `data` (base, checksum, snapshot or
    "", splice or ""), `said` (key, prompt). What was undone before is not touched: see tree.leave_undone.
    """
    head = end.head
    rest = (head.turn + 1, end.entry, head.messages, *what, *data, *said)
    if end.owns_line:
        try:
            done = db.execute(_APPEND, (head.uid, head.line, *rest))
            return done.lastrowid or 0, head.line
        except sqlite3.IntegrityError:  # the line goes on already: the head was moved back
            pass
    (entry,) = db.execute("SELECT coalesce(max(id), 0) + 1 FROM entry").fetchone()
    db.execute(_APPEND_AT, (entry, head.uid, entry, *rest))
    return entry, entry


# nullif, since at every None that is bound sqlite3 looks for an adapter first, here and below.
_COLUMNS = """session, line, turn, parent, total, kind, outcome, started_at, finished_at,
    checksum, base, data_checksum, snapshot, splice, key, prompt"""
_VALUES = "?, ?, ?, ?, ?, ?, ?, ?, nullif(?, 0), ?, ?, ?, nullif(?, ''), nullif(?, ''), ?, ?"
_APPEND = f"INSERT INTO entry ({_COLUMNS}) VALUES ({_VALUES})"  # noqa: S608 - our own words
_APPEND_AT = f"INSERT INTO entry (id, {_COLUMNS}) VALUES (?, {_VALUES})"  # noqa: S608 - our own words


def take(db: sqlite3.Connection, state: State, lease: Lease, owner: str, expires: Term) -> None:
    """Give the session to the lease's turn; it is the one used last from here on."""
    db.execute(
        "UPDATE session SET fence = ?, owner = ?, expires_at = ?, expires_monotonic = ?, running = ?"  # noqa: S608 - our own words
        f"{used(state)} WHERE uid = ?",
        (lease.fence, owner, *expires, lease.entry, lease.head.uid),
    )


def retake(db: sqlite3.Connection, end: End, owner: str, expires: Term) -> bool:
    """Give the session to the turn that is recorded next; False, and nothing is done, unless it is at `end`.

    At `end` means: no turn began since, nothing was changed, not even its name, and nothing undone; nobody
    waits for it, and no other was used since. Nor is it one that came as far in a store made anew: it was
    updated at another time. So one statement does what `load_state` and `take` do.
    """
    head = end.head
    place = head.uid, head.agent, head.name, head.version, end.fence, head.updated_at
    done = db.execute(_RETAKE, (owner, *expires, *place, head.uid))
    return done.rowcount == 1


_RETAKE = """
    UPDATE session SET fence = fence + 1, owner = ?, expires_at = ?, expires_monotonic = ?,
        running = (SELECT max(id) + 1 FROM entry)
    WHERE uid = ? AND agent = ? AND name = ? AND version = ? AND fence = ? AND updated_at = ?
        AND tip IS NULL AND used = (SELECT max(used) FROM session)
        AND NOT EXISTS (SELECT 1 FROM waiting WHERE session = ?)
"""


def used(state: State) -> str:
    """What an UPDATE adds to make the session the one used last: nothing (an index entry less) if it is."""
    return "" if state.is_newest else ", used = (SELECT max(used) + 1 FROM session)"


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
    uid, agent, name, version, _, _, _, created_at, _ = lease.head
    return Head(uid, agent, name, version + 1, lease.line, lease.turn, total, created_at, now)


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
    meta_text = texts.json_or_none(meta)
    place = (asked.turn, "prompt", outcome, total)
    checksum = texts.texts_checksum(
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
    between: str | None,
    data: str,
    meta: Mapping[str, Any],
) -> End:
    """Write down the lease's entry as completed; `head` is the session as it stands then.

    `between` is the JSON text of the messages between prompt and reply.
    """
    base, snapshot, change = change_to(data, lease.data, lease.turn, lease.base)
    meta_text = texts.json_or_none(meta)
    place = (lease.turn, "prompt", "completed", head.messages)
    checksum = texts.texts_checksum(place, lease.key, lease.prompt, reply, between, meta=meta_text)
    done = db.execute(
        """
        UPDATE entry SET outcome = 'completed', finished_at = ?, total = ?, base = ?,
            snapshot = nullif(?, ''), splice = nullif(?, ''), data_checksum = ?,
            messages = nullif(?, ''), reply = ?, meta = ?, checksum = ?
        WHERE id = ?
        """,
        (
            head.updated_at,
            head.messages,
            base,
            snapshot or "",
            change or "",
            texts.data_checksum(data),
            between or "",
            reply,
            meta_text,
            checksum,
            lease.entry,
        ),
    )
    if not done.rowcount:
        raise _gone(lease.turn)
    return End(head, lease.entry, base, lease.fence)


def _gone(turn: int) -> StoreDamaged:
    return StoreDamaged(f"turn {turn}, which is running, is missing", hint="restore the store from a backup")


def change_to(data: str, before: str, turn: int, base: int) -> tuple[int, str | None, str | None]:
    """(base, snapshot, splice) for the data after `turn`, whichever is smaller in the long run.

    `base` is the turn of the last snapshot; that of `turn` itself if it has one already.
    """
    if base == turn or _is_due(data, turn, base):
        return turn, data, None
    if data == before:
        return base, None, None
    change = splice(before, data)
    if 2 * len(change) >= len(data):
        return turn, data, None
    return base, None, change


def _is_due(data: str, turn: int, base: int) -> bool:
    """Whether it is time for a snapshot: `base` is the turn of the last one.

    Every 256 turns, so that few are read to find the data after a turn. Of large data that would be
    most of what a turn adds to the file, so they are further apart; not so far that applying all the
    changes since, each of which moves the text behind it, takes longer than a glance.
    """
    size = len(data) or 1
    return turn - base >= max(_SNAPSHOT_EVERY, min(size // _BYTES_A_TURN, _BYTES_MOVED // size))


def now_us() -> int:
    """The wall clock, in microseconds since the epoch."""
    return time.time_ns() // 1000
