"""Waiting for a session that another process uses: in order, within bounds, and without a trace."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import statistics
import subprocess
import threading
import time
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flue_cli.errors import FlueError, SessionBusy, StoreError
from flue_cli.stores import open_store
from flue_cli.stores.records import LEASE_SECONDS, TurnFailure
from flue_cli.testing.run_turns import (
    BROKEN,
    begin_turn,
    complete_turn,
    run_turn,
    run_turns,
    sleep,
    timeline_prompts,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Flue, Process

    from flue_cli.stores.contract import Store
    from flue_cli.stores.records import LeaseHolder

GATED = """
import os, time

def agent(prompt, session, context):
    session.data.setdefault("order", []).append(prompt)
    if prompt.startswith("hold"):
        yield "begun\\n"
        while not os.path.exists("gate"):
            time.sleep(0.01)
    yield "done"
"""


@pytest.fixture
def gated(flue: Flue) -> Flue:
    """An agent that holds its session until the gate opens."""
    flue.agent("gated", GATED)
    return flue


def hold(flue: Flue, prompt: str = "hold") -> Process:
    """A turn that runs until the gate opens."""
    process = flue.start("chat", "gated", "-s", "a", prompt, stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"begun\n"
    return process


def open_gate(flue: Flue) -> None:
    (flue.folder / "gate").touch()


def shorten_leases(flue: Flue, seconds: float) -> None:
    """Have all that `flue` runs from now on take leases of so many seconds."""
    python, *_ = flue.command
    flue.command = [
        python,
        str(Path(__file__).parents[1] / "support" / "run_with_short_lease.py"),
        str(seconds),
    ]


def in_line(store: Flue | Path) -> int:
    """The number of prompts that stand in line."""
    path = store if isinstance(store, Path) else store.store
    with closing(sqlite3.connect(path, timeout=5)) as db:
        (count,) = db.execute("SELECT count(*) FROM waiting").fetchone()
    return int(count)


def wait_behind(flue: Flue, *arguments: str) -> Process:
    """A command that waits, once it stands in line."""
    before = in_line(flue)
    process = flue.start(*arguments, stdin=subprocess.DEVNULL)
    while in_line(flue) == before:
        assert process.poll() is None
        time.sleep(0.01)
    return process


def ask(flue: Flue, prompt: str) -> Process:
    """A prompt that waits."""
    return wait_behind(flue, "chat", "gated", "-s", "a", prompt)


def order(flue: Flue, session: str = "a") -> list[str]:
    """The completed prompts, in the order in which they were answered."""
    answered: list[str] = json.loads(flue("sessions", "export", session, stdin=None).out)["data"]["order"]
    return answered


def ended(process: Process) -> tuple[int, str, str]:
    out, err = process.communicate(timeout=30)
    return process.returncode, out.decode(), err.decode()


def test_prompts_are_answered_in_order_of_arrival(gated: Flue) -> None:
    """Whoever came first is answered first, each on what the one before left."""
    holder = hold(gated)
    waiters = [ask(gated, f"waiter {number}") for number in range(5)]
    assert in_line(gated) == 5
    open_gate(gated)

    assert [ended(process)[:2] for process in (holder, *waiters)] == [(0, "done\n")] * 6
    assert order(gated) == ["hold", *(f"waiter {number}" for number in range(5))]
    assert in_line(gated) == 0


def test_a_killed_waiter_loses_its_place_alone(gated: Flue) -> None:
    """Those behind a waiter that was killed move up, and nothing of it is left."""
    holder = hold(gated)
    first, second, third = (ask(gated, f"waiter {number}") for number in range(3))
    second.kill()
    second.wait()
    open_gate(gated)

    assert [ended(process)[0] for process in (holder, first, third)] == [0, 0, 0]
    assert order(gated) == ["hold", "waiter 0", "waiter 2"]
    assert in_line(gated) == 0


def test_a_short_lease_is_short(gated: Flue) -> None:
    """What the tests below rest on: a session and a place in line are claimed for as long as they say."""
    shorten_leases(gated, 2)
    hold(gated)
    ask(gated, "first")

    with closing(sqlite3.connect(gated.store)) as db:
        expiries = db.execute("SELECT expires_at FROM session UNION ALL SELECT expires_at FROM waiting")
        left = [expires / 1_000_000 - time.time() for (expires,) in expiries.fetchall()]
    assert len(left) == 2
    assert all(seconds < 2 for seconds in left)


@pytest.mark.slow
def test_a_stopped_waiter_holds_up_no_longer_than_a_lease(gated: Flue) -> None:
    """A waiter that is stopped is passed over when its claim runs out, and gets in when it wakes."""
    shorten_leases(gated, 1.5)
    holder = hold(gated)
    stopped = ask(gated, "stopped")
    stopped.send_signal(signal.SIGSTOP)
    behind = ask(gated, "behind")
    time.sleep(0.5)
    open_gate(gated)
    opened = time.monotonic()

    assert ended(holder)[0] == 0
    assert ended(behind)[0] == 0
    assert time.monotonic() - opened < LEASE_SECONDS / 2  # far less than with usual leases
    stopped.send_signal(signal.SIGCONT)
    assert ended(stopped)[0] == 0
    assert order(gated) == ["hold", "behind", "stopped"]


@pytest.mark.slow
def test_a_waiter_keeps_its_place_past_a_lease(gated: Flue) -> None:
    """Who waits longer than a lease lasts keeps its place before those who came later."""
    shorten_leases(gated, 1)
    holder = hold(gated)
    first = ask(gated, "first")
    time.sleep(2.2)
    second = ask(gated, "second")
    open_gate(gated)

    assert [ended(process)[0] for process in (holder, first, second)] == [0, 0, 0]
    assert order(gated) == ["hold", "first", "second"]


def test_no_wait_is_refused_at_once(gated: Flue) -> None:
    """With --wait 0 a busy session is exit 4 at once, and says which process holds it and since when."""
    holder = hold(gated)
    time.sleep(1.1)
    began = time.monotonic()

    busy = gated("chat", "gated", "-s", "a", "--wait", "0", "x", stdin=None)

    assert time.monotonic() - began < 5
    host = os.uname().nodename
    said = f"error: session 'a' is busy: another process (pid {holder.pid} on {host}) has been answering for "
    assert (busy.code, busy.out) == (4, "")
    assert busy.err.startswith(said)
    assert 1 <= int(busy.err.removeprefix(said).partition(" s\n")[0]) < 20
    for form in ("json", "stream-json"):
        done = gated("chat", "gated", "-s", "a", "--wait", "0", "--output-format", form, "x", stdin=None)
        assert (done.code, done.out, done.err.startswith(said)) == (4, "", True)
    assert in_line(gated) == 0


def test_a_wait_is_bounded(gated: Flue) -> None:
    """--wait bounds the waiting; a prompt that gave up is not recorded."""
    hold(gated)
    began = time.monotonic()

    busy = gated("chat", "gated", "-s", "a", "--wait", "0.5", "x", stdin=None)

    assert (busy.code, 0.5 <= time.monotonic() - began < 5) == (4, True)
    assert in_line(gated) == 0
    open_gate(gated)
    assert gated("chat", "gated", "-s", "a", "next", stdin=None).code == 0
    assert order(gated) == ["hold", "next"]


def test_a_person_is_told_for_whom_a_turn_waits(gated: Flue) -> None:
    """On a terminal a wait of more than a second says which process it is for and how long that took."""
    holder = hold(gated)
    ours, theirs = os.openpty()
    waiter = gated.start("chat", "gated", "-s", "a", "x", stdin=subprocess.DEVNULL, stderr=theirs)
    os.close(theirs)
    seen = os.read(ours, 1000).decode()

    assert seen.removeprefix("\x1b[2m").startswith(
        f"waiting: process {holder.pid} on {os.uname().nodename} has been answering for "
    )
    open_gate(gated)
    assert waiter.wait(timeout=30) == 0
    os.close(ours)


def test_a_prompt_that_waits_for_a_renamed_session_ends(gated: Flue) -> None:
    """A rename waits its turn; the prompt behind it is exit 4, and makes no session of the old name."""
    holder = hold(gated)
    rename = wait_behind(gated, "sessions", "rename", "a", "b")
    waiter = ask(gated, "late")
    open_gate(gated)

    assert ended(holder)[0] == 0
    assert ended(rename) == (0, "", "gated/a is now gated/b\n")
    code, out, err = ended(waiter)
    assert (code, out) == (4, "")
    assert "session 'a' was deleted, renamed or replaced meanwhile" in err
    assert [line.split("\t")[1] for line in gated("sessions", "list", stdin=None).out.splitlines()] == ["b"]
    assert order(gated, "b") == ["hold"]


@pytest.mark.parametrize("anew", [False, True], ids=["gone", "made anew"])
def test_a_prompt_that_waits_for_a_deleted_session_ends(gated: Flue, anew: bool) -> None:
    """A waiter that slept while its session was deleted, or made anew, is exit 4 and changes nothing."""
    holder = hold(gated)
    waiter = ask(gated, "late")
    waiter.send_signal(signal.SIGSTOP)
    open_gate(gated)
    assert ended(holder)[0] == 0
    assert gated("sessions", "delete", "a", "--yes", stdin=None).code == 0
    if anew:
        assert gated("chat", "gated", "-s", "a", "another", stdin=None).code == 0
    before = gated("sessions", "list", stdin=None).out

    waiter.send_signal(signal.SIGCONT)
    code, out, err = ended(waiter)
    assert (code, out) == (4, "")
    assert "was deleted, renamed or replaced meanwhile" in err
    assert gated("sessions", "list", stdin=None).out == before
    assert in_line(gated) == 0


def test_a_session_that_is_used_is_not_deleted(gated: Flue) -> None:
    """Deleting does not wait: while a turn runs it is exit 4 at once, and nothing is gone."""
    holder = hold(gated)
    began = time.monotonic()

    done = gated("sessions", "delete", "a", "--yes", stdin=None)

    assert (done.code, time.monotonic() - began < 5) == (4, True)
    assert "is busy" in done.err
    open_gate(gated)
    assert ended(holder)[0] == 0
    assert order(gated) == ["hold"]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["sleep", "loop", "async"])
def test_a_slow_agent_keeps_its_session(flue: Flue, kind: str) -> None:
    """An agent that thinks for many leases is not taken for dead, whatever it does meanwhile."""
    body = {
        "sleep": "import time\ndef agent(p, s, c):\n    yield 'begun\\n'\n    time.sleep(3)\n    yield 'done'",
        "loop": "import time\ndef agent(p, s, c):\n    yield 'begun\\n'\n    end = time.monotonic() + 3\n"
        "    while time.monotonic() < end:\n        sum(range(1000))\n    yield 'done'",
        "async": "import asyncio\nasync def agent(p, s, c):\n    yield 'begun\\n'\n    await asyncio.sleep(3)\n    yield 'done'",
    }[kind]
    flue.agent("slow", body)
    shorten_leases(flue, 0.6)
    process = flue.start("chat", "slow", "-s", "a", "x", stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"begun\n"

    busy = flue("chat", "slow", "-s", "a", "--wait", "1.5", "y", stdin=None)
    assert (busy.code, "is busy" in busy.err) == (4, True)
    assert ended(process) == (0, "done\n", "")


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_gives_up_waiting_leaves_no_trace(gated: Flue, signum: signal.Signals) -> None:
    """A signal ends a wait as a shell expects; nothing of the prompt is left, and the next one goes ahead."""
    holder = hold(gated)
    first, second = ask(gated, "first"), ask(gated, "second")

    first.send_signal(signum)
    assert ended(first) == (-signum, "", "cancelled\n")
    assert in_line(gated) == 1
    open_gate(gated)

    assert [ended(process)[0] for process in (holder, second)] == [0, 0]
    assert order(gated) == ["hold", "second"]
    exported = json.loads(gated("sessions", "export", "a", stdin=None).out)
    assert [turn["turn"] for turn in exported["turns"]] == [1, 2]
    with closing(sqlite3.connect(gated.store)) as db, contextlib.suppress(IndexError):
        assert db.execute("SELECT count(*) FROM entry WHERE outcome = 'running'").fetchone() == (0,)


def test_a_line_of_prompts_waits_as_one(gated: Flue) -> None:
    """Two processes that each send many lines share the session, and every line is answered once."""
    holder = hold(gated)
    writers = []
    for writer in "xy":
        process = gated.start("chat", "gated", "-s", "a", "--lines")
        process.end_input("".join(f"{writer}{number}\n" for number in range(10)).encode())
        writers.append(process)
    open_gate(gated)

    assert [ended(process)[0] for process in (holder, *writers)] == [0, 0, 0]
    answered = order(gated)[1:]
    for writer in "xy":
        assert [token for token in answered if token[0] == writer] == [f"{writer}{n}" for n in range(10)]
    assert len(answered) == 20


# Waiters in one process, each on an opening of the store of its own


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[list[Store]]:
    """Four openings of one store: each waits as a process of its own does."""
    opened = [open_store(str(tmp_path / "flue.db")) for _ in range(4)]
    yield opened
    for store in opened:
        store.close()


def stand_in_line(path: Path, *actions: Callable[[], object]) -> list[threading.Thread]:
    """Threads that wait for a session, one behind the other; what their actions raise is nobody's business."""

    def act(action: Callable[[], object]) -> None:
        with contextlib.suppress(FlueError):
            action()

    threads = []
    for action in actions:
        before = in_line(path)
        threads.append(threading.Thread(target=act, args=(action,)))
        threads[-1].start()
        while in_line(path) == before:
            assert threads[-1].is_alive()
            time.sleep(0.001)
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(20)
        assert not thread.is_alive()


