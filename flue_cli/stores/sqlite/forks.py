"""Forks and deletes: undone forks, forks that people make, and imported sessions.

Each function runs in a transaction of its caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable

from flue_cli import times
from flue_cli.stores.contract_errors import session_changed_error, session_exists_error
from flue_cli.stores.records import Entry, ForkOrigin, SessionHead
from flue_cli.stores.rules import check_unique_keys, count_messages, undone_fork_name
from flue_cli.stores.sqlite import entry_queries
from flue_cli.stores.sqlite.entry_codec import EntryRow, StoredData, encode_entry
from flue_cli.stores.sqlite.entry_rows import insert_entry, next_entry_id, snapshot_or_delta
from flue_cli.stores.sqlite.search import fts_index
from flue_cli.stores.sqlite.session_rows import (
    SELECT_SESSION,
    SessionRow,
    load_session,
    load_session_by_uid,
    parse_session_row,
)

_COPIED = ", ".join(name for name in EntryRow._fields + StoredData._fields if name != "turn")
"""The columns that the copy of an entry on another branch shares."""


def fork_undone_branch(db: sqlite3.Connection, state: SessionRow) -> str:
    """Turn the undone branch, if there is one, into an undone fork, before an entry is added.

    Returns the fork's name, "" if nothing was undone. Its last use is the time of its last turn.
    """
    if state.tip is None:
        return ""
    head = state.head
    name = _next_undone_fork_name(db, head.agent, head.name)
    db.execute(
        """
        INSERT INTO session (agent, name, created_at, updated_at, used, head,
            parent, parent_name, parent_turn, kept, agent_origins)
        SELECT agent, ?, ?, coalesce((SELECT finished_at FROM entry WHERE id = tip), updated_at), used, tip,
            uid, name, ?, 1, agent_origins
        FROM session WHERE uid = ?
        """,
        (name, times.now(), head.turn, head.uid),
    )
    db.execute(
        "UPDATE session SET tip = NULL, used = (SELECT max(used) + 1 FROM session) WHERE uid = ?", (head.uid,)
    )
    return name


def copy_branch(db: sqlite3.Connection, head: SessionHead, name: str) -> SessionHead:
    """Make a session from a copy of the branch up to `head`."""
    row = db.execute("SELECT name, agent_origins FROM session WHERE uid = ?", (head.uid,)).fetchone()
    if row is None:
        raise session_changed_error(head.name)
    made = _insert_empty_session(db, head.agent, name, ForkOrigin(head.uid, row[0], head.turn), row[1])
    if not head.turn:
        return made
    first = next_entry_id(db)
    for segment in entry_queries.branch_segments(db, head, 1, head.turn):
        done = db.execute(
            f"""
            INSERT INTO entry (id, session, line, turn, parent, {_COPIED})
            SELECT :first + turn - 1, :uid, :first, turn, nullif(:first + turn - 2, :first - 1), {_COPIED}
            FROM entry WHERE session = :session AND line = :line AND turn BETWEEN :low AND :high
            """,  # noqa: S608 - our own words
            {"first": first, "uid": made.uid, "session": segment.session, "line": segment.branch,
             "low": segment.first, "high": segment.last},
        )  # fmt: skip
        if done.rowcount != segment.last - segment.first + 1:
            raise entry_queries.missing_rows_error(
                db, head, f"a turn between {segment.first} and {segment.last}"
            )
    db.execute("UPDATE session SET head = ? WHERE uid = ?", (first + head.turn - 1, made.uid))
    return made._replace(branch=first, turn=head.turn, messages=head.messages)


def insert_session(
    db: sqlite3.Connection, agent: str, name: str, entries: Iterable[Entry], origin: ForkOrigin | None
) -> SessionHead:
    """Make a session from settled entries, numbered from 1."""
    made = _insert_empty_session(db, agent, name, origin)
    first = next_entry_id(db)
    branch = made._replace(branch=first)
    turn, total, base, before, parent = 0, 0, 0, "{}", None
    for turn, entry in enumerate(check_unique_keys(entries), 1):
        total += count_messages(entry)
        stored = snapshot_or_delta(entry.data, before, turn, base)
        row = encode_entry(entry._replace(turn=turn), total)
        insert_entry(db, first + turn - 1, branch, parent, row, stored)
        base, before, parent = stored.base, entry.data, first + turn - 1
    if not turn:
        return made
    db.execute("UPDATE session SET head = ? WHERE uid = ?", (parent, made.uid))
    return branch._replace(turn=turn, messages=total)


def _insert_empty_session(
    db: sqlite3.Connection,
    agent: str,
    name: str,
    origin: ForkOrigin | None,
    agent_origins: str | None = None,
) -> SessionHead:
    """Insert a session without entries; SessionExists if the name is taken."""
    if load_session(db, agent, name):
        raise session_exists_error(agent, name)
    now = times.now()
    parent = (origin.uid, origin.name, origin.turn) if origin else (None, None, None)
    uid = db.execute(
        "INSERT INTO session"
        " (agent, name, created_at, updated_at, used, parent, parent_name, parent_turn, agent_origins)"
        " VALUES (?, ?, ?, ?, (SELECT coalesce(max(used), 0) + 1 FROM session), ?, ?, ?, ?)",
        (agent, name, now, now, *parent, agent_origins),
    ).lastrowid
    return SessionHead(uid or 0, agent, name, created_at=now, updated_at=now)


def fork_origin(db: sqlite3.Connection, uid: int) -> ForkOrigin | None:
    """Return the origin of a fork; None for any other session."""
    row = db.execute(
        "SELECT parent, parent_name, parent_turn, kept FROM session WHERE uid = ? AND parent IS NOT NULL",
        (uid,),
    ).fetchone()
    return ForkOrigin(row[0], row[1], row[2], bool(row[3])) if row else None


def load_undone_forks(db: sqlite3.Connection, uid: int) -> list[SessionRow]:
    """Load the undone forks of a session, and their undone forks."""
    rows = db.execute(f"{SELECT_SESSION} WHERE s.parent = ? AND s.kept ORDER BY s.uid", (uid,)).fetchall()
    return [fork for row in rows for fork in (parse_session_row(row), *load_undone_forks(db, row[0]))]


def rename_session(db: sqlite3.Connection, head: SessionHead, agent: str, name: str) -> SessionHead:
    """Give the session and its undone forks this agent and name; SessionExists if the name is taken."""
    if (agent, name) == (head.agent, head.name):
        return head
    if load_session(db, agent, name):
        raise session_exists_error(agent, name)
    db.execute(
        "UPDATE session SET agent = :agent, name = :name,"
        " agent_origins = CASE WHEN agent = :agent THEN agent_origins END WHERE uid = :uid",
        {"agent": agent, "name": name, "uid": head.uid},
    )
    db.execute("UPDATE session SET parent_name = ? WHERE parent = ?", (name, head.uid))
    forks = db.execute(
        "SELECT uid FROM session WHERE parent = ? AND kept ORDER BY uid", (head.uid,)
    ).fetchall()
    for (uid,) in forks:
        (old,) = db.execute("SELECT name FROM session WHERE uid = ?", (uid,)).fetchone()
        rename_session(db, SessionHead(uid, head.agent, old), agent, _next_undone_fork_name(db, agent, name))
    return head._replace(agent=agent, name=name)


def delete_session(db: sqlite3.Connection, state: SessionRow) -> None:
    """Delete a session and its undone forks, and the entries of its parent that no other session reaches."""
    root = _root_session(db, state.head.uid)
    for session in (*reversed(load_undone_forks(db, state.head.uid)), state):
        fts_index.delete_entries(db, "session = ?", (session.head.uid,))
        db.execute("DELETE FROM session WHERE uid = ?", (session.head.uid,))
    if root != state.head.uid:
        _delete_unreached_entries(db, root)
    fts_index.clamp_upto(db)


def _root_session(db: sqlite3.Connection, uid: int) -> int:
    return [uid, *entry_queries.parent_sessions(db, uid)][-1]


def _delete_unreached_entries(db: sqlite3.Connection, root: int) -> None:
    """Delete the entries of a session and its undone forks that none of them reaches."""
    session = load_session_by_uid(db, root)
    family = [*([session] if session else []), *load_undone_forks(db, root)]
    reached: dict[int, int] = {}
    for state in family:
        for entry in (state.entry, state.tip, state.running):
            place = db.execute("SELECT line, turn FROM entry WHERE id = ?", (entry,)).fetchone()
            if place:
                end = state.head._replace(branch=place[0], turn=place[1])
                for segment in entry_queries.branch_segments(db, end, 1, end.turn):
                    reached[segment.branch] = max(reached.get(segment.branch, 0), segment.last)
    for state in family:
        lines = db.execute(
            "SELECT line, max(turn) FROM entry WHERE session = ? GROUP BY line", (state.head.uid,)
        ).fetchall()
        for line, last in lines:
            if last > reached.get(line, 0):
                unreached = "session = ? AND line = ? AND turn > ?"
                values = (state.head.uid, line, reached.get(line, 0))
                fts_index.delete_entries(db, unreached, values)
                db.execute(f"DELETE FROM entry WHERE {unreached}", values)  # noqa: S608 - our own words


def _next_undone_fork_name(db: sqlite3.Connection, agent: str, name: str) -> str:
    names = db.execute("SELECT name FROM session WHERE agent = ?", (agent,))
    return undone_fork_name(name, (other for (other,) in names))
