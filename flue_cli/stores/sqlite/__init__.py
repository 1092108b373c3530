"""The default store: one SQLite file.

Durable (WAL, synchronous=FULL) and shared by any number of processes on one machine. Every write is
one BEGIN IMMEDIATE transaction; a deferred one could find its snapshot stale and fail at once.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

from flue_cli.errors import KeyConflict, SessionExists, SessionNotFound, StoreError
from flue_cli.session import Message
from flue_cli.stores.contract import (
    ABSENT,
    INTERRUPTED,
    PREVIEW,
    Ask,
    Begun,
    Entry,
    Failure,
    Head,
    Holder,
    Lease,
    Pause,
    Replayed,
    Summary,
    busy,
    changed,
    known_turn,
    lost,
    meant,
)
from flue_cli.stores.queue import Held, wait_for
from flue_cli.stores.splice import splice
from flue_cli.stores.sqlite import reading
from flue_cli.stores.sqlite.file import connect, create, plain_errors
from flue_cli.stores.sqlite.owner import Owner, Term, pid_and_host, term

SNAPSHOT_EVERY = 256
"""How many changes at most are applied to find the data after a turn."""


class _State(NamedTuple):
    """A session's row: where it stands, and the lease on it. `entry` is the id of the head entry."""

    head: Head
    entry: int | None
    base: int
    data_checksum: int | None
    running: int | None
    fence: int
    owner: str | None
    expires: Term
    since: int


_STATE = """
    SELECT s.uid, s.agent, s.name, s.version, coalesce(e.line, 0), coalesce(e.turn, 0),
           coalesce(e.total, 0), s.created_at, s.updated_at,
           s.head, coalesce(e.base, 0), e.data_checksum, s.running, s.fence, s.owner,
           s.expires_at, s.expires_monotonic,
           (SELECT started_at FROM entry r WHERE r.id = s.running)
    FROM session s LEFT JOIN entry e ON e.id = s.head
"""


