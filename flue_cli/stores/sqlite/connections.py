"""Connections to one store: one for every thread, opened when first needed."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from flue_cli.errors import StoreError
from flue_cli.stores.sqlite.database_file import begin, connect, connect_to_read, create, translate_errors

if TYPE_CHECKING:
    from flue_cli.stores.sqlite.group_commit import SharedWriter


class Connections:
    """The connections of all threads to the store at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._threads = threading.local()
        self._all: dict[threading.Thread, sqlite3.Connection] = {}
        self._shared: SharedWriter | None = None
        self._shared_inode: int | None = None

    def share(self) -> None:
        """From now on, transactions that say `together` share a connection and their commits."""
        from flue_cli.stores.sqlite.group_commit import SharedWriter

        self._shared = SharedWriter(self._connect_shared, self._shared_still_there)

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection to read from, or None where there is no store yet: reading creates nothing."""
        with translate_errors(self.path):
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

    @contextmanager
    def writing(
        self,
        *,
        durable: bool = True,
        create_store: bool = False,
        patience: float = 30.0,
        together: bool = False,
    ) -> Iterator[sqlite3.Connection]:
        """A connection inside a transaction of ours, committed at the end or rolled back.

        Not durable: what a power failure may take (leases and queues, never turns) saves an fsync.
        StoreLocked if another program keeps writing for `patience` seconds. `together`: what is done takes
        no longer than a turn's own, and may become durable with others'; it is durable in any case then.
        """
        with translate_errors(self.path):
            if together and self._shared:
                with self._shared.writing(create_store=create_store, patience=patience) as db:
                    yield db
                return
            db = self._for_writing(create_store=create_store)
            if not durable:
                db.execute("PRAGMA synchronous = NORMAL")
            try:
                begin(db, patience)
                yield db
                self._still_there()
                db.execute("COMMIT")
            finally:
                if db.in_transaction:  # a full disk has rolled back already
                    db.execute("ROLLBACK")
                if not durable:
                    db.execute("PRAGMA synchronous = FULL")

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

    def _for_writing(self, *, create_store: bool) -> sqlite3.Connection:
        return self._made(self._connection, create_store=create_store)

    def _made(self, opened: Callable[[], sqlite3.Connection], *, create_store: bool) -> sqlite3.Connection:
        """Give the connection that `opened()` makes, once there is a store."""
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

    def _shared_still_there(self) -> None:
        if not self._is_file(self._shared_inode):
            raise self._gone()

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
        """True if the file that this thread has open is still the one at the path."""
        return self._is_file(getattr(self._threads, "inode", None))

    def _is_file(self, inode: int | None) -> bool:
        try:
            return inode in (None, os.stat(self.path).st_ino)
        except FileNotFoundError:
            return False

    def _still_there(self) -> None:
        """Writes to a file that was removed or replaced would succeed, and be lost."""
        if not self.is_in_place():
            raise self._gone()

    def _gone(self) -> StoreError:
        return StoreError(
            f"the store {self.path} was removed or replaced while in use: nothing was saved",
            hint="start again",
        )
