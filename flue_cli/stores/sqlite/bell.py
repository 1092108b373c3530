"""Bells: how a process that waits is woken by another one, and need not keep looking.

A bell is a FIFO beside the store. Whoever hears nothing looks by itself now and then, so a ring that is
lost, or a file system that knows no FIFOs, makes a wait longer and never endless.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress


class Bell:
    """This process's bell, at `path`: it is hung up when first waited for."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._fifo = -1

    def wait(self, seconds: float) -> None:
        """Sleep until it rings, or so long. Of several threads that wait, a ring wakes one at least."""
        if self._fifo < 0:
            self._hang_up()
        if self._fifo < 0:
            time.sleep(seconds)
            return
        poll = select.poll()
        poll.register(self._fifo, select.POLLIN)
        try:
            if poll.poll(seconds * 1000):
                os.read(self._fifo, 64)
        except BlockingIOError:
            return  # another thread was quicker
        except OSError:  # an agent closed every descriptor that it found
            self._fifo = -1

    def take_down(self) -> None:
        """Remove it."""
        with suppress(OSError):  # an agent closed every descriptor that it found
            self.let_go()
        with suppress(OSError):  # it was never hung up
            os.unlink(self._path)

    def let_go(self) -> None:
        """In a process that an agent forked: it is not its bell."""
        if self._fifo >= 0:
            fifo, self._fifo = self._fifo, -1
            os.close(fifo)

    def _hang_up(self) -> None:
        with suppress(OSError):
            os.mkfifo(self._path, 0o600)
            # Also for writing, or it would be at its end whenever nobody else has it open.
            self._fifo = os.open(self._path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)


def ring(path: str) -> None:
    """Ring the bell at `path`, if there is one and somebody hears it."""
    with suppress(OSError):
        fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fifo, b"!")
        finally:
            os.close(fifo)
