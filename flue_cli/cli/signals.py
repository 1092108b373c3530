"""Signal handling: a signal cancels the running turn, or else ends the command."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import TYPE_CHECKING

from flue_cli.errors import StoppedBySignal, cancelled_by

if TYPE_CHECKING:
    from flue_cli.turns.cancellation import Stoppable


class Signals:
    """Handlers of INT, TERM and HUP. Installed once, by `dispatch`."""

    def __init__(self) -> None:
        self.installed: list[int] = []
        self._asked: Stoppable | None = None

    def install(self) -> None:
        """Install the handlers, except for signals inherited as ignored (nohup)."""
        for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(signum) is not signal.SIG_IGN:
                signal.signal(signum, self._handle)
                self.installed.append(signum)
        os.register_at_fork(after_in_child=self._let_go)

    @contextmanager
    def cancelling(self, asked: Stoppable) -> Iterator[None]:
        """Make signals call `asked.request` instead of ending the command."""
        before, self._asked = self._asked, asked
        try:
            yield
        finally:
            self._asked = before

    def _let_go(self) -> None:
        """Restore the default handlers in a process that an agent forked."""
        for signum in self.installed:
            if signal.getsignal(signum) == self._handle:
                signal.signal(signum, signal.SIG_DFL)

    def _handle(self, signum: int, frame: FrameType | None) -> None:
        if self._asked is None:
            raise StoppedBySignal(signum)
        self._asked.request(cancelled_by(signum))


def die_by(signum: int) -> None:
    """End this process by `signum`, so that a shell's loop or script ends with it."""
    signal.signal(signum, signal.SIG_DFL)
    os.kill(os.getpid(), signum)
