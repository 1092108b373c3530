"""Connections to one store: one for every thread, opened when first needed."""

from __future__ import annotations

import os
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from flue_cli.errors import StoreError
from flue_cli.stores.sqlite.file import connect, create, plain_errors


class Connections:
    """The connections of all threads to the store at `path`."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._threads = threading.local()
        self._all: list[sqlite3.Connection] = []

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection | None]:
        """A connection to read from, or None where there is no store yet: reading creates nothing."""
        with plain_errors(self.path):
            try:
                connection = self._connection()
            except FileNotFoundError:
                connection = None
            yield connection

    @contextmanager
    def writing(self, *, durable: bool = True) -> Iterator[sqlite3.Connection]:
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

    def disconnect(self) -> None:
        """Close the calling thread's connection."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is not None:
            self._threads.connection = None
            self._all.remove(connection)
            connection.close()

    def close(self) -> None:
        """Close all; whoever uses the store again gets a new one."""
        self._threads = threading.local()
        while self._all:
            self._all.pop().close()

    def _connection(self) -> sqlite3.Connection:
        """This thread's connection; FileNotFoundError if there is no store yet."""
        connection: sqlite3.Connection | None = getattr(self._threads, "connection", None)
        if connection is None:
            connection = connect(self.path)
            self._all.append(connection)
            self._threads.connection = connection
            self._threads.inode = os.stat(self.path).st_ino
        return connection

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