@pytest.mark.parametrize("openings", [1, 4], ids=["threads", "processes"])
def test_a_waiter_goes_on_soon_after_the_release(tmp_path: Path, stores: list[Store], openings: int) -> None:
    """Those in line begin in order, within a moment of the end of the turn before them."""
    path = tmp_path / "flue.db"
    pauses: list[float] = []
    for number in range(5):
        lease = begin_turn(stores[0], f"first {number}").lease
        actions = [
            partial(run_turn, stores[place % openings], f"{number}, {place}", wait=30) for place in (1, 2, 3)
        ]
        threads = stand_in_line(path, *actions)
        complete_turn(stores[0], lease)
        began = time.monotonic()
        join(threads)
        pauses.append((time.monotonic() - began) / 3)
    assert statistics.median(pauses) < 0.25
    assert timeline_prompts(stores[0]) == [
        prompt for n in range(5) for prompt in (f"first {n}", f"{n}, 1", f"{n}, 2", f"{n}, 3")
    ]


@pytest.mark.parametrize("why", ["is refused", "is cancelled"])
def test_a_waiter_that_gives_up_lets_the_next_one_go(tmp_path: Path, stores: list[Store], why: str) -> None:
    """When the next in line goes, whatever for, the one behind it is answered, and nobody is left in line."""
    path = tmp_path / "flue.db"
    run_turns(stores[0], "hello", name="taken")
    lease = begin_turn(stores[0], "first").lease
    over = threading.Event()

    def pause(seconds: float, holder: LeaseHolder) -> None:
        time.sleep(seconds)
        if why == "is cancelled" and over.is_set():
            raise SessionBusy("enough")

    threads = stand_in_line(
        path,
        partial(stores[1].rename, lease.head, "taken", wait=30, pause=pause),
        partial(run_turn, stores[2], "behind", wait=30),
    )
    over.set()
    complete_turn(stores[0], lease)
    join(threads)
    assert (timeline_prompts(stores[0]), in_line(path)) == (["first", "behind"], 0)


