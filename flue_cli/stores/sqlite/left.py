"""What turns of this process left behind: the next turn of the session need not read it.

Not a cache of the store: an entry counts only for the very head that it was left at, so whatever anybody
else does to the session makes it worthless.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from operator import itemgetter
from typing import NamedTuple

from flue_cli.agents.api import Message
from flue_cli.stores.records import Head
from flue_cli.stores.sqlite.rows import End
from flue_cli.stores.sqlite.texts import said_messages

_ROOM = 8 * 1024 * 1024
"""How many bytes are remembered in all, roughly; of the session used last, always."""
_EACH, _EACH_TURN = 1500, 300
"""What a session costs beside its texts, and each of its turns, in the same measure."""
_TURNS = 32
"""Of how many turns the texts are remembered: agents mostly show a model the newest few."""
_CHARACTERS = 64 * 1024
"""How many characters of texts are remembered of one session; longer ones are read quickly enough."""
Said = tuple[int, str, str | None, str]
"""What a completed turn added to a history: its length before, the prompt, the JSON text of what came between
prompt and reply if there was anything, the reply."""


class _Session(NamedTuple):
    """A session as it was left: `said` are its newest turns without a gap, of `size` characters."""

    end: End
    data: str
    said: tuple[Said, ...]
    size: int

    def cost(self) -> int:
        return len(self.data) + self.size + _EACH + _EACH_TURN * len(self.said)


class Left:
    """Where each session stands, its data and its newest messages, as this process left it.

    Reading takes no lock: a process that an agent forks may do it, whoever had the lock at that moment.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._size = 0
        self.forgotten = 0
        """How many sessions were forgotten because they were deleted."""

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
        if not session or session.end.head != head or not session.said or start < session.said[0][0]:
            return None
        said = session.said[bisect_right(session.said, start, key=_START) - 1 :]
        found: list[Message] = []
        for begins, prompt, between, reply in said:
            if begins >= stop:
                break
            found += said_messages(prompt, between, reply)
        return found[start - said[0][0] : stop - said[0][0]]

    def put(self, before: Head, end: End, data: str, forgotten: int, said: Said | None = None) -> None:
        """Remember the session that a turn brought from `before` to `end`; `said` is what it added.

        `forgotten` is as it was before the turn ended: who was deleted since stays forgotten. Who was not
        used for longest is forgotten for it.
        """
        place = before.agent, before.name
        with self._lock:
            old = self._drop(place)
            if forgotten != self.forgotten:
                return
            texts, size = (old.said, old.size) if old and old.end.head == before else ((), 0)
            if said:
                texts, size = (*texts, said), size + _size(said)
                while len(texts) > _TURNS or size > _CHARACTERS:
                    size -= _size(texts[0])
                    texts = texts[1:]
            session = self._sessions[place] = _Session(end, data, texts, size)
            self._size += session.cost()
            while self._size > _ROOM and len(self._sessions) > 1:
                self._drop(next(iter(self._sessions)))

    def forget(self, uid: int) -> None:
        """Forget a session that was deleted, whatever names it had."""
        with self._lock:
            self.forgotten += 1
            for place in [place for place, session in self._sessions.items() if session.end.head.uid == uid]:
                self._drop(place)

    def clear(self) -> None:
        """Forget all."""
        with self._lock:
            self._sessions.clear()
            self._size = 0

    def _drop(self, place: tuple[str, str]) -> _Session | None:
        session = self._sessions.pop(place, None)
        if session:
            self._size -= session.cost()
        return session


_START = itemgetter(0)


def _size(said: Said) -> int:
    _, prompt, between, reply = said
    return len(prompt) + len(between or "") + len(reply)
