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

from flue_cli.stores.sqlite.database_file import begin_immediate

_MAX_MEMBERS = 64
_MAX_GROUP_SECONDS = 0.02
"""Limits of a group: its members, and the time that a commit is put off for more of them."""
_QUEUE_SECONDS = 5.0
"""Time that other threads may have the connection, beside the time that another program may take."""
_ABANDONED_SECONDS = 1.0
"""Wait for a commit by another thread before a member makes it itself."""


class GroupCommitter:
    """One connection to a store for the transactions of many threads."""

    def __init__(
        self, connect: Callable[[bool], sqlite3.Connection], check_in_place: Callable[[], object]
    ) -> None:
        """`connect(create)` opens the store; `still_there` raises if it is not the same file any more."""
        self._connect = connect
        self._check_in_place = check_in_place
        self._db: sqlite3.Connection | None = None
        self._connection_lock = threading.Lock()  # whoever has it uses the connection
        self._arrivals_lock = threading.Lock()
        self._arrivals = 0
        self._group: _CommitGroup | None = None

    @contextmanager
    def transaction(self, *, create_store: bool, patience: float) -> Iterator[sqlite3.Connection]:
        """The connection, inside a transaction that is durable when this ends; raises as SQLite does.

        What the body raises is raised once the others' work, which it may have seen, is durable as well.
        """
        failure: BaseException | None = None
        self._acquire_connection(patience)
        try:
            if self._db is None:
                self._db = self._connect(create_store)
            db = self._db
            group = self._join_group(db, patience)
            is_first = group.members == 1
            try:
                if not is_first:
                    db.execute("SAVEPOINT one")
                yield db
                if not is_first:
                    db.execute("RELEASE one")
            except BaseException as error:  # noqa: BLE001 - raised again below
                failure = error
                self._undo_member(db, group, error)
            done = self._commit_or_defer(db, group)
        finally:
            self._connection_lock.release()
        self._await_commit(db, group, done)
        if failure:
            raise failure

    def close(self) -> None:
        """Close the connection."""
        with self._connection_lock:
            if self._db is not None and self._group is None:
                self._db.close()
                self._db = None

    def _acquire_connection(self, patience: float) -> None:
        with self._arrivals_lock:
            self._arrivals += 1
        try:
            if not self._connection_lock.acquire(timeout=patience + _QUEUE_SECONDS):
                raise _database_locked_error()
        finally:
            with self._arrivals_lock:
                self._arrivals -= 1

    def _join_group(self, db: sqlite3.Connection, patience: float) -> _CommitGroup:
        """The group whose transaction is open, or a new one."""
        if self._group is None:
            begin_immediate(db, patience)
            self._group = _CommitGroup()
        self._group.members += 1
        return self._group

    def _undo_member(self, db: sqlite3.Connection, group: _CommitGroup, error: BaseException) -> None:
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

    def _commit_or_defer(self, db: sqlite3.Connection, group: _CommitGroup) -> threading.Lock | None:
        """Commit, or leave that to the threads that wait; then give the lock that tells of their commit."""
        if not self._arrivals or group.is_full() or group.error:
            self._commit_group(db, group)
            return None
        done = threading.Lock()
        done.acquire()
        group.waiting.append(done)
        return done

    def _commit_group(self, db: sqlite3.Connection, group: _CommitGroup) -> None:
        """Commit for all; a failure is raised in each of their threads."""
        try:
            if not group.error:
                self._check_in_place()
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

    def _await_commit(self, db: sqlite3.Connection, group: _CommitGroup, done: threading.Lock | None) -> None:
        """Wait for the commit; raise its failure."""
        while done and not done.acquire(timeout=_ABANDONED_SECONDS):
            with self._connection_lock:
                if not group.is_over:  # whoever was to make it is gone
                    self._commit_group(db, group)
        if group.error:
            raise group.error


class _CommitGroup:
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
        return self.members >= _MAX_MEMBERS or time.monotonic() - self._began >= _MAX_GROUP_SECONDS


def _database_locked_error() -> sqlite3.OperationalError:
    """The error that SQLite raises after too long a wait for another connection."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error
