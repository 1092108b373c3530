"""Cancellation of a turn by a signal, a time limit, or another thread."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Protocol

from flue_cli.times import monotonic

if TYPE_CHECKING:
    from flue_cli.errors import FlueError, TurnCancelled


class AgentStopped(BaseException):
    """Raised inside an agent to end it."""


class Stoppable(Protocol):
    """Work that a signal can ask to end."""

    def request(self, reason: TurnCancelled) -> None:
        """End because of `reason`; called from a signal handler."""


SignalRoute = Callable[[Stoppable], AbstractContextManager[None]]
"""Context in which a signal requests the end of the given work instead of ending the command."""


class Cancellation:
    """A request to end a turn, made by a signal, a time limit, or another thread.

    `reason` is the error that the turn will report, None before the first request; `reasons` lists one for
    each request. A running agent is stopped at once. Before and after it runs the request is only recorded,
    so a commit is never cut.

    Each request calls `on_request` and then `stop`, which ends the running agent, in the thread that made
    the request. `lock` is held while either is called or cleared, so that neither is called afterwards.
    """

    def __init__(self, *, wake_by: int = 0) -> None:
        """`wake_by` is a signal whose handler calls `request`, to wake the main thread; 0 if none."""
        self.reason: FlueError | None = None
        self.requested_at = 0.0
        self.reasons: list[FlueError] = []
        self.on_request: Callable[[], None] | None = None
        self._wake_by = wake_by
        # Reentrant, because a signal handler may find its own thread inside.
        self.lock = threading.RLock()
        self.stop: Callable[[], None] | None = None

    def request(self, reason: FlueError, *, stop: bool = True) -> None:
        """End the turn because of `reason`; the first reason counts. Without `stop`, only record it."""
        self.reasons.append(reason)
        if self.reason is None:
            self.requested_at = monotonic()
            self.reason = reason
        with self.lock:
            if self.on_request:
                self.on_request()
            if stop and self.stop:
                self.stop()

    def listen(self, on_request: Callable[[], None] | None) -> None:
        """Set or clear `on_request`; after this returns the old one is never called."""
        with self.lock:
            self.on_request = on_request

    def check(self) -> None:
        """Raise the reason if the turn is cancelled."""
        if self.reason is not None:
            raise self.reason

    def thread_stop(self) -> AbstractContextManager[None]:
        """Return a context in which a request raises AgentStopped in this thread."""
        return _ThreadStop(self, self._wake_by)

    @contextmanager
    def custom_stop(self, stop: Callable[[], None]) -> Iterator[None]:
        """Return a context in which a request calls `stop` instead; use it inside of `thread_stop`."""
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
        """Let requests stop this thread."""
        self._cancellation.stop = self._stop

    def __exit__(self, *_: object) -> None:
        """Let requests stop nothing, and take back an exception that is still on its way."""
        with self._cancellation.lock:
            self._cancellation.stop = None
        if self._is_sent:
            _raise_in_thread(self._thread, None)

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
    """Raise `exception` in another thread at its next bytecode; None takes it back."""
    import ctypes

    pending = ctypes.py_object(exception) if exception else None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), pending)