def test_a_command_lets_the_one_behind_it_go_on(tmp_path: Path, stores: list[Store]) -> None:
    """Renames that had to wait, behind a turn that fails, are made one after the other."""
    path = tmp_path / "flue.db"
    run_turns(stores[0], "one")
    lease = begin_turn(stores[0], "fails").lease
    threads = stand_in_line(
        path,
        partial(stores[1].rename, lease.head, "other", wait=30, pause=sleep),
        partial(stores[2].rename, lease.head, "another", wait=30, pause=sleep),
    )
    stores[0].abandon(lease, TurnFailure("failed", BROKEN, {}))
    join(threads)
    assert [summary.name for summary in stores[0].sessions()] == ["other"]
    assert in_line(path) == 0


def test_a_turn_does_not_pass_a_waiter(stores: list[Store]) -> None:
    """A process that just took a turn does not slip in again before one that was waiting behind it."""
    lease = begin_turn(stores[0], "long").lease
    is_over = threading.Event()

    def pause(seconds: float, holder: LeaseHolder) -> None:
        if is_over.is_set():
            with pytest.raises(SessionBusy):
                begin_turn(stores[0], "out of turn")
        else:
            complete_turn(stores[0], lease)
            is_over.set()

    assert begin_turn(stores[1], "waiting", pause=pause, wait=5).lease.turn == 2
    assert is_over.is_set()


def test_a_folder_in_the_way_is_told_in_plain_words(tmp_path: Path) -> None:
    """When the folder beside the store cannot be used, going on with a session is a StoreError."""
    path = tmp_path / "flue.db"
    store = open_store(str(path))
    lease = begin_turn(store, "one").lease
    store.close()
    shutil.rmtree(f"{path}-owners")
    Path(f"{path}-owners").touch()
    complete_turn(store, lease)
    with pytest.raises(StoreError, match="cannot be used"):
        begin_turn(store, "two")
    store.close()
