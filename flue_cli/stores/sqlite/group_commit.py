"""Group commit: transactions of several threads become durable with one fsync.

Each thread runs its statements on the shared connection, in a savepoint unless it is first. If others
wait, the transaction stays open for them and the last one commits; all return only then. No commit is
delayed: threads that arrive during one fsync share the next.

The result of the commit is the result for each thread. A statement that fails is undone for its own
thread alone, unless SQLite gave up the whole transaction, as it does when the disk is full.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flue_cli.stores.sqlite.database_file import begin

_MOST = 64
_LONGEST_SECONDS = 0.02
"""Limits of a group: its members, and the time that a commit is put off for more of them."""
_QUEUE_SECONDS = 5.0
"""Time that other threads may have the connection, beside the time that another program may take."""
_ABANDONED_SECONDS = 1.0
"""Wait for a commit by another thread before a member makes it itself."""


class SharedWriter:
    """One connection to a store for the transactions of many threads."""

    def __init__(
        self, connect: Callable[[bool], sqlite3.Connection], still_there: Callable[[], object]
    ) -> None:
        """`connect(create)` opens the store; `still_there` raises if it is not the same file any more."""
        self._connect = connect
        self._still_there = still_there
        self._db: sqlite3.Connection | None = None
        self._turn = threading.Lock()  # whoever has it uses the connection
        self._count = threading.Lock()
        self._waiting = 0
        self._group: _Group | None = None

    @contextmanager
    def writing(self, *, create_store: bool, patience: float) -> Iterator[sqlite3.Connection]:
        """The connection, inside a transaction that is durable when this ends; raises as SQLite does.

        What the body raises is raised once the others' work, which it may have seen, is durable as well.
        """
        failure: BaseException | None = None
        self._take_turn(patience)
        try:
            if self._db is None:
                self._db = self._connect(create_store)
            db = self._db
            group = self._joined(db, patience)
            is_first = group.members == 1
            try:
                if not is_first:
                    db.execute("SAVEPOINT one")
                yield db
                if not is_first:
                    db.execute("RELEASE one")
            except BaseException as error:  # noqa: BLE001 - raised again below
                failure = error
                self._undo(db, group, error)
            done = self._pass_on(db, group)
        finally:
            self._turn.release()
        self._await(db, group, done)
        if failure:
            raise failure

    def close(self) -> None:
        """Close the connection."""
        with self._turn:
            if self._db is not None and self._group is None:
                self._db.close()
                self._db = None

    def _take_turn(self, patience: float) -> None:
        with self._count:
            self._waiting += 1
        try:
            if not self._turn.acquire(timeout=patience + _QUEUE_SECONDS):
                raise _locked()
        finally:
            with self._count:
                self._waiting -= 1

    def _joined(self, db: sqlite3.Connection, patience: float) -> _Group:
        """The group whose transaction is open, or a new one."""
        if self._group is None:
            begin(db, patience)
            self._group = _Group()
        self._group.members += 1
        return self._group

    def _undo(self, db: sqlite3.Connection, group: _Group, error: BaseException) -> None:
        """Undo the statements of this thread, or all of the transaction if that is not possible."""
        if group.members == 1:
            group.error = error
            return
        try:
            if db.in_transaction:
                db.execute("ROLLBACK TO one")
                db.execute("RELEASE one")
                return
        except sqlite3.Error as worse:
            error = worse
        lost = sqlite3.OperationalError("a transaction that was shared had to be rolled back")
        group.error = group.error or (error if isinstance(error, sqlite3.Error) else lost)

    def _pass_on(self, db: sqlite3.Connection, group: _Group) -> threading.Lock | None:
        """Commit, or leave that to the threads that wait; then give the lock that tells of their commit."""
        if not self._waiting or group.is_full() or group.error:
            self._finish(db, group)
            return None
        done = threading.Lock()
        done.acquire()
        group.waiting.append(done)
        return done

    def _finish(self, db: sqlite3.Connection, group: _Group) -> None:
        """Commit for all; a failure is raised in each of their threads."""
        try:
            if not group.error:
                self._still_there()
                db.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - raised again in every thread that waits
            group.error = error
        finally:
            self._group = None
            if db.in_transaction:
                self._roll_back(db)
            group.is_over = True
            for done in group.waiting:
                done.release()

    def _roll_back(self, db: sqlite3.Connection) -> None:
        try:
            db.execute("ROLLBACK")
        except sqlite3.Error:  # closing it does the same; the next transaction opens another
            self._db = None
            db.close()

    def _await(self, db: sqlite3.Connection, group: _Group, done: threading.Lock | None) -> None:
        """Wait for the commit; raise its failure."""
        while done and not done.acquire(timeout=_ABANDONED_SECONDS):
            with self._turn:
                if not group.is_over:  # whoever was to make it is gone
                    self._finish(db, group)
        if group.error:
            raise group.error


class _Group:
    """The threads that share a transaction."""

    def __init__(self) -> None:
        self.members = 0
        self._began = time.monotonic()
        self.error: BaseException | None = None
        self.is_over = False
        self.waiting: list[threading.Lock] = []
        """A lock for each thread that waits for the commit, released when it is made."""

    def is_full(self) -> bool:
        """True if its members have waited long enough for others."""
        return self.members >= _MOST or time.monotonic() - self._began >= _LONGEST_SECONDS


def _locked() -> sqlite3.OperationalError:
    """The error that SQLite raises after too long a wait for another connection."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error
