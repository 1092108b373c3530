"""Ending a turn before its agent does: by a signal, a clock, or another thread."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flue_cli.errors import FlueError, TurnCancelled


class AgentStopped(BaseException):
    """Raised inside an agent to end it."""


class Stoppable(Protocol):
    """Something that a signal can ask to end."""

    def request(self, reason: TurnCancelled) -> None:
        """End because of `why`; called from a signal handler."""


SignalRoute = Callable[[Stoppable], AbstractContextManager[None]]
"""While inside, a signal makes a request instead of ending the command."""


class Cancellation:
    """A request to end a turn, made by a signal, a clock, or another thread.

    `why` is what the turn will report, None as long as nobody asked; `reasons` are all that came.
    While the agent runs it is stopped where it stands; before and after, only the wish is noted, so a
    commit is never cut.
    `on_request` is called at every request, from whichever thread makes it; so is `stop`, which ends the
    agent that runs, unless the request only takes note. `lock` keeps either from being called once it was
    taken away.
    """

    def __init__(self, *, wake_by: int = 0) -> None:
        """`wake_by` is a signal whose handler calls `request`, for waking the main thread; 0 for none."""
        self.reason: FlueError | None = None
        self.requested_at = 0.0
        self.reasons: list[FlueError] = []
        self.on_request: Callable[[], None] | None = None
        self._wake_by = wake_by
        # Reentrant, because a signal handler may find its own thread inside.
        self.lock = threading.RLock()
        self.stop: Callable[[], None] | None = None

    def request(self, reason: FlueError, *, stop: bool = True) -> None:
        """End the turn because of `why`; the first reason stands. Without `stop`, only take note."""
        self.reasons.append(reason)
        if self.reason is None:
            self.requested_at = time.monotonic()
            self.reason = reason
        with self.lock:
            if self.on_request:
                self.on_request()
            if stop and self.stop:
                self.stop()

    def listen(self, on_request: Callable[[], None] | None) -> None:
        """Set or clear `on_request`; once this returns the old one is not called any more."""
        with self.lock:
            self.on_request = on_request

    def check(self) -> None:
        """Raise the reason, if there is one."""
        if self.reason is not None:
            raise self.reason

    def thread_stop(self) -> AbstractContextManager[None]:
        """Return a context in which a request raises AgentStopped in this thread."""
        return _ThreadStop(self, self._wake_by)

    @contextmanager
    def custom_stop(self, stop: Callable[[], None]) -> Iterator[None]:
        """Make requests call `stop` instead, which may be gentler; used inside of `stops_thread`."""
        outer = self.stop
        self.stop = stop
        try:
            yield
        finally:
            with self.lock:
                self.stop = outer


class _ThreadStop:
    """Context in which a request raises AgentStopped in the thread that made this."""

    # A class: AgentStopped may be raised at any bytecode of this thread, and in contextlib's frames around
    # a generator it would leave `stop` set, which would then cut what comes after the agent.

    def __init__(self, cancellation: Cancellation, wake_by: int) -> None:
        self._cancellation = cancellation
        self._wake_by = wake_by
        self._thread = threading.get_ident()
        self._is_raised = self._is_sent = False

    def __enter__(self) -> None:
        """Be what stops the agent."""
        self._cancellation.stop = self._stop

    def __exit__(self, *_: object) -> None:
        """Stop nothing any more."""
        with self._cancellation.lock:
            self._cancellation.stop = None
        if self._is_sent:
            _raise_in_thread(self._thread, None)  # it may still be on its way

    def _stop(self) -> None:
        if threading.get_ident() == self._thread:
            # Once: a second request must not cut the agent's cleanup, nor ours above.
            if not self._is_raised:
                self._is_raised = True
                raise AgentStopped
        elif self._wake_by and self._thread == threading.main_thread().ident:
            # A real signal also ends a sleep or a read; its handler comes back here.
            signal.pthread_kill(self._thread, self._wake_by)
        elif not self._is_sent:
            self._is_sent = True
            _raise_in_thread(self._thread, AgentStopped)


def _raise_in_thread(thread: int, exception: type[BaseException] | None) -> None:
    """Have `exception` raised in another thread at its next bytecode; None takes it back."""
    import ctypes

    what = ctypes.py_object(exception) if exception else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), what)
