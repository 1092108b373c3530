"""The signal handling of the process, put back after an agent's code ran in the main thread."""

from __future__ import annotations

import signal
import threading

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)
"""The signals whose handlers Flue depends on. An agent's handlers for others are its own affair."""


class SignalState:
    """Handlers, mask and alarm as they are now. In a thread that is not the main one it has nothing."""

    def __init__(self) -> None:
        self._is_main = threading.current_thread() is threading.main_thread()
        if self._is_main:
            self._handlers = [(signum, signal.getsignal(signum)) for signum in _SIGNALS]
            self._mask = signal.pthread_sigmask(signal.SIG_BLOCK, ())
            self._has_alarm = signal.getitimer(signal.ITIMER_REAL)[0] > 0

    def restore(self) -> None:
        """Put back what was changed, and stop an alarm that was set meanwhile: it would hit other work."""
        if not self._is_main:
            return
        if not self._has_alarm:
            signal.setitimer(signal.ITIMER_REAL, 0)
        for signum, handler in self._handlers:
            # None: set by other means than Python, which cannot put it back.
            if handler is not None and signal.getsignal(signum) is not handler:
                signal.signal(signum, handler)
        signal.pthread_sigmask(signal.SIG_SETMASK, self._mask)
