"""Undo, redo and edits of the data on a session's timeline.

Each function runs in a transaction of its caller.
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
    """Return the head at the newest undone turn; the present head if none was undone."""
    if state.tip is None:
        return state.head
    row = db.execute("SELECT line, turn, total FROM entry WHERE id = ?", (state.tip,)).fetchone()
    if row is None:
        raise StoreDamaged(f"the undone turns of session '{state.head.name}' are missing")
    branch, turn, total = row
    end = state.head._replace(branch=branch, turn=turn, messages=total)
    if state.head.turn and not _is_on_branch(db, end, state.head.branch, state.head.turn):
        # A Flue that knows no undo, started before the store was migrated, added entries.
        return state.head
    return end


def move_head(db: sqlite3.Connection, state: SessionRow, turn: int) -> SessionHead:
    """Make `turn`, on the branch up to the tip, the head."""
    head, end = state.head, redo_head(db, state)
    if turn == head.turn:
        return head
    target = entry_queries.head_at_turn(db, end, turn)
    entry = entry_queries.head_entry_id(db, target) if turn else None
    undone = state.tip or state.entry
    now = times.now()
    db.execute(
        f"UPDATE session SET head = ?, tip = ?, version = version + 1, updated_at = ?{mark_used_sql(state)}"  # noqa: S608 - our own words
        " WHERE uid = ?",
        (entry, undone if turn < end.turn else None, now, head.uid),
    )
    return target._replace(version=head.version + 1, updated_at=now)


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
    """Return (id, branch, turn) of the turn of this session that `key` completed, undone or not.

    For an undone fork, also one of its parents' turns if it is on the fork's branch.
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
    """True if `turn` of the path to `end` is on that branch."""
    return any(segment.branch == branch for segment in entry_queries.branch_segments(db, end, turn, turn))
