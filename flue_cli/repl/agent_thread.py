"""The thread in which a chat's agents run, so that the main thread stays free for Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue
from typing import Any, TypeVar, cast

JobResult = TypeVar("JobResult")
AgentJob = Callable[[Callable[[JobResult], None]], JobResult]
"""Runs a turn; is given what to call with its result when its agent will not stop."""


def _no_tick() -> float:
    """Only come back now and then, so that signal handlers get to run on every platform."""
    return 1.0


class AgentThread:
    """Runs one job after another in a thread of its own, which keeps its connection to the store."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[_Task] | None = None

    def run(self, job: AgentJob[JobResult], tick: Callable[[], float] = _no_tick) -> JobResult:
        """Run `job` and wait for its result; raises what it raises. Signals are handled meanwhile.

        `tick` is called now and then, and says after how many seconds it wants to be called again.
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
            self._jobs = None  # that thread is lost; the next turn gets another
        if isinstance(result, BaseException):
            raise result
        return cast("JobResult", result)


class _Task:
    """A job and what came of it."""

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
            return  # it came back after all, and another thread has taken over
