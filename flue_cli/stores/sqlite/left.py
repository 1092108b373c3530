"""What turns of this process left behind: the next turn of the session need not read it.

Not a cache of the store: an entry counts only for the very head that it was left at, so whatever anybody
else does to the session makes it worthless.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from operator import attrgetter

from flue_cli.session import Message
from flue_cli.stores.records import ABSENT, Head
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


class Said:
    """What a completed turn added to a history of `start` messages; `between` is their JSON text, if any."""

    __slots__ = ("_between", "_given", "_prompt", "_reply", "size", "start")

    def __init__(self, start: int, prompt: str, between: str | None, reply: str) -> None:
        self.start = start
        self.size = len(prompt) + len(between or "") + len(reply)
        self._prompt, self._between, self._reply = prompt, between, reply
        self._given: tuple[Message, ...] = ()

    def messages(self) -> tuple[Message, ...]:
        """Its messages, as they were said, whatever an agent did to those that it was given before.

        Text cannot be changed, so prompt and reply may be given again unless something was put beside them.
        """
        given = self._given
        if not given or given[0].extra or given[1].extra:
            given = said_messages(self._prompt, self._between, self._reply)
            self._given = () if self._between else given
        return given


class _Session:
    """A session as it was left: `said` are its newest turns without a gap, of `size` characters."""

    __slots__ = ("data", "end", "said", "size")

    def __init__(self) -> None:
        self.end = _NOWHERE
        self.data = ""
        self.said: list[Said] = []
        self.size = 0


class Left:
    """Where each session stands, its data and its newest messages, as this process left it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._size = 0

    def end(self, agent: str, name: str) -> tuple[End, str] | None:
        """Where the session of that name was left, and its data."""
        with self._lock:
            session = self._sessions.get((agent, name))
            return (session.end, session.data) if session else None

    def data(self, head: Head) -> str | None:
        """The data of the session, if it is still as this process left it."""
        left = self.end(head.agent, head.name)
        return left[1] if left and left[0].head == head else None

    def messages(self, head: Head, start: int, stop: int) -> list[Message] | None:
        """The messages at positions `start` to `stop` (exclusive), if all of them are remembered."""
        with self._lock:
            session = self._sessions.get((head.agent, head.name))
            if not session or session.end.head != head or not session.said or start < session.said[0].start:
                return None
            said = session.said[bisect_right(session.said, start, key=_START) - 1 :]
        found: list[Message] = []
        for turn in said:
            if turn.start >= stop:
                break
            found += turn.messages()
        return found[start - said[0].start : stop - said[0].start]

    def put(self, before: Head, end: End, data: str, said: Said | None = None) -> None:
        """Remember the session that a turn brought from `before` to `end`; `said` is what it added.

        Who was not used for longest is forgotten for it.
        """
        place = before.agent, before.name
        with self._lock:
            session = self._drop(place)
            if not session or session.end.head != before:
                session = _Session()
            session.end, session.data = end, data
            if said:
                session.said.append(said)
                session.size += said.size
                while len(session.said) > _TURNS or session.size > _CHARACTERS:
                    session.size -= session.said.pop(0).size
            self._sessions[place] = session
            self._size += len(data) + session.size + _EACH
            while self._size > _ROOM and len(self._sessions) > 1:
                self._drop(next(iter(self._sessions)))

    def forget(self, uid: int) -> None:
        """Forget a session that was deleted, whatever names it had."""
        with self._lock:
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
            self._size -= len(session.data) + session.size + _EACH
        return session


_START = attrgetter("start")
_NOWHERE = End(Head(ABSENT, "", ""), None, 0, 0)
