"""Bells: how whoever waits in line is woken by another process, and need not keep looking.

A bell is a FIFO beside the store, one for each who waits. A ring may be lost with the process that was to
give it, so whoever waits for one looks by itself now and then; where there can be no FIFO, the bell does not
hang, and whoever has it looks often.
"""

from __future__ import annotations

import os
import select
import time
from contextlib import suppress


class Bell:
    """The bell at `path`, hung up for one who waits at a time; `number` tells it from others of its owner."""

    def __init__(self, path: str, number: int = 0) -> None:
        self.number = number
        self._path = path
        self._fifo = -1
        self._identity: tuple[int, int] | None = None
        with suppress(OSError):
            os.mkfifo(path, 0o600)
            # Also for writing, or it would be at its end whenever nobody else has it open.
            self._fifo = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
            self._identity = self._found()

    def hangs(self) -> bool:
        """Whether it would be heard: an agent may have closed every descriptor that it found."""
        return self._identity is not None and self._found() == self._identity

    def wait(self, seconds: float) -> None:
        """Sleep until it rings, or so long."""
        if not self.hangs():
            time.sleep(seconds)
            return
        poll = select.poll()
        poll.register(self._fifo, select.POLLIN)
        if poll.poll(seconds * 1000) and self.hangs():
            with suppress(BlockingIOError):
                os.read(self._fifo, 64)

    def take_down(self) -> None:
        """Remove it."""
        if self.hangs():  # else the descriptor is somebody else's by now
            os.close(self._fifo)
        self._identity = None
        with suppress(OSError):
            os.unlink(self._path)

    def _found(self) -> tuple[int, int] | None:
        """Which file the descriptor is."""
        try:
            found = os.fstat(self._fifo)
        except OSError:
            return None
        return found.st_dev, found.st_ino


def ring(path: str) -> None:
    """Ring the bell at `path`, if there is one and somebody hears it."""
    with suppress(OSError):
        fifo = os.open(path, os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        try:
            os.write(fifo, b"!")
        finally:
            os.close(fifo)
