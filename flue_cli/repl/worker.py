"""The thread in which a chat's agents run, so that the main thread stays free for Ctrl-C."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

from flue_cli.turn import Turn

Job = Callable[[Callable[[Turn], None]], Turn]
"""Runs a turn; is given what to call with a turn whose agent will not stop."""


class Worker:
    """Runs one job after another in a thread of its own, which keeps its connection to the store."""

    def __init__(self) -> None:
        self._jobs: SimpleQueue[tuple[Job, SimpleQueue[Turn | BaseException]]] | None = None

    def run(self, job: Job) -> Turn:
        """Run `job` and wait for its turn; raises what it raises. Signals are handled meanwhile."""
        results: SimpleQueue[Turn | BaseException] = SimpleQueue()
        stuck = threading.Event()

        def on_stuck(turn: Turn) -> None:
            stuck.set()
            results.put(turn)

        if self._jobs is None:
            self._jobs = SimpleQueue()
            threading.Thread(target=_work, args=(self._jobs,), name="flue-agent", daemon=True).start()
        self._jobs.put((lambda _: job(on_stuck), results))
        while True:
            try:
                # With a time limit, so that signal handlers get to run on every platform.
                result = results.get(timeout=1)
                break
            except Empty:
                continue
        if stuck.is_set():
            self._jobs = None  # that thread is lost; the next turn gets another
        if isinstance(result, BaseException):
            raise result
        return result


def _work(jobs: SimpleQueue[tuple[Job, SimpleQueue[Turn | BaseException]]]) -> None:
    while True:
        job, results = jobs.get()
        try:
            results.put(job(lambda turn: None))
        except BaseException as error:  # noqa: BLE001 - handed to the thread that waits, whatever it is
            results.put(error)
