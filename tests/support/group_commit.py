"""A shared connection to the store whose commits are counted, held back, or made to fail."""

from __future__ import annotations

import sqlite3
import threading
import time
from typing import Any

from flue_cli.stores.contract import Store
from flue_cli.stores.records import BegunTurn, TurnRequest
from flue_cli.stores.sqlite.group_commit import GroupCommitter
from flue_cli.stores.sqlite.store import SqliteStore


def begin(store: Store, name: str) -> BegunTurn:
    begun = store.begin(TurnRequest("parrot", name, "hi"), lambda *_: None)
    assert isinstance(begun, BegunTurn)
    return begun


def shared_writer(store: SqliteStore) -> GroupCommitter:
    """The writer of a store whose commits are shared; nothing but tests gets hold of it."""
    writer = store._connections._group_committer
    assert writer is not None
    return writer


def wait_for_queue(store: SqliteStore, threads: int) -> None:
    """Wait until so many threads wait for the shared connection."""
    writer = shared_writer(store)
    while writer._arrivals < threads:
        time.sleep(0.001)


class Connection:
    """The shared connection, watched: how many commits there were, and what the next one is to raise."""

    def __init__(self, store: SqliteStore) -> None:
        writer = shared_writer(store)
        assert writer._db is not None
        self._db = writer._db
        self.committing = threading.Event()
        self.commits = 0
        self.failure: Exception | None = None
        self.held = threading.Event()
        self.held.set()
        writer._db = self  # type: ignore[assignment]

    def execute(self, statement: str, *values: Any) -> sqlite3.Cursor:
        if statement == "COMMIT":
            self.commits += 1
            self.committing.set()
            assert self.held.wait(30)
            if self.failure:
                raise self.failure
        return self._db.execute(statement, *values)

    @property
    def in_transaction(self) -> bool:
        return self._db.in_transaction

    def close(self) -> None:
        self._db.close()
