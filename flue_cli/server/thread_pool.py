"""Threads for what blocks: agents, and the store."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Empty, SimpleQueue

Job = Callable[[], object]

_IDLE_SECONDS = 10.0


class ThreadPool:
    """As many threads as there are jobs at a time; who calls bounds that.

    The thread that became free last is used next: few threads do most of the work, and their connections
    to the store stay warm. Idle ones end. A job that never comes back keeps its thread and nothing else:
    the threads are daemons, and do not keep the process from ending.
    """

    def __init__(self, at_end: Callable[[], None]) -> None:
        """`at_end` is called by each thread before it ends."""
        self.at_end = at_end
        self.lock = threading.Lock()
        self.idle: list[_Worker] = []
        self.is_closed = False

    def submit(self, job: Job) -> None:
        """Have a thread do `job`, which must raise nothing."""
        with self.lock:
            worker = self.idle.pop() if self.idle else None
        (worker or _Worker(self)).jobs.put(job)

    def close(self) -> None:
        """End the threads that are idle, and each other one as its job ends."""
        with self.lock:
            self.is_closed = True
            idle, self.idle = self.idle, []
        for worker in idle:
            worker.jobs.put(None)
        for worker in idle:
            worker.thread.join()


class _Worker:
    """One thread and the job that it is given."""

    def __init__(self, pool: ThreadPool) -> None:
        self.jobs: SimpleQueue[Job | None] = SimpleQueue()
        self._pool = pool
        self.thread = threading.Thread(target=self._work, name="flue-worker", daemon=True)
        self.thread.start()

    def _work(self) -> None:
        while True:
            try:
                job = self.jobs.get(timeout=_IDLE_SECONDS)
            except Empty:
                with self._pool.lock:
                    if self not in self._pool.idle:
                        continue  # it was given a job this very moment
                    self._pool.idle.remove(self)
                break
            if job is None:
                break
            job()
            del job  # what it held is not to live until the next one
            with self._pool.lock:
                if self._pool.is_closed:
                    break
                self._pool.idle.append(self)
        self._pool.at_end()
