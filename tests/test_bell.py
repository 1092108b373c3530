"""Bells: who waits for a session is woken when it is its turn, and is never left waiting by a lost ring."""

from __future__ import annotations

import errno
import os
import shutil
import socket
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

from flue_cli.errors import FlueError, SessionBusy, StoreError
from flue_cli.stores import open_store, queue
from flue_cli.stores.records import Head, Holder
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


def fails(*_: object, **__: object) -> None:
    raise OSError(errno.EPERM, "not here")


def bells(store: Path) -> list[Path]:
    return sorted(Path(f"{store}-owners").glob(".*.bell"))


def test_a_bell_wakes_whoever_waits(tmp_path: Path) -> None:
    """A ring ends a wait at once, also one that comes just before it."""
    path = str(tmp_path / "bell")
    bell = Bell(path)
    thread = runs(lambda: bell.wait(LONG))
    ring(path)
    assert ended(thread)

    ring(path)
    assert ended(runs(lambda: bell.wait(LONG)))
    bell.take_down()


def test_a_wait_ends_without_a_ring(tmp_path: Path) -> None:
    """Nobody waits longer than it wants to, and a ring that was heard is over."""
    bell = Bell(str(tmp_path / "bell"))
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
    for _ in range(66_000):
        ring(str(tmp_path / "bell"))
    bell.take_down()


def test_where_no_bell_can_be_there_is_a_pause(tmp_path: Path) -> None:
    """On a file system without FIFOs a process waits as long as it said, and knows that it hears nothing."""
    began = time.monotonic()
    bell = Bell(str(tmp_path / "no folder" / "bell"))
    assert not bell.hangs()
    bell.wait(0.05)
    assert time.monotonic() - began >= 0.05
    bell.take_down()


@pytest.mark.parametrize("is_reused", [False, True])
def test_a_bell_that_an_agent_closed_does_no_harm(tmp_path: Path, is_reused: bool) -> None:
    """What has its descriptor after an agent closed it is neither read nor closed, and nobody waits in circles."""
    bell = Bell(str(tmp_path / "bell"))
    ours, theirs = socket.socketpair()
    if is_reused:
        os.dup2(ours.fileno(), bell._fifo)
    else:
        os.close(bell._fifo)
    theirs.send(b"request")
    assert not bell.hangs()
    began = time.monotonic()
    bell.wait(0.05)
    assert time.monotonic() - began >= 0.05
    bell.take_down()
    assert ours.recv(100) == b"request"
    if is_reused:
        os.close(bell._fifo)  # still open
    ours.close()
    theirs.close()


@pytest.mark.parametrize("processes", [1, 4], ids=["threads", "processes"])
def test_who_stands_in_line_is_called(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int
) -> None:
    """Those in line begin as soon as the one before them has ended, and need not have looked for it."""
    monkeypatch.setattr(queue, "_CALLED_PAUSE", LONG)
    monkeypatch.setattr(queue, "_LONGEST_PAUSE", LONG)
    path = tmp_path / "flue.db"
    stores = [open_store(str(path)) for _ in range(processes)]
    lease = begin(stores[0], "first").lease
    threads = []
    for number in range(1, 4):
        store = stores[number % processes]
        threads.append(runs(partial(turn, store, f"next {number}", wait=2 * LONG)))
        while in_line(path) < number:
            time.sleep(0.001)
    finish(stores[0], lease)
    assert all(ended(thread) for thread in threads)
    assert prompts(stores[0]) == ["first", "next 1", "next 2", "next 3"]

    assert bells(path) != []
    for store in stores:
        store.close()
    assert bells(path) == []


def test_bells_hang_for_the_next_one(tmp_path: Path) -> None:
    """However often a process waits, it leaves no more beside the store than it needs at a time."""
    path = tmp_path / "flue.db"
    ours, theirs = open_store(str(path)), open_store(str(path))
    for _ in range(5):
        lease = begin(theirs, "before").lease
        waiter = runs(partial(turn, ours, "behind", wait=LONG))
        while in_line(path) == 0:
            time.sleep(0.001)
        finish(theirs, lease)
        assert ended(waiter)
        assert len(bells(path)) == 1
    ours.close()
    theirs.close()


def test_without_bells_the_line_moves_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there are no FIFOs, those in line look for themselves as often as ever."""
    monkeypatch.setattr(queue, "_CALLED_PAUSE", LONG)
    monkeypatch.setattr(queue, "_LONGEST_PAUSE", LONG)
    monkeypatch.setattr(os, "mkfifo", fails)
    path = tmp_path / "flue.db"
    stores = [open_store(str(path)) for _ in range(3)]
    lease = begin(stores[0], "first").lease
    threads = []
    for number in (1, 2):
        threads.append(runs(partial(turn, stores[number], f"next {number}", wait=2 * LONG)))
        while in_line(path) < number:
            time.sleep(0.001)
    finish(stores[0], lease)
    assert all(ended(thread) for thread in threads)
    for store in stores:
        store.close()


@pytest.mark.parametrize("why", ["is refused", "is cancelled"])
def test_who_gives_up_calls_the_next(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    """When the next in line goes, whatever for, the one behind it does not wait for a call that it had."""
    monkeypatch.setattr(queue, "_CALLED_PAUSE", LONG)
    monkeypatch.setattr(queue, "_LONGEST_PAUSE", LONG)
    path = tmp_path / "flue.db"
    stores = [open_store(str(path)) for _ in range(3)]
    talk(stores[0], "hello", name="taken")
    lease = begin(stores[0], "first").lease

    def pause(seconds: float, holder: Holder) -> None:
        time.sleep(seconds)
        if why == "is cancelled" and over.is_set():
            raise SessionBusy("enough")

    over = threading.Event()
    rename = partial(stores[1].rename, lease.head, "taken", wait=2 * LONG, pause=pause)
    threads = [runs(suppressed(rename))]
    while in_line(path) < 1:
        time.sleep(0.001)
    threads.append(runs(partial(turn, stores[2], "behind", wait=2 * LONG)))
    while in_line(path) < 2:
        time.sleep(0.001)
    over.set()
    finish(stores[0], lease)
    assert all(ended(thread) for thread in threads)
    for store in stores:
        store.close()


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

    def is_gone(uid: int) -> bool:
        raise StoreError("the disk is gone")

    monkeypatch.setattr(other._claims._line, "call_next", is_gone)
    finish(store, first)
    assert ended(waiter)
    assert answered == [store.head(AGENT, "main")]
    store.close()
    other.close()


def test_what_is_in_the_way_is_told_in_plain_words(tmp_path: Path) -> None:
    """When the folder beside the store cannot be used, going on with a session is a StoreError."""
    path = tmp_path / "flue.db"
    store = open_store(str(path))
    lease = begin(store, "one").lease
    store.close()
    shutil.rmtree(f"{path}-owners")
    Path(f"{path}-owners").touch()
    finish(store, lease)
    with pytest.raises(StoreError, match="cannot be used"):
        begin(store, "two")
    store.close()


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
