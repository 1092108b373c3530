"""Exit of a prompt_toolkit application on a signal, or when the terminal's window is closed."""

from __future__ import annotations

import signal
from collections.abc import Callable
from typing import Any, TypeVar

from prompt_toolkit.application import Application

from flue_cli.errors import StoppedBySignal, TurnCancelled
from flue_cli.repl.terminal import is_terminal_gone
from flue_cli.turns.cancellation import SignalRoute

AppResult = TypeVar("AppResult")


def run_app(
    app: Application[Any],
    run: Callable[[], AppResult],
    cancelling: SignalRoute,
) -> AppResult | None:
    """Call `run`, which runs `app`, and return its result; None at the end of input.

    Raises StoppedBySignal.
    """
    exit_request = _ExitRequest(app)
    try:
        with cancelling(exit_request):
            result = run()
    except (EOFError, OSError) as error:
        if is_terminal_gone():
            raise StoppedBySignal(signal.SIGHUP) from None
        if isinstance(error, OSError):
            raise
        return None
    if exit_request.signum:  # the signal came while the application was ending
        raise StoppedBySignal(exit_request.signum)
    return result


class _ExitRequest:
    """Ends the application on a signal; an exception from the handler could get lost in its event loop."""

    def __init__(self, app: Application[Any]) -> None:
        self._app = app
        self.signum = 0

    def request(self, reason: TurnCancelled) -> None:
        """Make the application end with StoppedBySignal."""
        self.signum = reason.signum
        loop = self._app.loop
        if loop is None or not self._app.is_running:
            raise StoppedBySignal(reason.signum)
        loop.call_soon_threadsafe(self._exit_app)

    def _exit_app(self) -> None:
        if self._app.is_running and not self._app.is_done:
            self._app.exit(exception=StoppedBySignal(self.signum))