class SqliteStore:
    """Sessions in the SQLite file at `path`, which the first prompt creates.

    Every thread gets a connection of its own.
    """

    def __init__(self, path: str) -> None:
        self.path = os.path.realpath(path)  # SQLite follows links, and the owners' files must too
        self.url = f"sqlite:///{self.path}"
        self._owner = Owner(self.path)
        self._threads = threading.local()
        self._connections: list[sqlite3.Connection] = []

    # Reading

    def head(self, agent: str, name: str) -> Head:
        with self._reading() as db:
            state = _state(db, agent, name) if db else None
        return state.head if state else Head(ABSENT, agent, name)

    def entries(self, head: Head, first: int, last: int, *, with_data: bool = False) -> Iterator[Entry]:
        with self._reading() as db:
            if db:
                yield from reading.entries(db, head, first, last, with_data=with_data)

    def running(self, head: Head) -> Entry | None:
        with self._reading() as db:
            state = _state(db, head.agent, head.name) if db else None
            if db is None or state is None or state.running is None or state.head.uid != head.uid:
                return None
            entry = reading.one_entry(db, state.running, head.name)
            return entry if self._is_held(state) else entry._replace(outcome="interrupted")

    def messages(self, head: Head, start: int, stop: int) -> list[Message]:
        with self._reading() as db:
            return reading.messages(db, head, start, stop) if db else []

    def data_at(self, head: Head, turn: int) -> str:
        known_turn(head, turn)
        if turn == 0:
            return "{}"
        with self._reading() as db:
            if db is None:
                raise changed(head.name)
            return reading.data_at(db, head, turn)

    def sessions(self, *, agent: str = "", limit: int | None = None) -> list[Summary]:
        with self._reading() as db:
            if db is None:
                return []
            rows = db.execute(
                f"""
                SELECT s.uid, s.agent, s.name, coalesce(h.turn, 0), s.created_at, s.updated_at,
                       coalesce(substr(e.prompt, 1, {PREVIEW}), '')
                FROM session s
                LEFT JOIN entry h ON h.id = s.head
                LEFT JOIN entry e ON e.id = coalesce(s.running, s.head)
                {"WHERE s.agent = :agent" if agent else ""}
                ORDER BY s.used DESC LIMIT :limit
                """,  # noqa: S608 - our own words
                {"agent": agent, "limit": -1 if limit is None else limit},
            )
            return [Summary(*row) for row in rows.fetchall()]

    def resolve(self, name: str, *, agent: str = "") -> list[Head]:
        with self._reading() as db:
            if db is None:
                return []
            found: list[Head] = []
            for whose, what in meant(name, agent):
                only = "AND s.agent = :agent" if whose else ""
                rows = db.execute(f"{_STATE} WHERE s.name = :name {only}", {"name": what, "agent": whose})
                found += [_state_of(row).head for row in rows.fetchall()]
            return found

    # Turns

    def begin(self, ask: Ask, pause: Pause) -> Begun | Replayed:
        uid, ticket = ask.uid, 0

        def attempt() -> Begun | Replayed | Held:
            nonlocal uid, ticket
            if ticket:
                held = self._still_held(ask, uid, ticket)
                if held:
                    return held
            with self._writing() as db:
                state = _state(db, ask.agent, ask.name)
                same = state is not None and uid in (ABSENT, state.head.uid)
                replayed = self._replay(db, state, ask) if state and same else None
                if replayed:
                    return replayed
                state = self._admit(db, state, ask, uid)
                uid = state.head.uid
                place = self._place(db, uid, ticket)
                if place == 1 and not self._is_held(state):
                    # Ours, and those before it, whose owners are dead.
                    db.execute(
                        "DELETE FROM waiting WHERE session = ? AND (? = 0 OR ticket <= ?)",
                        (uid, ticket, ticket),
                    )
                    return self._take(db, state, ask)
            if not ticket and ask.wait > 0:
                ticket = self._queue_up(uid)
            return Held(self._holder(state), place)

        taken = False
        try:
            result = wait_for(attempt, ask, pause)
            taken = isinstance(result, Begun)
            return result
        finally:
            if ticket and not taken:
                with self._writing(durable=False) as db:
                    db.execute("DELETE FROM waiting WHERE ticket = ?", (ticket,))

    def renew(self, lease: Lease) -> None:
        expires = term()
        with self._writing(durable=False) as db:
            done = db.execute(
                "UPDATE session SET expires_at = ?, expires_monotonic = ?"
                " WHERE uid = ? AND fence = ? AND version = ? AND running = ?",
                (*expires, lease.head.uid, lease.fence, lease.head.version, lease.entry),
            )
            if not done.rowcount:
                raise lost(lease)

    def commit(
        self, lease: Lease, *, reply: str, messages: Sequence[Message], data: str, meta: Mapping[str, Any]
    ) -> Head:
        base, snapshot, change = _change(lease, data)
        between = reading.json_or_none([message.as_dict() for message in messages])
        meta_text = reading.json_or_none(meta)
        total = lease.head.messages + len(messages) + 2
        with self._writing() as db:
            head = self._release(db, lease, total)
            db.execute(
                """
                UPDATE entry SET outcome = 'completed', finished_at = ?, total = ?, base = ?, snapshot = ?,
                    splice = ?, data_checksum = ?, messages = ?, reply = ?, meta = ?, checksum = ?
                WHERE id = ?
                """,
                (
                    head.updated_at,
                    total,
                    base,
                    snapshot,
                    change,
                    reading.data_checksum(data),
                    between,
                    reply,
                    meta_text,
                    reading.texts_checksum(
                        lease.turn, "completed", lease.key, lease.prompt, reply, between, None, meta_text
                    ),
                    lease.entry,
                ),
            )
        return head

    def abandon(self, lease: Lease, outcome: str, error: Failure, meta: Mapping[str, Any]) -> Head:
        with self._writing() as db:
            head = self._release(db, lease, lease.head.messages)
            _settle(
                db, lease.entry, lease.turn, lease.key, lease.prompt, outcome, error, meta, head.updated_at
            )
        return head

    def delete(self, head: Head) -> None:
        with self._writing() as db:
            state = _state(db, head.agent, head.name)
            if state is None or state.head.uid != head.uid:
                raise changed(head.name)
            if self._is_held(state):
                raise busy(head.name, self._holder(state), _now())
            db.execute("DELETE FROM session WHERE uid = ?", (head.uid,))
        with self._reading() as reader:
            if reader:  # the log still has what was just overwritten in the file
                reader.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def disconnect(self) -> None:
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is not None:
            self._threads.connection = None
            self._connections.remove(connection)
            connection.close()

    def close(self) -> None:
        self._threads = threading.local()
        while self._connections:
            self._connections.pop().close()
        self._owner.hide()

    # One attempt at a session

    def _admit(self, db: sqlite3.Connection, state: _State | None, ask: Ask, uid: int) -> _State:
        """The session's row, made if it may be; whatever forbids the prompt is raised."""
        if uid != ABSENT and (state is None or state.head.uid != uid):
            raise changed(ask.name)
        if state is None:
            if ask.expect == "existing":
                raise SessionNotFound(f"there is no session '{ask.name}' of agent '{ask.agent}'")
            now = _now()
            db.execute(
                "INSERT INTO session (agent, name, created_at, updated_at, used) VALUES (?, ?, ?, ?, 0)",
                (ask.agent, ask.name, now, now),
            )
            state = _state(db, ask.agent, ask.name)
            assert state is not None  # noqa: S101 - inserted one statement ago
        elif ask.expect == "new" and uid == ABSENT:
            raise SessionExists(
                f"session '{ask.name}' of agent '{ask.agent}' exists already",
                hint="resume it with -r, or choose another name",
            )
        return state

    def _replay(self, db: sqlite3.Connection, state: _State, ask: Ask) -> Replayed | None:
        """The turn that this key completed before, wherever on the session's tree it is."""
        if ask.key is None:
            return None
        row = db.execute(
            "SELECT id, line, turn FROM entry WHERE session = ? AND key = ? AND outcome = 'completed'",
            (state.head.uid, ask.key),
        ).fetchone()
        if row is None:
            return None
        identity, line, turn = row
        entry = reading.one_entry(db, identity, ask.name)
        if entry.prompt != ask.prompt:
            raise KeyConflict(f"turn key '{ask.key}' was used for another prompt")
        there = state.head._replace(line=line, turn=turn)
        return Replayed(state.head, entry._replace(data=reading.data_at(db, there, turn)))

    def _take(self, db: sqlite3.Connection, state: _State, ask: Ask) -> Begun:
        """Settle what a crash left, record the prompt as running, take the lease."""
        self._owner.show()
        now = _now()
        interrupted = None
        if state.running is not None:
            interrupted = self._interrupt(db, state, state.running, now)
            state = _state(db, ask.agent, ask.name) or state
        head = state.head
        data = reading.rebuild(db, head, state.base, head.turn, state.data_checksum) if head.turn else "{}"
        fence = state.fence + 1
        turn = head.turn + 1
        entry = _record(db, state, ask, data, now)
        expires = term()
        db.execute(
            "UPDATE session SET fence = ?, owner = ?, expires_at = ?, expires_monotonic = ?, running = ?,"
            " used = (SELECT max(used) + 1 FROM session) WHERE uid = ?",
            (fence, self._owner.name, *expires, entry, head.uid),
        )
        lease = Lease(head, fence, entry, turn, now, ask.prompt, ask.key, data, state.base)
        return Begun(lease, interrupted)

    def _interrupt(self, db: sqlite3.Connection, state: _State, running: int, now: int) -> Entry:
        entry = reading.one_entry(db, running, state.head.name)
        _settle(db, running, entry.turn, entry.key, entry.prompt, "interrupted", INTERRUPTED, {}, now)
        db.execute(
            "UPDATE session SET head = running, running = NULL, owner = NULL, version = version + 1,"
            " updated_at = ? WHERE uid = ?",
            (now, state.head.uid),
        )
        return entry._replace(outcome="interrupted", error=INTERRUPTED, finished_at=now)

    def _release(self, db: sqlite3.Connection, lease: Lease, total: int) -> Head:
        """Move the head to the lease's entry and free the session; LeaseLost unless both guards hold."""
        now = _now()
        done = db.execute(
            "UPDATE session SET head = running, running = NULL, owner = NULL, version = version + 1,"
            " updated_at = ? WHERE uid = ? AND fence = ? AND version = ? AND running = ?",
            (now, lease.head.uid, lease.fence, lease.head.version, lease.entry),
        )
        if not done.rowcount:
            raise lost(lease)
        (line,) = db.execute("SELECT line FROM entry WHERE id = ?", (lease.entry,)).fetchone()
        return lease.head._replace(
            version=lease.head.version + 1, line=line, turn=lease.turn, messages=total, updated_at=now
        )

    # Order

    def _still_held(self, ask: Ask, uid: int, ticket: int) -> Held | None:
        """Whether a waiter may not go yet: a look that takes no lock and writes nothing."""
        with self._reading() as db:
            state = _state(db, ask.agent, ask.name) if db else None
            if db is None or state is None or state.head.uid != uid:
                return None
            mine = db.execute("SELECT expires_monotonic FROM waiting WHERE ticket = ?", (ticket,)).fetchone()
            place = self._place(db, uid, ticket)
        if mine and mine[0] - term().monotonic < -5_000_000:
            with self._writing(durable=False) as db:
                db.execute(
                    "UPDATE waiting SET expires_at = ?, expires_monotonic = ? WHERE ticket = ?",
                    (*term(), ticket),
                )
        return Held(self._holder(state), place) if place > 1 or self._is_held(state) else None

    def _place(self, db: sqlite3.Connection, uid: int, ticket: int) -> int:
        """1 if every living waiter before `ticket` (0: none yet, behind all) is gone, else how many are."""
        rows = db.execute(
            "SELECT owner, expires_at, expires_monotonic FROM waiting"
            " WHERE session = ? AND (? = 0 OR ticket < ?)",
            (uid, ticket, ticket),
        ).fetchall()
        return 1 + sum(self._owner.holds(owner, Term(*expires)) for owner, *expires in rows)

    def _queue_up(self, uid: int) -> int:
        self._owner.show()
        with self._writing(durable=False) as db:
            if not db.execute("SELECT 1 FROM session WHERE uid = ?", (uid,)).fetchone():
                return 0
            done = db.execute(
                "INSERT INTO waiting (session, owner, expires_at, expires_monotonic) VALUES (?, ?, ?, ?)",
                (uid, self._owner.name, *term()),
            )
            return done.lastrowid or 0

    def _is_held(self, state: _State) -> bool:
        return state.owner is not None and self._owner.holds(state.owner, state.expires)

    def _holder(self, state: _State) -> Holder:
        pid, host = pid_and_host(state.owner or "")
        return Holder(pid, host, state.since or _now())

    # Connections

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection; FileNotFoundError if there is no store yet."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = connect(self.path)
            self._connections.append(connection)
            self._threads.connection = connection
            self._threads.inode = os.stat(self.path).st_ino
        return connection

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection to read from, or None where there is no store yet: reading creates nothing."""
        with plain_errors(self.path):
            try:
                connection = self._connection()
            except FileNotFoundError:
                connection = None
            yield connection

    @contextmanager
    def _writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
        """A connection inside a transaction of ours, committed at the end or rolled back.

        Not durable: what a power failure may take (leases and queues, never turns) saves an fsync.
        """
        with plain_errors(self.path):
            try:
                db = self._connection()
            except FileNotFoundError:
                create(self.path)
                db = self._connection()
            if not durable:
                db.execute("PRAGMA synchronous = NORMAL")
            try:
                db.execute("BEGIN IMMEDIATE")
                yield db
                self._still_there()
                db.execute("COMMIT")
            finally:
                if db.in_transaction:  # a full disk has rolled back already
                    db.execute("ROLLBACK")
                if not durable:
                    db.execute("PRAGMA synchronous = FULL")

    def _still_there(self) -> None:
        """Writes to a file that was removed or replaced would succeed, and be lost."""
        try:
            same = os.stat(self.path).st_ino == self._threads.inode
        except FileNotFoundError:
            same = False
        if not same:
            raise StoreError(
                f"the store {self.path} was removed or replaced while in use: nothing was saved",
                hint="start again",
            )


def _state(db: sqlite3.Connection, agent: str, name: str) -> _State | None:
    row = db.execute(f"{_STATE} WHERE s.agent = ? AND s.name = ?", (agent, name)).fetchone()
    return _state_of(row) if row else None


def _state_of(row: Sequence[Any]) -> _State:
    entry, base, checksum, running, fence, owner, wall, monotonic, since = row[9:]
    expires = Term(wall or 0, monotonic or 0)
    return _State(Head(*row[:9]), entry, base, checksum, running, fence, owner, expires, since or 0)


def _record(db: sqlite3.Connection, state: _State, ask: Ask, data: str, now: int) -> int:
    """Insert the running entry after the head, on the head's line or on a new one; its id."""
    head, turn = state.head, state.head.turn + 1
    (entry,) = db.execute("SELECT coalesce(max(id), 0) + 1 FROM entry").fetchone()
    taken = db.execute(
        "SELECT 1 FROM entry WHERE session = ? AND line = ? AND turn = ?", (head.uid, head.line, turn)
    ).fetchone()
    line = head.line if head.line and not taken else entry
    db.execute(
        """
        INSERT INTO entry (id, session, line, turn, parent, total, base, kind, outcome, started_at,
            checksum, data_checksum, key, prompt)
        VALUES (?, ?, ?, ?, ?, ?, ?, 'prompt', 'running', ?, ?, ?, ?, ?)
        """,
        (
            entry,
            head.uid,
            line,
            turn,
            state.entry,
            head.messages,
            state.base,
            now,
            reading.texts_checksum(turn, "running", ask.key, ask.prompt, None, None, None, None),
            reading.data_checksum(data),
            ask.key,
            ask.prompt,
        ),
    )
    return int(entry)


def _settle(
    db: sqlite3.Connection,
    entry: int,
    turn: int,
    key: str | None,
    prompt: str,
    outcome: str,
    error: Failure,
    meta: Mapping[str, Any],
    now: int,
) -> None:
    """Write down how an entry that did not complete ended."""
    meta_text = reading.json_or_none(meta)
    checksum = reading.texts_checksum(turn, outcome, key, prompt, None, None, error.message, meta_text)
    db.execute(
        "UPDATE entry SET outcome = ?, error_type = ?, error_message = ?, meta = ?, checksum = ?,"
        " finished_at = ? WHERE id = ?",
        (outcome, error.type, error.message, meta_text, checksum, now, entry),
    )


def _change(lease: Lease, data: str) -> tuple[int, str | None, str | None]:
    """(base, snapshot, splice) for the data after a turn, whichever is smaller in the long run."""
    if data == lease.data:
        return lease.base, None, None
    change = splice(lease.data, data)
    if 2 * len(change) >= len(data) or lease.turn - lease.base >= SNAPSHOT_EVERY:
        return lease.turn, data, None
    return lease.base, None, change


def _now() -> int:
    return time.time_ns() // 1000
