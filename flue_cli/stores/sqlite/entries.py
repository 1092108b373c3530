"""The rows of entries: a turn as it is recorded, and how it ended.

Each function works inside a transaction of the caller's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from typing import Any

from flue_cli.errors import StoreDamaged
from flue_cli.stores.records import Ask, Entry, Failure, Head, Lease
from flue_cli.stores.rules import INTERRUPTED
from flue_cli.stores.splice import splice
from flue_cli.stores.sqlite import reading, texts
from flue_cli.stores.sqlite.rows import State

_SNAPSHOT_EVERY = 256
_BYTES_A_TURN = 128
_BYTES_MOVED = 2**28


def record(db: sqlite3.Connection, state: State, ask: Ask, data: str, now: int) -> Lease:
    """Insert the running entry after the head; the lease on it.

    Data that has not changed for long gets a snapshot here, or finding it would cost ever more.
    """
    head, turn = state.head, state.head.turn + 1
    snapshot = data if _is_due(data, turn, state.base) else None
    base = state.base if snapshot is None else turn
    checksum = texts.texts_checksum((turn, "prompt", "running", head.messages), ask.key, ask.prompt)
    entry, line = append(
        db,
        state,
        ("prompt", "running", now, 0, checksum),
        (base, texts.data_checksum(data), snapshot or "", ""),
        (ask.key, ask.prompt),
    )
    return Lease(head, state.fence + 1, entry, turn, now, ask.prompt, ask.key, data, line, base)


def append(
    db: sqlite3.Connection,
    state: State,
    what: tuple[str, str, int, int, int],
    data: tuple[int, int, str, str],
    said: tuple[str | None, str],
) -> tuple[int, int]:
    """Insert an entry after the head, on the head's line or on a new one; its id, and its line.

    `what` is (kind, outcome, started_at, finished_at or 0, checksum), `data` (base, checksum, snapshot or
    "", splice or ""), `said` (key, prompt). What was undone before is not touched: see tree.leave_undone.
    """
    head = state.head
    rest = (head.turn + 1, state.entry, head.messages, *what, *data, *said)
    if state.owns_line:
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
) -> None:
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
