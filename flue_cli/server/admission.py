"""Waiting in the event loop, in order of arrival and not for ever."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from flue_cli.errors import FlueError, SessionBusy, SessionChanged
from flue_cli.server.errors import Overloaded
from flue_cli.stores.records import ABSENT


class Slots:
    """Lets in `room` at a time; the others wait, whoever came first is next."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._waiting: deque[asyncio.Future[None]] = deque()

    @property
    def waiting(self) -> int:
        """Number of those that wait."""
        return len(self._waiting)

    @property
    def is_open(self) -> bool:
        """True if the next would be let in at once."""
        return self._room > 0

    async def enter(self, seconds: float) -> None:
        """Take a place inside; TimeoutError after so many seconds, or what `refuse` was given."""
        if self._room > 0:
            self._room -= 1
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(place)
        try:
            async with asyncio.timeout(seconds):
                await place
        except BaseException:  # raised again: a task that is cancelled must give its place back too
            if place in self._waiting:
                self._waiting.remove(place)
            elif place.done() and not place.cancelled() and not place.exception():
                self.leave()  # it was let in just as it gave up
            raise

    def leave(self) -> None:
        """Give a place back, to whoever has waited longest."""
        while self._waiting:
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                return
        self._room += 1

    def refuse(self, error: FlueError) -> None:
        """Send all away who wait."""
        for place in self._waiting:
            if not place.done():
                place.set_exception(error)
        self._waiting.clear()


class SessionQueues:
    """A gate for every session, so that its prompts take one thread among them and not one each.

    `longest` bounds how many wait for one session, `most` how many for all, `size` the characters of
    their prompts together.
    """

    def __init__(self, longest: int = 256, most: int = 4096, size: int = 256 * 2**20) -> None:
        self._longest = longest
        self._most = most
        self._size = size
        self._lines: dict[tuple[str, str], _SessionQueue] = {}
        self._waiting = 0
        self._refused: FlueError | None = None

    @asynccontextmanager
    async def turn(self, agent: str, name: str, size: int, wait: float) -> AsyncIterator[_SessionQueue]:
        """Be the one prompt of the session that is answered; with the line that it stood in.

        Overloaded at once if too much waits already; SessionBusy if `wait` seconds do not suffice;
        SessionChanged if it waited and the session was deleted or renamed meanwhile.
        """
        if self._refused:
            raise self._refused
        key = agent, name
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _SessionQueue()
            await line.enter(0)
        else:
            try:
                await self._wait(line, name, size, wait)
            except BaseException:
                self._forget(key, line)
                raise
        try:
            yield line
        except SessionChanged as error:
            line.changed(error)
            raise
        finally:
            line.leave()
            self._forget(key, line)

    def _forget(self, key: tuple[str, str], line: _SessionQueue) -> None:
        """Nobody is in the line any more: whoever comes next begins another."""
        if line.is_open and self._lines.get(key) is line:
            del self._lines[key]

    async def _wait(self, gate: Slots, name: str, size: int, wait: float) -> None:
        if gate.waiting >= self._longest or self._waiting >= self._most or self._size < size:
            raise Overloaded(f"too many prompts are waiting for session '{name}'")
        self._waiting += 1
        self._size -= size
        try:
            await gate.enter(wait)
        except TimeoutError:
            raise busy(name, wait) from None
        finally:
            self._waiting -= 1
            self._size += size

    def refuse(self, error: FlueError) -> None:
        """Send all away who wait, and all who come."""
        self._refused = error
        for line in self._lines.values():
            line.refuse(error)


class _SessionQueue(Slots):
    """The prompts of one session: one is answered, the others wait.

    `uid` is the session that those who wait have seen: the one whose turn came before them.
    """

    def __init__(self) -> None:
        super().__init__(1)
        self.uid = ABSENT

    def changed(self, error: SessionChanged) -> None:
        """The session is another one: what was meant for the one before is not for it."""
        self.uid = ABSENT
        self.refuse(error)


def busy(name: str, wait: float) -> SessionBusy:
    """The error for a session whose turn did not come; it names no process, which is nobody's business."""
    return SessionBusy(f"session '{name}' is busy: other turns held it for {wait:g} s")
