"""Group commit: transactions of several threads become durable with one fsync.

The threads share one connection. Each runs its statements in the transaction that is open, the first member
of the group begins it, and all others use a savepoint. A thread that sees others wait for the connection
leaves the transaction open for them; the last one commits for the whole group, and all return only then. No
commit is delayed for nothing: threads that arrive during one fsync share the next.

The result of the commit is the result of each member. A statement that fails is rolled back for its own
thread alone, unless SQLite gave up the whole transaction, as it does when the disk is full.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from flue_cli.stores.sqlite.database_file import begin_immediate
from flue_cli.times import monotonic

_MAX_MEMBERS = 64
_MAX_GROUP_SECONDS = 0.02
"""Time after which a group commits although more threads wait."""
_QUEUE_SECONDS = 5.0
"""Time that other threads may have the connection, beside the time that another program may take."""
_ABANDONED_SECONDS = 1.0
"""Time after which a member that waits commits the group itself."""


class GroupCommitter:
    """One connection to a store for the transactions of many threads."""

    def __init__(
        self,
        connect: Callable[[bool], sqlite3.Connection],
        check_in_place: Callable[[], object],
        checkpoint_if_due: Callable[[sqlite3.Connection], object],
    ) -> None:
        """`connect(create)` opens the store; `check_in_place` raises if its file was removed or replaced.

        `checkpoint_if_due` is called after each commit.
        """
        self._connect = connect
        self._check_in_place = check_in_place
        self._checkpoint_if_due = checkpoint_if_due
        self._db: sqlite3.Connection | None = None
        self._connection_lock = threading.Lock()
        self._arrivals_lock = threading.Lock()
        self._arrivals = 0  # threads that wait for the connection
        self._group: _CommitGroup | None = None

    @contextmanager
    def transaction(self, *, create_store: bool, patience: float) -> Iterator[sqlite3.Connection]:
        """Give the connection inside a transaction, which is durable at the end; raises as SQLite does.

        An exception of the body is raised only once the group is durable: the body may have read what other
        members wrote.
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
                    db.execute("SAVEPOINT member")
                yield db
                if not is_first:
                    db.execute("RELEASE member")
            except BaseException as error:  # noqa: BLE001 - raised again below
                failure = error
                self._undo_member(db, group, error)
            if not self._arrivals or group.is_full() or group.error:
                self._commit_group(db, group)
        finally:
            self._connection_lock.release()
        self._await_commit(db, group)
        if failure:
            raise failure

    def close(self) -> None:
        """Close the connection, unless a transaction is open."""
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
        """Return the group whose transaction is open, or begin one."""
        if self._group is None:
            begin_immediate(db, patience)
            self._group = _CommitGroup()
        self._group.members += 1
        return self._group

    def _undo_member(self, db: sqlite3.Connection, group: _CommitGroup, error: BaseException) -> None:
        """Roll back the statements of this thread, or the whole group if that is not possible."""
        if group.members == 1:
            group.error = error
            return
        try:
            if db.in_transaction:
                db.execute("ROLLBACK TO member")
                db.execute("RELEASE member")
                return
        except sqlite3.Error as worse:
            error = worse
        lost = sqlite3.OperationalError("a transaction that was shared had to be rolled back")
        group.error = group.error or (error if isinstance(error, sqlite3.Error) else lost)

    def _commit_group(self, db: sqlite3.Connection, group: _CommitGroup) -> None:
        """Commit for all members; a failure becomes the failure of each."""
        try:
            if not group.error:
                self._check_in_place()
                db.execute("COMMIT")
        except BaseException as error:  # noqa: BLE001 - raised again in every member
            group.error = error
        finally:
            self._group = None
            if db.in_transaction:
                self._roll_back(db)
            group.ended.set()
        if not group.error:
            self._checkpoint_if_due(db)

    def _roll_back(self, db: sqlite3.Connection) -> None:
        try:
            db.execute("ROLLBACK")
        except sqlite3.Error:  # closing rolls back too; the next transaction opens another connection
            self._db = None
            db.close()

    def _await_commit(self, db: sqlite3.Connection, group: _CommitGroup) -> None:
        """Wait until the group is committed; raise its failure."""
        while not group.ended.wait(_ABANDONED_SECONDS):
            # The thread that was to commit gave up its wait for the connection.
            with self._connection_lock:
                if not group.ended.is_set():
                    self._commit_group(db, group)
        if group.error:
            raise group.error


class _CommitGroup:
    """The threads that share one transaction."""

    def __init__(self) -> None:
        self.members = 0
        self.error: BaseException | None = None
        self.ended = threading.Event()
        self._began = monotonic()

    def is_full(self) -> bool:
        """True if its members should not wait for others any longer."""
        return self.members >= _MAX_MEMBERS or monotonic() - self._began >= _MAX_GROUP_SECONDS


def _database_locked_error() -> sqlite3.OperationalError:
    """Make the error that SQLite raises after too long a wait for another connection."""
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error
