"""Moving along a session's timeline, and adding edits to it.

Each function works inside a transaction of the caller's.
"""

from __future__ import annotations

import sqlite3

from flue_cli import times
from flue_cli.errors import StoreDamaged
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.stores.sqlite import entry_queries, forks
from flue_cli.stores.sqlite.entry_codec import encode_entry
from flue_cli.stores.sqlite.entry_rows import append_entry, snapshot_or_delta
from flue_cli.stores.sqlite.session_rows import SessionRow, mark_used_sql


def redo_head(db: sqlite3.Connection, state: SessionRow) -> SessionHead:
    """The session at the newest turn that was undone; as it stands if none was."""
    if state.tip is None:
        return state.head
    row = db.execute("SELECT line, turn, total FROM entry WHERE id = ?", (state.tip,)).fetchone()
    if row is None:
        raise StoreDamaged(f"what was undone in session '{state.head.name}' is missing")
    line, turn, total = row
    end = state.head._replace(branch=line, turn=turn, messages=total)
    if state.head.turn and not _is_on_branch(db, end, state.head.branch, state.head.turn):
        # A Flue that knows no undo, started before the store was made newer, went on.
        return state.head
    return end


def move_head(db: sqlite3.Connection, state: SessionRow, turn: int) -> SessionHead:
    """Make `turn`, one of the line up to the tip, the newest one."""
    head, end = state.head, redo_head(db, state)
    if turn == head.turn:
        return head
    there = entry_queries.head_at_turn(db, end, turn)
    entry = entry_queries.head_entry_id(db, there) if turn else None
    undone = state.tip or state.entry
    now = times.now()
    db.execute(
        f"UPDATE session SET head = ?, tip = ?, version = version + 1, updated_at = ?{mark_used_sql(state)}"  # noqa: S608 - our own words
        " WHERE uid = ?",
        (entry, undone if turn < end.turn else None, now, head.uid),
    )
    return there._replace(version=head.version + 1, updated_at=now)


def add_edit(db: sqlite3.Connection, state: SessionRow, data: str, before: str) -> SessionHead:
    """Add an entry of kind "edit" that changes the data from `before` to `data`."""
    forks.fork_undone_branch(db, state)
    head, turn, now = state.head, state.head.turn + 1, times.now()
    made = Entry(turn, "edit", "completed", None, "", None, (), now, now, None, {})
    stored = snapshot_or_delta(data, before, turn, state.base)
    entry, line = append_entry(db, state, encode_entry(made, head.messages), stored)
    db.execute(
        f"UPDATE session SET head = ?, version = version + 1, updated_at = ?{mark_used_sql(state)}"  # noqa: S608 - our own words
        " WHERE uid = ?",
        (entry, now, head.uid),
    )
    return head._replace(version=head.version + 1, branch=line, turn=turn, updated_at=now)


def find_completed_key(db: sqlite3.Connection, state: SessionRow, key: str) -> tuple[int, int, int] | None:
    """(id, line, turn) of the turn that `key` completed: one of the session's own, undone or not.

    In an undone fork also one of the sessions that its line begins on, if it lies on that line.
    """
    head = state.head
    for uid in (head.uid, *(entry_queries.parent_sessions(db, head.uid) if state.is_undone_fork else ())):
        row = db.execute(
            "SELECT id, line, turn FROM entry WHERE session = ? AND key = ? AND outcome = 'completed'",
            (uid, key),
        ).fetchone()
        if row and (uid == head.uid or _is_on_branch(db, redo_head(db, state), row[1], row[2])):
            return int(row[0]), int(row[1]), int(row[2])
    return None


def _is_on_branch(db: sqlite3.Connection, end: SessionHead, branch: int, turn: int) -> bool:
    """True if `turn` of the path to `end` is on that line."""
    return any(segment.branch == branch for segment in entry_queries.branch_segments(db, end, turn, turn))
