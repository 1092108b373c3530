"""The rows of the table `entry`: a turn is inserted as running, and updated when it ends.

Each function runs in a transaction of its caller, or needs none.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from flue_cli.errors import StoreDamaged
from flue_cli.stores.records import Entry, Lease, SessionHead, TurnRequest
from flue_cli.stores.rules import INTERRUPTED
from flue_cli.stores.sqlite import entry_queries
from flue_cli.stores.sqlite.entry_codec import (
    SETTLED_COLUMNS,
    EntryRow,
    StoredData,
    data_checksum,
    encode_entry,
)
from flue_cli.stores.sqlite.session_rows import SessionRow
from flue_cli.stores.sqlite.text_delta import make_delta

_SNAPSHOT_TURNS = 256
_SNAPSHOT_BYTES_PER_TURN = 128
_MAX_BYTES_MOVED = 2**28


def _insert_sql(columns: Iterable[str]) -> str:
    names = tuple(columns)
    places = ", ".join("?" for _ in names)
    return f"INSERT INTO entry ({', '.join(names)}) VALUES ({places})"  # noqa: S608 - our own words


def _update_sql(columns: Iterable[str]) -> str:
    return f"UPDATE entry SET {', '.join(f'{name} = :{name}' for name in columns)} WHERE id = :id"  # noqa: S608 - our own words


_COLUMNS = ("session", "line", "parent", *EntryRow._fields, *StoredData._fields)
_INSERT_ENTRY = _insert_sql(_COLUMNS)
_INSERT_ENTRY_WITH_ID = _insert_sql(("id", *_COLUMNS))
_SETTLE_ENTRY = _update_sql(SETTLED_COLUMNS)
_SETTLE_ENTRY_AND_DATA = _update_sql(SETTLED_COLUMNS + StoredData._fields)


def insert_running_entry(
    db: sqlite3.Connection, state: SessionRow, request: TurnRequest, data: str, now: int
) -> Lease:
    """Insert the running entry after the head; return its lease.

    It gets a snapshot of the data if one is due: data that never changes would else be ever further away.
    """
    head, turn = state.head, state.head.turn + 1
    is_due = _is_snapshot_due(data, turn, state.base)
    stored = StoredData(turn if is_due else state.base, data_checksum(data), data if is_due else None, None)
    lease = Lease(head, state.fence + 1, 0, turn, now, request.prompt, request.key, data, base=stored.base)
    entry, line = append_entry(db, state, encode_entry(running_entry(lease), head.messages), stored)
    return lease._replace(entry=entry, branch=line)


def running_entry(lease: Lease) -> Entry:
    """Return the entry of a lease's turn while it runs."""
    return Entry(
        lease.turn, "prompt", "running", lease.key, lease.prompt, None, (), lease.started_at, None, None, {}
    )


def append_entry(
    db: sqlite3.Connection, state: SessionRow, row: EntryRow, stored: StoredData
) -> tuple[int, int]:
    """Insert an entry after the head, on its branch or on a new one; return the ids of entry and branch."""
    head = state.head
    if state.owns_branch:
        try:
            done = db.execute(_INSERT_ENTRY, (head.uid, head.branch, state.entry, *row, *stored))
            return done.lastrowid or 0, head.branch
        except sqlite3.IntegrityError:  # the branch goes on behind the head, which was moved back
            pass
    entry = next_entry_id(db)
    insert_entry(db, entry, head._replace(branch=entry), state.entry, row, stored)
    return entry, entry


def insert_entry(
    db: sqlite3.Connection,
    entry: int,
    head: SessionHead,
    parent: int | None,
    row: EntryRow,
    stored: StoredData,
) -> None:
    """Insert an entry with that id after `parent`, on the branch of `head`."""
    # By position: an import inserts thousands, and naming every value would take as long again.
    db.execute(_INSERT_ENTRY_WITH_ID, (entry, head.uid, head.branch, parent, *row, *stored))


def next_entry_id(db: sqlite3.Connection) -> int:
    """Return the id for the next entry."""
    (entry,) = db.execute("SELECT coalesce(max(id), 0) + 1 FROM entry").fetchone()
    return int(entry)


def settle_interrupted_entry(db: sqlite3.Connection, state: SessionRow, running: int, now: int) -> Entry:
    """Settle the prompt that a crash left behind, and end its lease; return the settled entry."""
    entry = entry_queries.load_entry(db, running, state.head.name)
    settled = entry._replace(outcome="interrupted", error=INTERRUPTED, finished_at=now)
    settle_entry(db, running, encode_entry(settled, state.head.messages))
    db.execute(
        "UPDATE session SET head = running, running = NULL, owner = NULL, version = version + 1,"
        " updated_at = ? WHERE uid = ?",
        (now, state.head.uid),
    )
    return settled


def settle_entry(db: sqlite3.Connection, entry: int, row: EntryRow, stored: StoredData | None = None) -> None:
    """Update the row of the entry with that id at the end of its turn; without `stored`, its data stays."""
    values = {**row._asdict(), **(stored._asdict() if stored else {}), "id": entry}
    done = db.execute(_SETTLE_ENTRY_AND_DATA if stored else _SETTLE_ENTRY, values)
    if not done.rowcount:
        raise StoreDamaged(
            f"turn {row.turn}, which is running, is missing", hint="restore the store from a backup"
        )


def snapshot_or_delta(data: str, before: str, turn: int, base: int) -> StoredData:
    """Choose the smaller form in which to store the data after `turn`; `before` is the data before it.

    `base` is the turn of the last snapshot, which may be `turn` itself.
    """
    checksum = data_checksum(data)
    if base == turn or _is_snapshot_due(data, turn, base):
        return StoredData(turn, checksum, data, None)
    if data == before:
        return StoredData(base, checksum, None, None)
    delta = make_delta(before, data)
    if 2 * len(delta) >= len(data):
        return StoredData(turn, checksum, data, None)
    return StoredData(base, checksum, None, delta)


def _is_snapshot_due(data: str, turn: int, base: int) -> bool:
    """True if a snapshot is due; `base` is the turn of the last one."""
    # Every 256 turns, so that few rows are read to build the data. Snapshots of large data would be most of
    # the file, so they are further apart; but not so far that applying all deltas since, each of which moves
    # the text behind it, takes long.
    size = len(data) or 1
    return turn - base >= max(
        _SNAPSHOT_TURNS, min(size // _SNAPSHOT_BYTES_PER_TURN, _MAX_BYTES_MOVED // size)
    )
