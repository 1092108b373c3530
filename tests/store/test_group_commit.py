"""Turns of many threads whose commits share an fsync: the same promises, and one failure for all."""

from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.group_commit import Connection, begin, wait_for_queue

from flue_cli.errors import LeaseLost, StoreError
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import BegunTurn, TurnResult
from flue_cli.stores.sqlite.store import SqliteStore
from flue_cli.testing import StoreContract


class TestSharing(StoreContract):
    """The store in a file, with commits shared: everything holds as it does without."""

    @pytest.fixture
    def store(self, tmp_path: Path) -> Iterator[Store]:
        opened = open_store(str(tmp_path / "flue.db"))
        opened.share_commits()
        yield opened
        opened.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[SqliteStore]:
    opened = SqliteStore(str(tmp_path / "flue.db"))
    opened.share_commits()
    yield opened
    opened.close()


def finish(store: Store, begun: BegunTurn) -> None:
    store.commit(begun.lease, TurnResult(reply="ok", messages=(), data='{"n":1}', meta={}))


def all_at_once(store: SqliteStore, connection: Connection, begun: list[BegunTurn]) -> list[Exception | None]:
    """Finish all turns while a commit is being made, so that they gather: what each raised."""
    connection.held.clear()
    first = threading.Thread(target=lambda: finish(store, begin(store, "first")))
    first.start()
    assert connection.committing.wait(30)
    raised: list[Exception | None] = [None] * len(begun)

    def one(number: int) -> None:
        try:
            finish(store, begun[number])
        except (StoreError, LeaseLost) as error:
            raised[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(begun))]
    for thread in threads:
        thread.start()
    wait_for_queue(store, len(begun))
    connection.held.set()
    for thread in (*threads, first):
        thread.join(30)
    return raised


def test_those_who_wait_share_one_commit(store: SqliteStore) -> None:
    """Turns that end while the disk is busy with another are all durable with the next commit or two."""
    begun = [begin(store, f"s{number}") for number in range(20)]
    connection = Connection(store)
    assert all_at_once(store, connection, begun) == [None] * 20
    assert connection.commits <= 4  # the first turn makes two of them
    other = SqliteStore(store.path)
    assert all(other.head("parrot", f"s{number}").turn == 1 for number in range(20))
    other.close()


def test_a_refused_turn_leaves_the_others_alone(store: SqliteStore) -> None:
    """A turn whose lease was lost is undone by itself; who shares the commit with it does not notice."""
    begun = [begin(store, f"s{number}") for number in range(5)]
    begun[2] = begun[2]._replace(lease=begun[2].lease._replace(fence=99))
    connection = Connection(store)
    raised = all_at_once(store, connection, begun)
    assert [type(error) for error in raised] == [type(None), type(None), LeaseLost, type(None), type(None)]
    assert [store.head("parrot", f"s{number}").turn for number in range(5)] == [1, 1, 0, 1, 1]


def test_a_commit_that_fails_fails_for_all(store: SqliteStore) -> None:
    """Nobody is told that a turn is kept when the commit that it shared failed, and nothing of it is."""
    begun = [begin(store, f"s{number}") for number in range(5)]
    connection = Connection(store)
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL
    connection.failure = full
    raised: list[StoreError] = []

    def one(number: int) -> None:
        with pytest.raises(StoreError) as found:
            finish(store, begun[number])
        raised.append(found.value)

    threads = [threading.Thread(target=one, args=(number,)) for number in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert ["disk is full" in error.message for error in raised] == [True] * 5
    assert [store.head("parrot", f"s{number}").turn for number in range(5)] == [0] * 5
    connection.failure = None
    begun = [begin(store, f"s{number}") for number in range(5)]
    assert [one.interrupted is not None for one in begun] == [True] * 5
    for one_begun in begun:
        finish(store, one_begun)


def test_a_store_that_was_replaced_is_noticed(store: SqliteStore) -> None:
    """Turns in a file that was removed meanwhile are refused, not lost."""
    begun = begin(store, "a")
    Path(store.path).unlink()
    with pytest.raises(StoreError, match="removed or replaced"):
        finish(store, begun)


TALK = """
import sys, threading
from flue_cli.stores import open_store
from flue_cli.stores.records import TurnRequest, TurnResult
store = open_store(sys.argv[1])
store.share_commits()
def talk(name):
    number = 0
    while True:
        begun = store.begin(TurnRequest("parrot", name, "hi"), lambda *_: None)
        number += 1
        store.commit(begun.lease, TurnResult(reply="ok", messages=(), data=f'{{"n":{number}}}', meta={}))
        sys.stdout.write(f"{name} {number}\\n")
        sys.stdout.flush()
for number in range(8):
    threading.Thread(target=talk, args=(f"s{number}",)).start()
"""


def test_what_was_acknowledged_survives_a_kill(tmp_path: Path) -> None:
    """Every turn that somebody was told of is there after kill -9, whoever shared its commit."""
    path = str(tmp_path / "flue.db")
    with subprocess.Popen([sys.executable, "-c", TALK, path], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = [process.stdout.readline() for _ in range(400)]
        process.kill()
        said += process.stdout.readlines()
    told = {line.split()[0]: int(line.split()[1]) for line in said if line.endswith("\n")}
    store = open_store(path)
    for name, number in told.items():
        head = store.head("parrot", name)
        assert head.turn >= number
        assert store.data_at(head, number) == f'{{"n":{number}}}'
    store.close()
