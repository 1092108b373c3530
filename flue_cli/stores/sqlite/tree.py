"""Moving along a timeline, branching off it, and cutting branches that nobody can reach any more.

Each function works inside a transaction of the caller's.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from typing import Any

from flue_cli.errors import StoreDamaged
from flue_cli.stores.records import Entry, Head, Origin
from flue_cli.stores.rules import changed, history_of, kept_name, one_turn_a_key, taken
from flue_cli.stores.sqlite import reading, texts, words
from flue_cli.stores.sqlite.entries import append, change_to
from flue_cli.stores.sqlite.rows import STATE, State, load_state, now_us, state_of, used


def tip(db: sqlite3.Connection, state: State) -> Head:
    """The session as of the newest turn that was undone; as it stands if none was."""
    if state.tip is None:
        return state.head
    row = db.execute("SELECT line, turn, total FROM entry WHERE id = ?", (state.tip,)).fetchone()
    if row is None:
        raise StoreDamaged(f"what was undone in session '{state.head.name}' is missing")
    line, turn, total = row
    end = state.head._replace(line=line, turn=turn, messages=total)
    if state.head.turn and not _lies_on(db, end, state.head.line, state.head.turn):
        return state.head  # a Flue that knows no undo, started before the store was made newer, went on
    return end


def move(db: sqlite3.Connection, state: State, turn: int) -> Head:
    """Make `turn`, one of the line up to the tip, the newest one."""
    head, end = state.head, tip(db, state)
    if turn == head.turn:
        return head
    there = reading.at(db, end, turn)
    entry = reading.entry_id(db, there) if turn else None
    undone = state.tip or state.entry
    now = now_us()
    db.execute(
        f"UPDATE session SET head = ?, tip = ?, version = version + 1, updated_at = ?{used(state)}"  # noqa: S608 - our own words
        " WHERE uid = ?",
        (entry, undone if turn < end.turn else None, now, head.uid),
    )
    return there._replace(version=head.version + 1, updated_at=now)


def leave_undone(db: sqlite3.Connection, state: State) -> None:
    """Before something is added: what was undone becomes a kept fork, last used when it was left."""
    if state.tip is None:
        return
    head = state.head
    db.execute(
        """
        INSERT INTO session (agent, name, created_at, updated_at, used, head,
            parent, parent_name, parent_turn, kept)
        SELECT agent, ?, ?, coalesce((SELECT finished_at FROM entry WHERE id = tip), updated_at), used, tip,
            uid, name, ?, 1
        FROM session WHERE uid = ?
        """,
        (_kept_name(db, head.agent, head.name), now_us(), head.turn, head.uid),
    )
    db.execute(
        "UPDATE session SET tip = NULL, used = (SELECT max(used) + 1 FROM session) WHERE uid = ?", (head.uid,)
    )


def edit(db: sqlite3.Connection, state: State, data: str, before: str) -> Head:
    """Add an entry of kind "edit" that changes the data from `before` to `data`."""
    leave_undone(db, state)
    head, turn, now = state.head, state.head.turn + 1, now_us()
    base, snapshot, splice = change_to(data, before, turn, state.base)
    checksum = texts.texts_checksum((turn, "edit", "completed", head.messages), None, "")
    entry, line = append(
        db,
        state,
        ("edit", "completed", now, now, checksum),
        (base, texts.data_checksum(data), snapshot or "", splice or ""),
        (None, ""),
    )
    db.execute(
        f"UPDATE session SET head = ?, version = version + 1, updated_at = ?{used(state)} WHERE uid = ?",  # noqa: S608 - our own words
        (entry, now, head.uid),
    )
    return head._replace(version=head.version + 1, line=line, turn=turn, updated_at=now)


def fork(db: sqlite3.Connection, head: Head, name: str) -> Head:
    """An independent copy of the line up to `head`, in one line of its own."""
    row = db.execute("SELECT name FROM session WHERE uid = ?", (head.uid,)).fetchone()
    if row is None:
        raise changed(head.name)
    made = _new_session(db, head.agent, name, Origin(head.uid, row[0], head.turn))
    if not head.turn:
        return made
    (first,) = db.execute("SELECT coalesce(max(id), 0) + 1 FROM entry").fetchone()
    for segment in reading.segments(db, head, 1, head.turn):
        done = db.execute(
            f"""
            INSERT INTO entry (id, session, line, turn, parent, {_COPIED})
            SELECT :first + turn - 1, :uid, :first, turn, nullif(:first + turn - 2, :first - 1), {_COPIED}
            FROM entry WHERE session = :session AND line = :line AND turn BETWEEN :low AND :high
            """,  # noqa: S608 - our own words
            {"first": first, "uid": made.uid, "session": segment.session, "line": segment.line,
             "low": segment.first, "high": segment.last},
        )  # fmt: skip
        if done.rowcount != segment.last - segment.first + 1:
            raise reading.missing(db, head, f"a turn between {segment.first} and {segment.last}")
    db.execute("UPDATE session SET head = ? WHERE uid = ?", (first + head.turn - 1, made.uid))
    return made._replace(line=first, turn=head.turn, messages=head.messages)


_COPIED = (
    "total, base, kind, outcome, started_at, finished_at, checksum, data_checksum, snapshot, splice, key,"
    " error_type, error_message, meta, messages, prompt, reply"
)


def bring(
    db: sqlite3.Connection, agent: str, name: str, entries: Iterable[Entry], origin: Origin | None
) -> Head:
    """A new session of settled entries, numbered anew."""
    made = _new_session(db, agent, name, origin)
    (first,) = db.execute("SELECT coalesce(max(id), 0) + 1 FROM entry").fetchone()
    turn, total, base, before = 0, 0, 0, "{}"
    for turn, entry in enumerate(one_turn_a_key(entries), 1):
        total += len(history_of(entry))
        base, snapshot, splice = change_to(entry.data, before, turn, base)
        before = entry.data
        db.execute(
            f"INSERT INTO entry (id, session, line, turn, parent, {_COPIED})"  # noqa: S608 - our own words
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                *(first + turn - 1, made.uid, first, turn, first + turn - 2 if turn > 1 else None),
                *(total, base, *_settled(entry, turn, total, snapshot, splice)),
            ),
        )
    if not turn:
        return made
    db.execute("UPDATE session SET head = ? WHERE uid = ?", (first + turn - 1, made.uid))
    return made._replace(line=first, turn=turn, messages=total)


def _settled(
    entry: Entry, turn: int, total: int, snapshot: str | None, splice: str | None
) -> tuple[Any, ...]:
    """The columns of _COPIED after total and base."""
    error_type, error_message = entry.error or (None, None)
    meta = texts.json_or_none(entry.meta)
    between = texts.json_or_none([message.as_dict() for message in entry.messages])
    checksum = texts.texts_checksum(
        (turn, entry.kind, entry.outcome, total),
        *(entry.key, entry.prompt, entry.reply, between, error_type, error_message, meta),
    )
    return (
        *(entry.kind, entry.outcome, entry.started_at, entry.finished_at, checksum),
        *(texts.data_checksum(entry.data), snapshot, splice, entry.key),
        *(error_type, error_message, meta, between, entry.prompt, entry.reply),
    )


def _new_session(db: sqlite3.Connection, agent: str, name: str, origin: Origin | None) -> Head:
    """An empty session; SessionExists."""
    if load_state(db, agent, name):
        raise taken(agent, name)
    now = now_us()
    parent = (origin.uid, origin.name, origin.turn) if origin else (None, None, None)
    uid = db.execute(
        "INSERT INTO session (agent, name, created_at, updated_at, used, parent, parent_name, parent_turn)"
        " VALUES (?, ?, ?, ?, (SELECT coalesce(max(used), 0) + 1 FROM session), ?, ?, ?)",
        (agent, name, now, now, *parent),
    ).lastrowid
    return Head(uid or 0, agent, name, created_at=now, updated_at=now)


def origin(db: sqlite3.Connection, uid: int) -> Origin | None:
    """What a session was forked from."""
    row = db.execute(
        "SELECT parent, parent_name, parent_turn, kept FROM session WHERE uid = ? AND parent IS NOT NULL",
        (uid,),
    ).fetchone()
    return Origin(row[0], row[1], row[2], bool(row[3])) if row else None


def kept(db: sqlite3.Connection, uid: int) -> list[State]:
    """The forks kept of a session, and of those in turn."""
    rows = db.execute(f"{STATE} WHERE s.parent = ? AND s.kept ORDER BY s.uid", (uid,)).fetchall()
    return [found for row in rows for found in (state_of(row), *kept(db, row[0]))]


def rename(db: sqlite3.Connection, head: Head, name: str) -> Head:
    """Give the session another name, and its kept forks; SessionExists if its agent has one of that name."""
    if name == head.name:
        return head
    if load_state(db, head.agent, name):
        raise taken(head.agent, name)
    db.execute("UPDATE session SET name = ? WHERE uid = ?", (name, head.uid))
    db.execute("UPDATE session SET parent_name = ? WHERE parent = ?", (name, head.uid))
    forks = db.execute(
        "SELECT uid FROM session WHERE parent = ? AND kept ORDER BY uid", (head.uid,)
    ).fetchall()
    for (uid,) in forks:
        (old,) = db.execute("SELECT name FROM session WHERE uid = ?", (uid,)).fetchone()
        rename(db, Head(uid, head.agent, old), _kept_name(db, head.agent, name))
    return head._replace(name=name)


def delete(db: sqlite3.Connection, state: State) -> None:
    """Remove a session and its kept forks, and what only they could reach of the session they came from."""
    root = _root(db, state.head.uid)
    for one in (*reversed(kept(db, state.head.uid)), state):
        words.forget(db, "session = ?", (one.head.uid,))
        db.execute("DELETE FROM session WHERE uid = ?", (one.head.uid,))
    if root != state.head.uid:
        _prune(db, root)
    words.end_with(db)


def completed(db: sqlite3.Connection, state: State, key: str) -> tuple[int, int, int] | None:
    """(id, line, turn) of the turn that `key` completed: one of the session's own, undone or not.

    In a kept fork also one of the sessions that its line begins on, if it lies on that line.
    """
    head = state.head
    for uid in (head.uid, *(reading.ancestors(db, head.uid) if state.is_kept else ())):
        row = db.execute(
            "SELECT id, line, turn FROM entry WHERE session = ? AND key = ? AND outcome = 'completed'",
            (uid, key),
        ).fetchone()
        if row and (uid == head.uid or _lies_on(db, tip(db, state), row[1], row[2])):
            return int(row[0]), int(row[1]), int(row[2])
    return None


def _lies_on(db: sqlite3.Connection, end: Head, line: int, turn: int) -> bool:
    return any(segment.line == line for segment in reading.segments(db, end, turn, turn))


def _root(db: sqlite3.Connection, uid: int) -> int:
    return [uid, *reading.ancestors(db, uid)][-1]


def _prune(db: sqlite3.Connection, root: int) -> None:
    """Remove the entries of a session and its kept forks that none of them reaches any more."""
    (row,) = db.execute(f"{STATE} WHERE s.uid = ?", (root,)).fetchall()
    family = [state_of(row), *kept(db, root)]
    reached: dict[int, int] = {}
    for state in family:
        for entry in (state.entry, state.tip, state.running):
            place = db.execute("SELECT line, turn FROM entry WHERE id = ?", (entry,)).fetchone()
            if place:
                end = state.head._replace(line=place[0], turn=place[1])
                for segment in reading.segments(db, end, 1, end.turn):
                    reached[segment.line] = max(reached.get(segment.line, 0), segment.last)
    for state in family:
        lines = db.execute(
            "SELECT line, max(turn) FROM entry WHERE session = ? GROUP BY line", (state.head.uid,)
        ).fetchall()
        for line, last in lines:
            if last > reached.get(line, 0):
                unreached = "session = ? AND line = ? AND turn > ?"
                values = (state.head.uid, line, reached.get(line, 0))
                words.forget(db, unreached, values)
                db.execute(f"DELETE FROM entry WHERE {unreached}", values)  # noqa: S608 - our own words


def _kept_name(db: sqlite3.Connection, agent: str, name: str) -> str:
    names = db.execute("SELECT name FROM session WHERE agent = ?", (agent,))
    return kept_name(name, (other for (other,) in names))
