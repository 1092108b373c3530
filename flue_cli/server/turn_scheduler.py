"""Runs the turns of all requests: who may go, in which thread, and how it ends when the server does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, TypeVar, cast

from flue_cli.errors import SessionBusy, TurnCancelled
from flue_cli.server.admission import SessionQueues, Slots, busy
from flue_cli.server.errors import Overloaded, ServerStopping, as_flue_error
from flue_cli.server.thread_pool import ThreadPool
from flue_cli.stores.records import TurnRequest
from flue_cli.times import monotonic
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.runner import Listener, Runner, Turn
from flue_cli.turns.watchdog import GRACE_SECONDS

if TYPE_CHECKING:
    from flue_cli.agents.discovery import Agent
    from flue_cli.log import Log
    from flue_cli.stores.contract import Store

Result = TypeVar("Result")
_Settle = Callable[[object], None]

MAX_TURNS = 256
"""Most agents that run at a time: each has a thread."""
MAX_LOST = 256
"""Most agents that go on after a cancellation: each keeps a thread, and nothing ends it from outside."""
_READERS = 8
"""Most requests that read the store at a time: more would not be faster, and turns need the room."""
_READING_PATIENCE = 30.0
_LARGE = 64 * 1024


class TurnScheduler:
    """The turns of one store, for one event loop."""

    def __init__(
        self, store: Store, log: Log, *, wait: float, timeout: float | None, closes_store: bool = False
    ) -> None:
        """`wait` and `timeout` are seconds, as for `flue chat`; `closes_store`: it is closed at the end."""
        store.share_commits()
        self.store = store
        self.stopping = asyncio.Event()
        self._wait = wait
        self._timeout = timeout
        self._closes_store = closes_store
        self._runner = Runner(store, log)
        self._workers = ThreadPool(store.disconnect)
        self._lines = SessionQueues()
        self._thinking = Slots(MAX_TURNS)
        self._reading = Slots(_READERS)
        self._prompts: set[PendingTurn] = set()
        self._lost: set[PendingTurn] = set()

    @property
    def wait(self) -> float:
        """Seconds that a prompt waits behind others."""
        return self._wait

    @property
    def running(self) -> int:
        """Number of turns that run now."""
        return sum(prompt.is_running for prompt in self._prompts)

    def start(self, agent: Agent, ask: TurnRequest, listener: Listener) -> PendingTurn:
        """Have `ask` answered; its `task` gives the Turn.

        Or raises: Overloaded, Stopping, SessionBusy, and what Runner.run raises. `listener` is called in
        other threads.
        """
        prompt = PendingTurn()
        self._prompts.add(prompt)
        prompt.task = asyncio.create_task(self._answer(prompt, agent, ask, listener))
        prompt.task.add_done_callback(partial(self._done, prompt))
        return prompt

    async def call(self, function: Callable[[], Result]) -> Result:
        """Run `function()` in a thread of ours; raises Overloaded, and what it raises."""
        try:
            await self._reading.enter(_READING_PATIENCE)
        except TimeoutError:
            raise Overloaded("too many requests are waiting") from None
        try:
            return await self._in_thread(lambda _: function())
        finally:
            self._reading.leave()

    async def in_thread_if_large(self, size: int, function: Callable[[], Result]) -> Result:
        """Run `function()`, in a thread if it has many characters to handle: others need the event loop."""
        return await self.call(function) if size > _LARGE else function()

    async def drain(self, seconds: float) -> bool:
        """Take no more prompts, send those away that wait, and let what runs end: whether it did in time."""
        self.stopping.set()
        refusal = ServerStopping("the server is stopping")
        self._lines.refuse(refusal)
        self._thinking.refuse(refusal)
        return await self._settled(seconds)

    def cancel_all(self) -> None:
        """Cancel every turn that runs; it is settled as cancelled."""
        for prompt in list(self._prompts):
            prompt.cancel("the server was stopped")

    async def close(self) -> None:
        """End at once: cancel what runs, see it settled, and let go of threads and store. Once is enough."""
        await self.drain(0)
        self.cancel_all()
        await self._settled(GRACE_SECONDS + 1)
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._workers.close()
        self._runner.close()
        if self._closes_store:
            self.store.close()

    async def _settled(self, seconds: float) -> bool:
        tasks = [prompt.task for prompt in self._prompts if prompt.task]
        if tasks:
            await asyncio.wait(tasks, timeout=seconds)
        return not self._prompts

    async def _answer(self, prompt: PendingTurn, agent: Agent, ask: TurnRequest, listener: Listener) -> Turn:
        began = monotonic()
        if len(self._lost) >= MAX_LOST:
            raise Overloaded("too many agents do not stop")
        async with self._lines.turn(ask.agent, ask.name, len(ask.prompt), self._wait) as line:
            try:
                await self._thinking.enter(self._left(began))
            except TimeoutError:
                raise Overloaded("too many turns are running") from None
            prompt.is_running = True
            try:
                ask = ask._replace(wait=self._left(began), uid=line.uid)
                turn = await self._run(prompt, agent, ask, listener)
                line.uid = turn.uid
                return turn
            except SessionBusy:
                raise busy(ask.name, self._wait) from None
            finally:
                prompt.is_running = False
                self._thinking.leave()

    def _done(self, prompt: PendingTurn, task: asyncio.Task[Turn]) -> None:
        self._prompts.discard(prompt)
        if not task.cancelled():
            task.exception()  # looked at, also where the client went away and nobody else does

    def _left(self, began: float) -> float:
        return max(0.0, self._wait - (monotonic() - began))

    async def _run(self, prompt: PendingTurn, agent: Agent, ask: TurnRequest, listener: Listener) -> Turn:
        def job(settle: _Settle) -> Turn:
            def stuck(turn: Turn) -> None:  # its thread is lost, the turn is not
                self._lost.add(prompt)
                settle(turn)

            try:
                return self._runner.run(
                    agent,
                    ask,
                    listener._replace(on_stuck=stuck),
                    cancellation=prompt.cancellation,
                    timeout=self._timeout,
                )
            finally:
                self._lost.discard(prompt)

        try:
            return await self._in_thread(job)
        except asyncio.CancelledError:  # the loop itself is ending
            prompt.cancel("the server was stopped")
            raise

    async def _in_thread(self, job: Callable[[_Settle], Result]) -> Result:
        """Run `job` in a thread of ours; gives its result, or the one that it settled for before."""
        loop = asyncio.get_running_loop()
        outcome: asyncio.Future[object] = loop.create_future()

        def settle(result: object) -> None:
            with suppress(RuntimeError):  # the loop is closed, and nobody waits
                loop.call_soon_threadsafe(_set, outcome, result)

        def work() -> None:
            try:
                result: object = job(settle)
            except Exception as error:  # noqa: BLE001 - raised again in the event loop, whatever it is
                settle(_Raised(error))
            except BaseException as error:  # noqa: BLE001 - which SystemExit would end
                settle(_Raised(as_flue_error(error)))
            else:
                settle(result)

        self._workers.submit(work)
        result = await outcome
        if isinstance(result, _Raised):
            raise result.error
        return cast("Result", result)


class PendingTurn:
    """A prompt on its way: in a line, or being answered."""

    def __init__(self) -> None:
        self.cancellation = Cancellation()
        self.is_running = False
        self.task: asyncio.Task[Turn] | None = None

    @property
    def answer(self) -> asyncio.Task[Turn]:
        """The task that gives what became of it."""
        if self.task is None:
            raise RuntimeError("not started")
        return self.task

    def cancel(self, why: str) -> None:
        """Give it up: out of the line, or, if it is being answered, as a turn that was cancelled."""
        if self.is_running:
            self.cancellation.request(TurnCancelled(why))
        elif self.task:
            self.task.cancel()


class _Raised:
    """An exception of a thread, on its way to the task that waits."""

    def __init__(self, error: BaseException) -> None:
        self.error = error


def _set(outcome: asyncio.Future[object], result: object) -> None:
    if not outcome.done():
        outcome.set_result(result)
