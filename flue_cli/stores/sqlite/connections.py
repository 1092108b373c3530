"""Connections to one store: one for every thread, opened when first needed."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TYPE_CHECKING

from flue_cli.errors import StoreError
from flue_cli.stores.sqlite.file import begin, connect, connect_to_read, create, plain_errors

if TYPE_CHECKING:
    from flue_cli.stores.sqlite.sharing import SharedWriter


class Connections:
    """The connections of all threads to the store at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.plain = plain_errors(path)
        self._threads = threading.local()
        self._all: dict[threading.Thread, sqlite3.Connection] = {}
        self._shared: SharedWriter | None = None
        self._shared_inode: int | None = None

    def share(self) -> None:
        """From now on, transactions that say `together` share a connection and their commits."""
        from flue_cli.stores.sqlite.sharing import SharedWriter

        self._shared = SharedWriter(self._connect_shared, lambda: self.check_place(self._shared_inode))

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection to read from, or None where there is no store yet: reading creates nothing."""
        with self.plain:
            try:
                connection = self._connection()
            except FileNotFoundError:
                yield None
            except StoreError as error:
                # Not kept: it sees no changes by others, or keeps them out.
                with closing(connect_to_read(self.path, error)) as makeshift:
                    yield makeshift
            else:
                yield connection

    def writing(
        self,
        *,
        durable: bool = True,
        create_store: bool = False,
        patience: float = 30.0,
        together: bool = False,
        is_next: bool = False,
    ) -> AbstractContextManager[sqlite3.Connection]:
        """A connection inside a transaction of ours, committed at the end or rolled back.

        Not durable: what a power failure may take (leases and queues, never turns) saves an fsync.
        StoreLocked if another program keeps writing for `patience` seconds. `together`: what is done takes
        no longer than a turn's own, and may become durable with others'. `is_next`: others wait for this.
        """
        if together and self._shared:
            return self._writing_together(self._shared, create_store=create_store, patience=patience)
        return _Writing(self, durable=durable, create_store=create_store, patience=patience, is_next=is_next)

    @contextmanager
    def _writing_together(
        self, shared: SharedWriter, *, create_store: bool, patience: float
    ) -> Iterator[sqlite3.Connection]:
        with self.plain, shared.writing(create_store=create_store, patience=patience) as db:
            yield db

    def disconnect(self) -> None:
        """Close the calling thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is not None:
            self._threads.connection = None
            self._all.pop(threading.current_thread(), None)
            connection.close()

    def close(self) -> None:
        """Close all that no other living thread may be using; that would crash the interpreter."""
        self.disconnect()
        if self._shared:
            self._shared.close()
        for thread in [thread for thread in self._all if not thread.is_alive()]:
            self._all.pop(thread).close()

    def to_write(self, *, create_store: bool) -> sqlite3.Connection:
        """This thread's connection, once there is a store."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        return connection or self._made(self._connection, create_store=create_store)

    def _made(self, opened: Callable[[], sqlite3.Connection], *, create_store: bool) -> sqlite3.Connection:
        """What `opened()` gives, once there is a store."""
        try:
            return opened()
        except FileNotFoundError:
            if not create_store:
                raise self._gone() from None
        create(self.path)
        return opened()

    def _connect_shared(self, create_store: bool) -> sqlite3.Connection:
        connection = self._made(lambda: connect(self.path), create_store=create_store)
        self._shared_inode = os.stat(self.path).st_ino
        return connection

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection; FileNotFoundError if there is no store yet."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = connect(self.path)
            self._all[threading.current_thread()] = connection
            self._threads.connection = connection
            self._threads.inode = os.stat(self.path).st_ino
        return connection

    def is_in_place(self) -> bool:
        """Whether the file that this thread has open is still the one at the path."""
        try:
            self.check_place()
        except StoreError:
            return False
        return True

    def check_place(self, inode: int | None = None) -> None:
        """StoreError unless the file that this thread has open, or that one, is still the one at the path.

        Writes to a file that was removed or replaced would succeed, and be lost.
        """
        inode = inode or getattr(self._threads, "inode", None)
        try:
            if inode in (None, os.stat(self.path).st_ino):
                return
        except FileNotFoundError:
            pass
        raise self._gone()

    def _gone(self) -> StoreError:
        return StoreError(
            f"the store {self.path} was removed or replaced while in use: nothing was saved",
            hint="start again",
        )


class _Writing:
    """A transaction on the calling thread's own connection.

    By hand, since every turn pays for two: a generator would cost three times as much.
    """

    def __init__(
        self,
        connections: Connections,
        *,
        durable: bool,
        create_store: bool,
        patience: float,
        is_next: bool,
    ) -> None:
        self._connections = connections
        self._plain = connections.plain
        self._durable = durable
        self._create_store = create_store
        self._patience = patience
        self._is_next = is_next

    def __enter__(self) -> sqlite3.Connection:
        """Begin it."""
        with self._plain:
            self._db = self._connections.to_write(create_store=self._create_store)
            try:
                if not self._durable:
                    self._db.execute("PRAGMA synchronous = NORMAL")
                begin(self._db, self._patience, is_next=self._is_next)
            except BaseException:
                self._finish()
                raise
            return self._db

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """Commit it; roll it back after an error, which is raised in plain words."""
        with self._plain:
            try:
                if error is None:
                    self._connections.check_place()
                    self._db.execute("COMMIT")
            finally:
                self._finish()
        if error is not None:
            self._plain.__exit__(kind, error, trace)

    def _finish(self) -> None:
        if self._db.in_transaction:  # a full disk has rolled back already
            self._db.execute("ROLLBACK")
        if not self._durable:
            self._db.execute("PRAGMA synchronous = FULL")
