"""What turns of this process left behind: the next turn of the session need not read it.

Not a cache of the store: an entry counts only for the very head that it was left at, so whatever anybody
else does to the session makes it worthless.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from operator import attrgetter
from typing import NamedTuple

from flue_cli.session import Message
from flue_cli.stores.records import Head
from flue_cli.stores.sqlite.rows import End
from flue_cli.stores.sqlite.texts import said_messages

_ROOM = 8 * 1024 * 1024
"""How many characters are remembered in all; of the session used last, always."""
_EACH = 400
"""What a session costs beside its texts, in the same measure."""
_TURNS = 32
"""Of how many turns the texts are remembered: agents mostly show a model the newest few."""
_CHARACTERS = 64 * 1024
"""How many characters of texts are remembered of one session; longer ones are read quickly enough."""


class Said(NamedTuple):
    """What a completed turn added to a history of `start` messages; `between` is their JSON text, if any."""

    start: int
    prompt: str
    between: str | None
    reply: str


class _Session(NamedTuple):
    """A session as it was left: `said` are its newest turns without a gap, of `size` characters."""

    end: End
    data: str
    said: tuple[Said, ...]
    size: int


class Left:
    """Where each session stands, its data and its newest messages, as this process left it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._size = 0

    def end(self, agent: str, name: str) -> tuple[End, str] | None:
        """Where the session of that name was left, and its data."""
        session = self._sessions.get((agent, name))
        return (session.end, session.data) if session else None

    def data(self, head: Head) -> str | None:
        """The data of the session, if it is still as this process left it."""
        session = self._sessions.get((head.agent, head.name))
        return session.data if session and session.end.head == head else None

    def messages(self, head: Head, start: int, stop: int) -> list[Message] | None:
        """The messages at positions `start` to `stop` (exclusive), if all of them are remembered.

        Made anew for every caller: what an agent does to them is nobody else's.
        """
        session = self._sessions.get((head.agent, head.name))
        if not session or session.end.head != head or not session.said or start < session.said[0].start:
            return None
        said = session.said[bisect_right(session.said, start, key=_START) - 1 :]
        found: list[Message] = []
        for begins, prompt, between, reply in said:
            if begins >= stop:
                break
            found += said_messages(prompt, between, reply)
        return found[start - said[0].start : stop - said[0].start]

    def put(self, before: Head, end: End, data: str, said: Said | None = None) -> None:
        """Remember the session that a turn brought from `before` to `end`; `said` is what it added.

        Who was not used for longest is forgotten for it.
        """
        place = before.agent, before.name
        with self._lock:
            old = self._drop(place)
            texts, size = (old.said, old.size) if old and old.end.head == before else ((), 0)
            if said:
                texts, size = (*texts, said), size + _size(said)
                while len(texts) > _TURNS or size > _CHARACTERS:
                    size -= _size(texts[0])
                    texts = texts[1:]
            self._sessions[place] = _Session(end, data, texts, size)
            self._size += len(data) + size + _EACH
            while self._size > _ROOM and len(self._sessions) > 1:
                self._drop(next(iter(self._sessions)))

    def forget(self, head: Head) -> None:
        """Forget a session: it was deleted."""
        with self._lock:
            self._drop((head.agent, head.name))

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._sessions.clear()
            self._size = 0

    def _drop(self, place: tuple[str, str]) -> _Session | None:
        session = self._sessions.pop(place, None)
        if session:
            self._size -= len(session.data) + session.size + _EACH
        return session


def _size(said: Said) -> int:
    return len(said.prompt) + len(said.between or "") + len(said.reply)


_START = attrgetter("start")
