"""Queries on a timeline: entries by turn, messages by position, the data after a turn."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any, NamedTuple

from flue_cli.agents.api import Message
from flue_cli.errors import FlueError, SessionChanged, StoreDamaged
from flue_cli.stores.contract_errors import session_changed_error
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.stores.sqlite.entry_codec import (
    ALL_COLUMNS,
    ENTRY_COLUMNS,
    AddedMessages,
    EntryRow,
    StoredData,
    damaged_turn_error,
    decode_entry,
    decode_messages,
    split_columns,
    verify_data,
)
from flue_cli.stores.sqlite.text_delta import apply_deltas

_PAGE_TURNS = 64
_SELECT_SEGMENT = "SELECT {} FROM entry WHERE session = ? AND line = ? AND turn BETWEEN ? AND ? ORDER BY turn"
_SELECT_DATA_CHANGES = """
    SELECT snapshot, splice FROM entry WHERE session = ? AND line = ? AND turn BETWEEN ? AND ?
        AND coalesce(snapshot, splice) IS NOT NULL ORDER BY turn
"""
_SELECT_ENTRIES = _SELECT_SEGMENT.format(ENTRY_COLUMNS)


class Segment(NamedTuple):
    """The turns `first` to `last` of one branch; `session` owns them, this one or its parent."""

    session: int
    branch: int
    first: int
    last: int


def parent_sessions(db: sqlite3.Connection, uid: int) -> list[int]:
    """Return the sessions that an undone fork was forked from, nearest first; none for any other session."""
    uids: list[int] = []
    while row := db.execute("SELECT parent FROM session WHERE uid = ? AND kept", (uid,)).fetchone():
        (uid,) = row
        uids.append(uid)
    return uids


def branch_segments(db: sqlite3.Connection, head: SessionHead, first: int, last: int) -> list[Segment]:
    """Return the segments of the path to `head` that hold turns `first` to `last`, oldest first."""
    path: list[Segment] = []
    owners = {head.uid}
    branch, end = head.branch, head.turn
    while end >= first and end > 0:
        row = db.execute("SELECT session, turn, parent FROM entry WHERE id = ?", (branch,)).fetchone()
        if row is None:
            raise missing_rows_error(db, head, f"entry {branch}")
        session, start, parent = row
        if session not in owners:
            owners.update(parent_sessions(db, head.uid))
            if session not in owners:  # a deleted entry, whose id was used again
                raise missing_rows_error(db, head, f"entry {branch}")
        if start <= last:
            path.append(Segment(session, branch, max(start, first), min(end, last)))
        if start == 1 or parent is None:
            break
        row = db.execute("SELECT line, turn FROM entry WHERE id = ?", (parent,)).fetchone()
        if row is None:
            raise missing_rows_error(db, head, f"entry {parent}")
        branch, end = row
    return path[::-1]


def read_entries(
    db: sqlite3.Connection, head: SessionHead, first: int, last: int, *, with_data: bool
) -> Iterator[Entry]:
    """Yield the entries of turns `first` to `last`, oldest first, read in pages."""
    first, last = max(first, 1), min(last, head.turn)
    if first > last:
        return
    data = data_after_turn(db, head, first - 1) if with_data else ""
    for segment in branch_segments(db, head, first, last):
        for start in range(segment.first, segment.last + 1, _PAGE_TURNS):
            page = segment._replace(first=start, last=min(start + _PAGE_TURNS - 1, segment.last))
            for columns in _segment_rows(db, head, page, ALL_COLUMNS):
                row, stored = split_columns(columns)
                entry = decode_entry(row, head.name)
                if with_data:
                    data = _data_after(data, stored, entry.turn, head.name)
                    entry = entry._replace(data=data)
                yield entry


def head_at_turn(db: sqlite3.Connection, head: SessionHead, turn: int) -> SessionHead:
    """Return the head of `turn`, which is on the branch that ends at `head`."""
    if turn == head.turn:
        return head
    if turn == 0:
        return head._replace(branch=0, turn=0, messages=0, updated_at=head.created_at)
    for segment in branch_segments(db, head, turn, turn):
        ((total, finished),) = _segment_rows(db, head, segment, "total, finished_at")
        return head._replace(
            branch=segment.branch, turn=turn, messages=total, updated_at=finished or head.updated_at
        )
    raise missing_rows_error(db, head, f"turn {turn}")


def head_entry_id(db: sqlite3.Connection, head: SessionHead) -> int:
    """Return the id of the entry that `head` names."""
    for segment in branch_segments(db, head, head.turn, head.turn):
        ((entry,),) = _segment_rows(db, head, segment, "id")
        return int(entry)
    raise missing_rows_error(db, head, f"turn {head.turn}")


def load_entry(db: sqlite3.Connection, entry: int, session: str) -> Entry:
    """Load the entry with that id, without its data."""
    row = db.execute(f"SELECT {ENTRY_COLUMNS} FROM entry WHERE id = ?", (entry,)).fetchone()  # noqa: S608 - our own words
    if row is None:
        raise StoreDamaged(f"entry {entry} of session '{session}' is missing")
    return decode_entry(EntryRow._make(row), session)


def read_messages(db: sqlite3.Connection, head: SessionHead, start: int, stop: int) -> list[Message]:
    """Return the messages at positions `start` to `stop` (exclusive) of the history up to `head`."""
    stop = min(stop, head.messages)
    selected: list[Message] = []
    if start >= stop:
        return selected
    wanted = max(stop - start, 2) // 2 + 1  # turns, if each has a prompt and a reply
    # Most reads are of the newest messages, and most turns were completed: guess the turn from that.
    turn = max(1, head.turn - (head.messages - start + 1) // 2 + 1)
    page = _messages_page(db, head, turn, turn + wanted)
    if not page or not page[0][0] <= start < page[-1][0] + len(page[-1][1]):
        turn = _turn_of_message(db, head, start)
        page = _messages_page(db, head, turn, turn + wanted)
    while True:
        for before, added in page:
            if before < stop:
                selected += added[max(start - before, 0) : stop - before]
        if start + len(selected) == stop:
            return selected
        turn += len(page)
        page = _messages_page(db, head, turn, turn + wanted)
        if not page:
            raise StoreDamaged(f"session '{head.name}' has fewer messages than it counts")


def data_after_turn(db: sqlite3.Connection, head: SessionHead, turn: int) -> str:
    """Return the JSON text of the data after `turn`, on the branch that ends at `head`; 0 is `{}`."""
    if turn == 0:
        return "{}"
    path = branch_segments(db, head, turn, turn)
    if not path:
        raise missing_rows_error(db, head, f"turn {turn}")
    base, checksum = next(_segment_rows(db, head, path[0], "base, data_checksum"))
    return _rebuild_data(db, head, base, turn, checksum)


def missing_rows_error(db: sqlite3.Connection, head: SessionHead, part: str) -> FlueError:
    """Make the error for missing rows: the session changed since `head` was read, or it is damaged."""
    row = db.execute("SELECT version FROM session WHERE uid = ?", (head.uid,)).fetchone()
    if row is None:
        return session_changed_error(head.name)
    if row[0] != head.version:  # undone turns, whose undone fork was deleted
        return SessionChanged(
            f"session '{head.name}' was changed meanwhile: the turns that were seen are gone",
            hint="look at it again: flue sessions show",
        )
    return StoreDamaged(f"session '{head.name}' lacks {part}", hint="restore the store from a backup")


def _rebuild_data(
    db: sqlite3.Connection, head: SessionHead, base: int, turn: int, checksum: int | None
) -> str:
    """Build the data after `turn`: the snapshot of turn `base` (0: the empty start) with the deltas since."""
    text = "{}"
    deltas: list[str] = []
    path = branch_segments(db, head, max(base, 1), turn)
    for segment in path:
        for snapshot, splice in db.execute(_SELECT_DATA_CHANGES, segment).fetchall():
            if snapshot is not None:
                text, deltas = snapshot, []
            else:
                deltas.append(splice)
    try:
        return verify_data(apply_deltas(text, deltas), checksum, turn, head.name)
    except (ValueError, StoreDamaged) as error:
        for segment in path:  # a gap, or a deleted session, is the better error
            _segment_rows(db, head, segment, "id")
        if isinstance(error, StoreDamaged):
            raise
        raise damaged_turn_error(head.name, turn, str(error)) from error


def _messages_page(db: sqlite3.Connection, head: SessionHead, first: int, last: int) -> list[AddedMessages]:
    """Return the messages of turns `first` to `last` on the path to `head`, oldest first."""
    last = min(last, head.turn)
    # Usually all of them are on the head's own branch, and the path need not be read.
    rows = db.execute(_SELECT_ENTRIES, (head.uid, head.branch, first, last)).fetchall()
    if len(rows) != last - first + 1:
        path = branch_segments(db, head, first, last)
        rows = [row for segment in path for row in _segment_rows(db, head, segment, ENTRY_COLUMNS)]
    return [decode_messages(EntryRow._make(row), head.name) for row in rows]


def _segment_rows(
    db: sqlite3.Connection, head: SessionHead, segment: Segment, columns: str
) -> Iterator[tuple[Any, ...]]:
    """Read the rows of a segment, all at once so that no cursor stays open; a gap is an error."""
    rows = db.execute(_SELECT_SEGMENT.format(columns), segment).fetchall()
    if len(rows) != segment.last - segment.first + 1:
        raise missing_rows_error(db, head, f"a turn between {segment.first} and {segment.last}")
    return iter(rows)


def _turn_of_message(db: sqlite3.Connection, head: SessionHead, position: int) -> int:
    """Find the turn with the message at `position`: an exponential, then a binary search from the end."""
    path = branch_segments(db, head, 1, head.turn)

    def total(turn: int) -> int:
        segment = next((segment for segment in path if segment.first <= turn <= segment.last), None)
        if segment is None:
            raise missing_rows_error(db, head, f"turn {turn}")
        ((count,),) = _segment_rows(db, head, segment._replace(first=turn, last=turn), "total")
        return int(count)

    low, high, step = 1, head.turn, 1
    while high - step >= low and total(high - step) > position:
        high -= step
        step *= 2
    low = max(low, high - step)
    while low < high:
        middle = (low + high) // 2
        if total(middle) > position:
            high = middle
        else:
            low = middle + 1
    return low


def _data_after(before: str, stored: StoredData, turn: int, session: str) -> str:
    """Return the data after an entry, given the data before it."""
    if stored.snapshot is not None:
        return verify_data(stored.snapshot, stored.data_checksum, turn, session)
    try:
        after = apply_deltas(before, [stored.splice]) if stored.splice is not None else before
    except ValueError as error:
        raise damaged_turn_error(session, turn, str(error)) from error
    return verify_data(after, stored.data_checksum, turn, session)
