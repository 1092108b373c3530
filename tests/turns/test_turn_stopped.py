"""Turns that are stopped: cancelled, out of time, or without anybody who reads their output."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import pytest
from support.turn_host import Host, echo, remember

from flue_cli.agents.discovery import Agent
from flue_cli.errors import (
    FlueError,
    OutputClosed,
    OutputFailed,
    TurnCancelled,
    cancelled_by,
)
from flue_cli.stores.memory.store import MemoryStore
from flue_cli.stores.records import TurnRequest
from flue_cli.turns import watchdog
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.runner import Listener, Turn


@pytest.fixture
def in_thread() -> Iterator[Callable[..., Future[Turn]]]:
    """Call something in a thread of its own, as a server would."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit


# Agents that are stopped


class Stoppable:
    """Agents that would go on for five seconds; each tells when it `began` and whether it `cleaned` up."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.cleaned = False

    def _begin(self, session: Any) -> float:
        session.data["half"] = True
        self.began.set()
        return time.monotonic() + 5

    def sleeper(self, prompt: str, session: Any, context: Any) -> str:
        try:
            end = self._begin(session)
            while time.monotonic() < end:
                time.sleep(0.01)
        finally:
            self.cleaned = True
        return "never"

    def busy(self, prompt: str, session: Any, context: Any) -> str:
        try:
            end = self._begin(session)
            while time.monotonic() < end:
                pass
        finally:
            self.cleaned = True
        return "never"

    async def coroutine(self, prompt: str, session: Any, context: Any) -> str:
        try:
            self._begin(session)
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(0)
            self.cleaned = True
        return "never"

    def generator(self, prompt: str, session: Any, context: Any) -> Iterator[str]:
        try:
            end = self._begin(session)
            while time.monotonic() < end:
                yield "."
                time.sleep(0.01)
        finally:
            self.cleaned = True

    async def async_generator(self, prompt: str, session: Any, context: Any) -> Any:
        try:
            end = self._begin(session)
            while time.monotonic() < end:
                yield "."
                await asyncio.sleep(0.01)
        finally:
            await asyncio.sleep(0)
            self.cleaned = True

    def swallower(self, prompt: str, session: Any, context: Any) -> str:
        try:
            end = self._begin(session)
            while time.monotonic() < end:
                time.sleep(0.01)
        except BaseException:  # noqa: BLE001 - that is what is wrong with it
            self.cleaned = context.cancelled
        return "never mind"

    async def async_swallower(self, prompt: str, session: Any, context: Any) -> str:
        try:
            self._begin(session)
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            self.cleaned = context.cancelled
        return "never mind"


KINDS = ["sleeper", "busy", "coroutine", "generator", "async_generator", "swallower", "async_swallower"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_timeout_lets_the_agent_clean_up(quick: Host, in_thread: Any, kind: str) -> None:
    """When the time is up the agent is stopped and can clean up; the turn failed and changed nothing."""
    agent = Stoppable()
    quick.turn(remember)
    began = time.monotonic()
    late = in_thread(quick.turn, getattr(agent, kind), timeout=0.1).result()

    assert time.monotonic() - began < 3
    assert (late.outcome, late.reply) == ("failed", None)
    assert (late.error.type, late.error.exit_code) == ("timeout", 124)
    assert late.error.message == "the agent took longer than 0.1 s"
    assert agent.cleaned
    assert quick.data == {"said": ["hi"]}
    assert len(quick.history) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_turn_can_be_cancelled_from_another_thread(quick: Host, in_thread: Any, kind: str) -> None:
    """Whoever cancels a turn ends the agent where it stands; the turn is cancelled and changed nothing."""
    agent, cancellation = Stoppable(), Cancellation()
    quick.turn(remember)
    running = in_thread(quick.turn, getattr(agent, kind), cancellation=cancellation)
    agent.began.wait(5)
    began = time.monotonic()
    cancellation.request(cancelled_by(signal.SIGINT))
    cancelled = running.result()

    assert time.monotonic() - began < 3
    assert (cancelled.outcome, cancelled.reply) == ("cancelled", None)
    assert (cancelled.error.type, cancelled.error.exit_code) == ("cancelled", 130)
    assert agent.cleaned
    assert quick.data == {"said": ["hi"]}
    assert [entry.outcome for entry in quick.entries] == ["completed", "cancelled"]
    assert quick.turn(remember).outcome == "completed"


def test_a_cancelled_turn_is_kept_as_such(host: Host, in_thread: Any) -> None:
    """The store says of a cancelled prompt what became of it, and by whose wish."""
    agent, cancellation = Stoppable(), Cancellation()
    running = in_thread(host.turn, agent.sleeper, "long story", cancellation=cancellation)
    agent.began.wait(5)
    cancellation.request(cancelled_by(signal.SIGTERM))
    cancelled = running.result()
    (entry,) = host.entries

    assert cancelled.error is not None
    assert cancelled.error.exit_code == 143
    assert (entry.prompt, entry.outcome, entry.reply) == ("long story", "cancelled", None)
    assert entry.error == ("cancelled", "cancelled")
    assert host.store.unsettled_prompt(host.head) is None


def test_the_first_reason_stands(quick: Host, in_thread: Any) -> None:
    """A turn that is cancelled twice, or runs out of time while it cleans up, says the first reason."""
    agent, cancellation = Stoppable(), Cancellation()
    running = in_thread(quick.turn, agent.coroutine, cancellation=cancellation, timeout=5)
    agent.began.wait(5)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
        cancellation.request(cancelled_by(signum))

    assert running.result().error.message == "cancelled"


def test_a_turn_that_was_cancelled_before_it_began_does_not_run(quick: Host) -> None:
    """A cancellation that comes while the session is being opened reaches the agent before its first line."""
    runs: list[str] = []
    cancellation = Cancellation()
    cancellation.request(cancelled_by(signal.SIGINT))
    cancelled = quick.turn(lambda prompt, *_: runs.append(prompt), cancellation=cancellation)

    assert (cancelled.outcome, runs) == ("cancelled", [])


def test_who_waits_can_be_cancelled(quick: Host, in_thread: Any) -> None:
    """A turn that waits behind another is told who holds the session, and leaves when it is cancelled."""
    agent, first, second = Stoppable(), Cancellation(), Cancellation()
    holders: list[Any] = []

    def on_waiting(holder: Any) -> None:
        holders.append(holder)
        second.request(cancelled_by(signal.SIGINT))

    running = in_thread(quick.turn, agent.sleeper, cancellation=first)
    agent.began.wait(5)
    with pytest.raises(TurnCancelled):
        quick.runner.run(
            Agent("tester", echo, "v1"),
            TurnRequest("tester", "work", "hi", wait=5),
            Listener(on_wait=on_waiting),
            cancellation=second,
        )
    first.request(cancelled_by(signal.SIGINT))
    running.result()

    assert len(holders) == 1
    assert len(quick.entries) == 1


def test_an_agent_can_ask_whether_to_leave(quick: Host, in_thread: Any) -> None:
    """`context.cancelled` turns true at once, in whichever thread the agent asks."""
    cancellation, began = Cancellation(), threading.Event()
    seen: list[bool] = []

    async def agent(prompt: str, session: Any, context: Any) -> str:
        def work() -> None:
            seen.append(context.cancelled)
            began.set()
            end = time.monotonic() + 5
            while not context.cancelled and time.monotonic() < end:
                time.sleep(0.01)
            seen.append(context.cancelled)

        await asyncio.to_thread(work)
        return "done"

    running = in_thread(quick.turn, agent, cancellation=cancellation)
    began.wait(5)
    cancellation.request(cancelled_by(signal.SIGINT))

    assert running.result().outcome == "cancelled"
    assert seen == [False, True]


@pytest.mark.parametrize("kind", ["sleeper", "generator", "coroutine"])
def test_time_is_up_in_the_main_thread_too(quick: Host, kind: str) -> None:
    """An agent in the main thread of a program is stopped like any other."""
    agent = Stoppable()
    late = quick.turn(getattr(agent, kind), timeout=0.1)

    assert (late.outcome, agent.cleaned) == ("failed", True)
    assert late.error is not None
    assert late.error.exit_code == 124


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals need it")
def test_a_signal_ends_even_a_long_sleep() -> None:
    """In the command, an agent that sleeps or reads is stopped at once and not when it wakes up."""
    quick, cancellation = Host(MemoryStore()), Cancellation(wake_by=signal.SIGINT)
    old = signal.signal(signal.SIGINT, lambda signum, frame: cancellation.request(cancelled_by(signum)))
    began = time.monotonic()
    try:
        late = quick.turn(lambda *_: time.sleep(5), cancellation=cancellation, timeout=0.1)
    finally:
        signal.signal(signal.SIGINT, old)

    assert time.monotonic() - began < 3
    assert late.error is not None
    assert late.error.type == "timeout"


def stubborn(until: threading.Event, running: list[str]) -> Any:
    """An agent that will hear nothing of stopping until `until`, or for five seconds."""

    def agent(prompt: str, session: Any, context: Any) -> str:
        end = time.monotonic() + 5
        while not until.is_set() and time.monotonic() < end:
            try:
                session.data["late"] = True
                running.append("began")
                while not until.is_set() and time.monotonic() < end:
                    time.sleep(0.01)
            except BaseException:  # noqa: BLE001 - that is what is wrong with it
                running.append("swallowed")
        running.append("ended")
        return "late"

    return agent


def async_stubborn(until: threading.Event, running: list[str]) -> Any:
    async def agent(prompt: str, session: Any, context: Any) -> str:
        end = time.monotonic() + 5
        session.data["late"] = True
        running.append("began")
        while not until.is_set() and time.monotonic() < end:
            time.sleep(0.01)  # noqa: ASYNC251 - an agent that lets nobody else run
        running.append("ended")
        return "late"

    return agent


@pytest.mark.parametrize("kind", [stubborn, async_stubborn])
@pytest.mark.parametrize(("timeout", "outcome", "code"), [(None, "cancelled", 130), (0.1, "failed", 124)])
def test_an_agent_that_will_not_stop_is_given_up(
    host: Host,
    in_thread: Any,
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    timeout: float | None,
    outcome: str,
    code: int,
) -> None:
    """The turn is settled while the agent goes on, the session is free, and a late reply is dropped."""
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.2)
    cancellation, until, given_up = Cancellation(), threading.Event(), threading.Event()
    running: list[str] = []
    stuck: list[Turn] = []

    def on_stuck(settled: Turn) -> None:
        stuck.append(settled)
        given_up.set()

    host.turn(remember, "before")
    call = in_thread(
        host.turn, kind(until, running), cancellation=cancellation, timeout=timeout, on_stuck=on_stuck
    )
    while not running:
        time.sleep(0.001)
    if timeout is None:
        cancellation.request(cancelled_by(signal.SIGINT))
    assert given_up.wait(5)
    while_it_runs = host.turn(remember, "meanwhile")
    ran_on = "ended" not in running
    until.set()
    returned = call.result()

    assert ran_on
    assert (while_it_runs.outcome, while_it_runs.turn) == ("completed", 3)
    assert len(stuck) == 1
    for settled in (stuck[0], returned):
        assert (settled.outcome, settled.reply, settled.turn) == (outcome, None, 2)
        assert settled.error is not None
        assert settled.error.exit_code == code
        assert json.loads(settled.data) == {"said": ["before"]}
    assert host.data == {"said": ["before", "meanwhile"]}
    assert [entry.outcome for entry in host.entries] == ["completed", outcome, "completed"]


def test_an_agent_has_two_seconds_to_stop(quick: Host, in_thread: Any) -> None:
    """An agent that was told to stop may take two seconds to clean up before it is given up."""
    cancellation, given_up = Cancellation(), threading.Event()
    running: list[str] = []
    call = in_thread(
        quick.turn,
        stubborn(given_up, running),
        cancellation=cancellation,
        on_stuck=lambda settled: given_up.set(),
    )
    while not running:
        time.sleep(0.001)
    began = time.monotonic()
    cancellation.request(cancelled_by(signal.SIGINT))
    call.result()

    assert 1.9 < time.monotonic() - began < 4
    assert running == ["began", "swallowed", "began", "ended"]


def test_a_timeout_holds_where_a_thousand_files_are_open(quick: Host) -> None:
    """A server with very many connections still ends turns whose time is up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    try:
        with ExitStack() as many:
            for _ in range(1100):
                many.enter_context(open(os.devnull))
            late = quick.turn(Stoppable().sleeper, timeout=0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert late.error
    assert late.error.type == "timeout"


# Output that goes away


class Chatty:
    """Agents that stream without end and note when they are closed."""

    def __init__(self) -> None:
        self.closed = False

    def generator(self, *_: Any) -> Iterator[str]:
        try:
            while True:
                yield "."
        finally:
            self.closed = True

    async def async_generator(self, *_: Any) -> Any:
        try:
            while True:
                yield "."
        finally:
            await asyncio.sleep(0)
            self.closed = True

    def unwilling(self, *_: Any) -> Iterator[str]:
        try:
            while True:
                yield "."
        except GeneratorExit:
            self.closed = True
            yield "one more"


@pytest.mark.parametrize("kind", ["generator", "async_generator", "unwilling"])
@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [(OutputClosed("gone"), "cancelled", 141), (OutputFailed("full"), "failed", 74)],
)
def test_when_nobody_listens_the_agent_is_closed(
    quick: Host, kind: str, error: FlueError, outcome: str, code: int
) -> None:
    """A stream whose reader has gone is not made any longer, and the turn is not kept as if it was read."""
    agent, heard = Chatty(), []

    def on_piece(piece: str) -> None:
        heard.append(piece)
        if len(heard) == 3:
            raise error

    settled = quick.turn(getattr(agent, kind), on_piece=on_piece)

    assert (settled.outcome, settled.error, settled.reply) == (outcome, error, None)
    assert settled.error is not None
    assert settled.error.exit_code == code
    assert heard == [".", ".", "."]
    assert agent.closed
    assert quick.history == []
