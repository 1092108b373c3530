"""Thread that runs a chat's agents, so that the main thread stays free for Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

JobResult = TypeVar("JobResult")
AgentJob = Callable[[Callable[[JobResult], None]], JobResult]
"""Runs a turn. Its argument is a function to call with the result if the agent does not stop."""


def _no_tick() -> float:
    """Wake up every second: on some platforms signal handlers do not run during a longer wait."""
    return 1.0


class AgentThread:
    """Runs one job after another in one thread, which keeps its connection to the store."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Task] | None = None

    def run(self, job: AgentJob[JobResult], tick: Callable[[], float] = _no_tick) -> JobResult:
        """Run `job` and wait for its result; raises what it raises. Signals are handled meanwhile.

        `tick` is called repeatedly; it returns the seconds until the next call.
        """
        task = _Task(job)
        if self._jobs is None:
            self._jobs = SimpleQueue()
            threading.Thread(target=_run_tasks, args=(self._jobs,), name="flue-agent", daemon=True).start()
        self._jobs.put(task)
        while True:
            try:
                result = task.results.get(timeout=tick())
                break
            except Empty:
                continue
        if task.is_stuck:
            self._jobs = None  # the agent still occupies that thread; the next turn gets another
        if isinstance(result, BaseException):
            raise result
        return cast("JobResult", result)


class _Task:
    """A job and its result."""

    def __init__(self, job: AgentJob[Any]) -> None:
        self.job = job
        self.is_stuck = False
        self.results: SimpleQueue[object] = SimpleQueue()

    def give_up(self, result: object) -> None:
        self.is_stuck = True
        self.results.put(result)


def _run_tasks(tasks: SimpleQueue[_Task]) -> None:
    while True:
        task = tasks.get()
        try:
            task.results.put(task.job(task.give_up))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, whatever it is
            task.results.put(error)
        if task.is_stuck:
            return  # the agent ended after all, but another thread has replaced this one
