"""Ctrl-Z while an agent works."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from flue_cli.render.output import Output


@contextmanager
def cleared_before_stop(output: Output) -> Iterator[None]:
    """While inside, what is drawn is cleared before Ctrl-Z gives the terminal to the shell."""
    if not output.can_draw or signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
        yield
        return
    room = output.room

    def stop(signum: int, frame: FrameType | None) -> None:
        with room.lock:
            room.clear()
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)  # comes back when the shell has us go on
            signal.signal(signal.SIGTSTP, stop)

    signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)
