"""Bells: who waits for a session is woken when it is its turn, and is never left waiting by a lost ring."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import closing, suppress
from functools import partial
from pathlib import Path

import pytest

from flue_cli.errors import FlueError, StoreError
from flue_cli.stores import open_store, queue
from flue_cli.stores.records import Head
from flue_cli.stores.sqlite import SqliteStore
from flue_cli.stores.sqlite.bell import Bell, ring
from flue_cli.testing.steps import AGENT, BROKEN, begin, finish, prompts, sleep, talk, turn

LONG = 30.0
"""Longer than any test takes: who still waits then was not woken."""


def runs(action: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=action)
    thread.start()
    return thread


def ended(thread: threading.Thread) -> bool:
    thread.join(LONG / 3)
    return not thread.is_alive()


def in_line(store: Path) -> int:
    """How many prompts stand in line."""
    with closing(sqlite3.connect(store, timeout=5)) as db:
        (count,) = db.execute("SELECT count(*) FROM waiting").fetchone()
    return int(count)


def suppressed(action: Callable[[], object]) -> Callable[[], None]:
    """`action`, whatever comes of it."""

    def act() -> None:
        with suppress(FlueError):
            action()

    return act


def bells(store: Path) -> list[Path]:
    return sorted(Path(f"{store}-owners").glob(".*.bell"))


def test_a_bell_wakes_whoever_waits(tmp_path: Path) -> None:
    """A ring ends a wait at once, also one that comes just before it."""
    path = str(tmp_path / "bell")
    bell = Bell(path)
    thread = runs(lambda: bell.wait(LONG))
    while not os.path.exists(path):
        time.sleep(0.001)
    ring(path)
    assert ended(thread)

    ring(path)
    assert ended(runs(lambda: bell.wait(LONG)))
    bell.take_down()


def test_a_wait_ends_without_a_ring(tmp_path: Path) -> None:
    """Nobody waits longer than it wants to, and a ring that was heard is over."""
    bell = Bell(str(tmp_path / "bell"))
    bell.wait(0.001)
    ring(str(tmp_path / "bell"))
    bell.wait(LONG)
    began = time.monotonic()
    bell.wait(0.05)
    assert time.monotonic() - began >= 0.05
    bell.take_down()
    assert list(tmp_path.iterdir()) == []


def test_ringing_nobody_does_nothing(tmp_path: Path) -> None:
    """No bell, one of a process that died, and one that nobody empties hold up nobody who rings."""
    ring(str(tmp_path / "none"))
    os.mkfifo(tmp_path / "dead")
    ring(str(tmp_path / "dead"))
    bell = Bell(str(tmp_path / "bell"))
    bell.wait(0.001)
    for _ in range(66_000):
        ring(str(tmp_path / "bell"))
    bell.take_down()


def test_where_no_bell_can_be_there_is_a_pause(tmp_path: Path) -> None:
    """On a file system without FIFOs a process waits as long as it said, and looks again."""
    began = time.monotonic()
    Bell(str(tmp_path / "no folder" / "bell")).wait(0.05)
    assert time.monotonic() - began >= 0.05


def test_a_bell_that_an_agent_closed_is_not_heard(tmp_path: Path) -> None:
    """An agent that closes every descriptor it finds makes waits longer, and breaks none."""
    path = str(tmp_path / "bell")
    bell = Bell(path)
    bell.wait(0.001)
    os.close(bell._fifo)
    bell.wait(0.001)
    began = time.monotonic()
    bell.wait(0.05)
    assert time.monotonic() - began >= 0.05
    bell.take_down()


def test_a_ring_wakes_one_thread_at_least(tmp_path: Path) -> None:
    """Threads that wait at one bell do not wait for each other."""
    path = str(tmp_path / "bell")
    bell = Bell(path)
    bell.wait(0.001)
    threads = [runs(lambda: bell.wait(LONG)) for _ in range(4)]
    soon = time.monotonic() + LONG / 3
    for left in (3, 2, 1, 0):
        ring(path)
        while sum(thread.is_alive() for thread in threads) > left:
            assert time.monotonic() < soon
            time.sleep(0.001)
    bell.take_down()


def test_who_stands_in_line_is_called(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Those in line begin as soon as the one before them has ended, and need not have looked for it."""
    monkeypatch.setattr(queue, "_CALLED_PAUSE", LONG)
    monkeypatch.setattr(queue, "_LONGEST_PAUSE", LONG)
    path = tmp_path / "flue.db"
    stores = [open_store(str(path)) for _ in range(4)]
    lease = begin(stores[0], "first").lease
    threads = []
    for number, store in enumerate(stores[1:], 1):
        threads.append(runs(partial(turn, store, f"next {number}", wait=2 * LONG)))
        while in_line(path) < number:
            time.sleep(0.001)
    finish(stores[0], lease)
    assert all(ended(thread) for thread in threads)
    assert prompts(stores[0]) == ["first", "next 1", "next 2", "next 3"]

    assert len(bells(path)) == 3
    for store in stores:
        store.close()
    assert bells(path) == []


def test_a_command_calls_whoever_waits_behind_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also an undo that had to wait lets the next one go on when it is done."""
    monkeypatch.setattr(queue, "_CALLED_PAUSE", LONG)
    monkeypatch.setattr(queue, "_LONGEST_PAUSE", LONG)
    path = tmp_path / "flue.db"
    stores = [open_store(str(path)) for _ in range(3)]
    talk(stores[0], "one")
    lease = begin(stores[0], "fails").lease
    changes = [
        lambda: stores[1].rename(lease.head, "other", wait=2 * LONG, pause=sleep),
        lambda: stores[2].rename(lease.head, "another", wait=2 * LONG, pause=sleep),
    ]
    threads = []
    for number, change in enumerate(changes, 1):
        threads.append(runs(suppressed(change)))
        while in_line(path) < number:
            time.sleep(0.001)
    stores[0].abandon(lease, "failed", BROKEN, {})
    assert all(ended(thread) for thread in threads)
    for store in stores:
        store.close()


def test_a_call_that_fails_is_no_failure_of_the_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """When the store fails right after a turn was saved, the turn is not reported as lost."""
    path = tmp_path / "flue.db"
    store, other = SqliteStore(str(path)), SqliteStore(str(path))
    first = begin(store, "one").lease
    answered: list[Head] = []
    waiter = runs(lambda: answered.append(turn(other, "two", wait=LONG)))
    while in_line(path) == 0:
        time.sleep(0.001)

    def fails(uid: int) -> bool:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(other._claims._line, "call_next", fails)
    finish(store, first)
    assert ended(waiter)
    assert answered == [store.head(AGENT, "main")]
    store.close()
    other.close()


def test_the_bell_of_a_killed_process_is_taken_down(tmp_path: Path) -> None:
    """What a process that was killed while it waited leaves beside the store is gone with the next turn."""
    path = tmp_path / "flue.db"
    store = open_store(str(path))
    lease = begin(store, "one").lease
    waits = "import sys; from flue_cli.stores import open_store; from flue_cli.testing.steps import begin;"
    waits += "begin(open_store(sys.argv[1]), 'never', wait=100)"
    with subprocess.Popen([sys.executable, "-c", waits, str(path)]) as child:
        while not bells(path):
            time.sleep(0.001)
        child.kill()
    finish(store, lease)
    store.close()
    assert len(bells(path)) == 1

    other = open_store(str(path))
    talk(other, "two")
    assert bells(path) == []
    other.close()
