"""The connections of a process to one store: one for each thread, opened at its first use."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from flue_cli.errors import StoreError
from flue_cli.stores.sqlite import checkpoint
from flue_cli.stores.sqlite.database_file import (
    begin_immediate,
    connect,
    connect_to_read,
    create_database,
)
from flue_cli.stores.sqlite.file_errors import translate_sqlite_errors

if TYPE_CHECKING:
    from flue_cli.stores.sqlite.group_commit import GroupCommitter


class Connections:
    """The connections of all threads to the store at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._threads = threading.local()
        self._all: dict[threading.Thread, sqlite3.Connection] = {}
        self._group_committer: GroupCommitter | None = None
        self._group_inode: int | None = None

    def share_commits(self) -> None:
        """Enable group commit for transactions that ask for it."""
        from flue_cli.stores.sqlite.group_commit import GroupCommitter

        self._group_committer = GroupCommitter(
            self._connect_group,
            self._check_group_in_place,
            lambda db: checkpoint.checkpoint_if_due(db, self.path),
        )

    @contextmanager
    def reader(self) -> Iterator[sqlite3.Connection | None]:
        """Give a connection to read from, or None if there is no store yet: reading creates nothing."""
        with translate_sqlite_errors(self.path):
            try:
                connection = self._connection()
            except FileNotFoundError:
                yield None
            except StoreError as error:
                # Used once: it sees no later changes by others, or locks them out.
                with closing(connect_to_read(self.path, error)) as read_only:
                    yield read_only
            else:
                yield connection

    @contextmanager
    def transaction(
        self,
        *,
        durable: bool = True,
        create_store: bool = False,
        patience: float = 30.0,
        group: bool = False,
    ) -> Iterator[sqlite3.Connection]:
        """Give a connection inside a write transaction, committed at the end, rolled back on an exception.

        Raises StoreLocked if another program holds the write lock for `patience` seconds. Without `durable`
        a power failure may undo the commit, which saves an fsync: for leases and queues, never for turns.
        With `group`, the commit may be shared with other threads once `share_commits` was called; such a
        transaction must be as short as that of a turn, and is always durable.
        """
        with translate_sqlite_errors(self.path):
            if group and self._group_committer:
                with self._group_committer.transaction(create_store=create_store, patience=patience) as db:
                    yield db
                return
            db = self._for_writing(create_store=create_store)
            if not durable:
                db.execute("PRAGMA synchronous = NORMAL")
            try:
                begin_immediate(db, patience)
                yield db
                self._check_in_place()
                db.execute("COMMIT")
            finally:
                if db.in_transaction:  # on a full disk SQLite has rolled back already
                    db.execute("ROLLBACK")
                if not durable:
                    db.execute("PRAGMA synchronous = FULL")
            checkpoint.checkpoint_if_due(db, self.path)

    def check_usable(self) -> None:
        """Open the store as a turn does; raises StoreError, and FileNotFoundError if there is none."""
        with translate_sqlite_errors(self.path):
            self._connection()

    def empty_wal(self) -> None:
        """Remove from the write-ahead log what was overwritten in the file, unless a reader needs it."""
        with self.reader() as db:
            if db:
                checkpoint.empty_wal(db, self.path)

    def disconnect(self) -> None:
        """Close the calling thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is not None:
            self._threads.connection = None
            self._all.pop(threading.current_thread(), None)
            connection.close()

    def close(self) -> None:
        """Close the connections of this thread, of group commit and of threads that ended."""
        # Closing one that another thread is using would crash the interpreter.
        self.disconnect()
        if self._group_committer:
            self._group_committer.close()
        for thread in [thread for thread in self._all if not thread.is_alive()]:
            self._all.pop(thread).close()

    def _for_writing(self, *, create_store: bool) -> sqlite3.Connection:
        return self._open_or_create(self._connection, create_store=create_store)

    def _open_or_create(
        self, open_connection: Callable[[], sqlite3.Connection], *, create_store: bool
    ) -> sqlite3.Connection:
        """Call `open_connection`; if there is no store, create it first or raise."""
        try:
            return open_connection()
        except FileNotFoundError:
            if not create_store:
                raise self._removed_error() from None
        create_database(self.path)
        return open_connection()

    def _connect_group(self, create_store: bool) -> sqlite3.Connection:
        connection = self._open_or_create(lambda: connect(self.path), create_store=create_store)
        self._group_inode = os.stat(self.path).st_ino
        return connection

    def _check_group_in_place(self) -> None:
        if not self._is_same_file(self._group_inode):
            raise self._removed_error()

    def _connection(self) -> sqlite3.Connection:
        """Return this thread's connection; FileNotFoundError if there is no store yet."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = connect(self.path)
            self._all[threading.current_thread()] = connection
            self._threads.connection = connection
            self._threads.inode = os.stat(self.path).st_ino
        return connection

    def is_in_place(self) -> bool:
        """True if the file that this thread has open is still at its path."""
        return self._is_same_file(getattr(self._threads, "inode", None))

    def _is_same_file(self, inode: int | None) -> bool:
        try:
            return inode in (None, os.stat(self.path).st_ino)
        except FileNotFoundError:
            return False

    def _check_in_place(self) -> None:
        """Raise StoreError if the file was removed or replaced: SQLite would write to it all the same."""
        if not self.is_in_place():
            raise self._removed_error()

    def _removed_error(self) -> StoreError:
        return StoreError(
            f"the store {self.path} was removed or replaced while in use: nothing was saved",
            hint="start again",
        )
