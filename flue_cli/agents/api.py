"""The interface of agents: what they are called with and what they may return."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Self, TypeVar, cast, overload

from flue_cli.agents.call_recording import CallRecorder
from flue_cli.times import to_datetime

if TYPE_CHECKING:
    from datetime import datetime
    from random import Random

    from flue_cli.agents.call_recording import CallSource

Result = TypeVar("Result")
Data = TypeVar("Data", bound=Mapping[str, Any])
"""The shape of `session.data`: a TypedDict of the agent's own, or `dict[str, Any]`."""


class _MessageFields(NamedTuple):
    role: str
    content: Any
    extra: Mapping[str, Any]


class Message(_MessageFields):
    """One message of a conversation.

    `role` is "user", "assistant", "tool" or "system"; `extra` holds whatever else belongs to it
    (`tool_calls`, `tool_call_id`, `name`): JSON values under names of their own.
    """

    __slots__ = ()

    def __new__(cls, role: str, content: Any, extra: Mapping[str, Any] | None = None) -> Self:
        """Make a message that shares nothing with others."""
        return super().__new__(cls, role, content, {} if extra is None else extra)

    def as_dict(self) -> dict[str, Any]:
        """Return the message as the JSON object that most model APIs take: `{"role", "content", …}`."""
        return {"role": self.role, "content": self.content, **self.extra}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Message:
        """Make a message from what `as_dict` gives; raises KeyError without `role` and `content`."""
        extra = {key: value for key, value in fields.items() if key not in ("role", "content")}
        return cls(fields["role"], fields["content"], extra)


class _ReplyFields(NamedTuple):
    text: str
    messages: Sequence[Message | Mapping[str, Any]]
    meta: Mapping[str, Any]


class Reply(_ReplyFields):
    """A reply that brings more than its text.

    `messages` are those that came between the prompt and the reply (tool calls and their results),
    oldest first, as Message or as dicts with `role` and `content`; they become part of the history.
    `meta` is kept with the turn and shown in exports: usage, model name, anything JSON holds.
    A generator may yield a Reply as its last piece.
    """

    __slots__ = ()

    def __new__(
        cls,
        text: str,
        messages: Sequence[Message | Mapping[str, Any]] = (),
        meta: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make a reply that shares nothing with others."""
        return super().__new__(cls, text, messages, {} if meta is None else meta)


_PAGE_SIZE = 256


class History(Sequence[Message]):
    """Every earlier message of completed turns, oldest first, without the prompt being answered.

    Lazy: `len` costs nothing, an index or a slice reads just that, iteration reads in pages.
    """

    def __init__(self, length: int, read: Callable[[int, int], Sequence[Message]]) -> None:
        """`read(start, stop)` gives the messages of that range of positions, within 0..length."""
        self._length = length
        self._read = read

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> Message: ...
    @overload
    def __getitem__(self, index: slice) -> list[Message]: ...

    def __getitem__(self, index: int | slice) -> Message | list[Message]:
        if isinstance(index, slice):
            span = range(self._length)[index]
            if not span:
                return []
            low, high = min(span[0], span[-1]), max(span[0], span[-1])
            messages = self._read(low, high + 1)
            return [messages[position - low] for position in span]
        position = range(self._length)[index]
        return self._read(position, position + 1)[0]

    def __iter__(self) -> Iterator[Message]:
        for start in range(0, self._length, _PAGE_SIZE):
            yield from self._read(start, min(start + _PAGE_SIZE, self._length))

    def __reversed__(self) -> Iterator[Message]:
        for stop in range(self._length, 0, -_PAGE_SIZE):
            yield from reversed(self._read(max(stop - _PAGE_SIZE, 0), stop))

    def last(self, count: int) -> list[Message]:
        """Read the newest `count` messages, oldest of them first; fewer if there are fewer."""
        if count <= 0:
            return []
        return list(self._read(max(self._length - count, 0), self._length))

    def __repr__(self) -> str:
        return f"<History of {self._length} messages>"


class AgentSession(Generic[Data]):
    """One conversation's memory.

    `id` is the name the caller gave the session. `data` is a plain dict that starts empty; whatever
    the agent leaves in it, nested changes included, is kept if the turn completes and dropped if it
    does not. `history` is every earlier message (see History).
    """

    def __init__(self, id: str, data: Data, history: History) -> None:  # noqa: A002 - the origin's word
        self.id = id
        self.data = data
        self.history = history

    def __repr__(self) -> str:
        return f"<AgentSession {self.id!r}, {len(self.history)} messages>"


class AgentContext:
    """Facts about the current turn: agent, number, start time, seed, cancellation.

    `agent` is the agent's name, `turn` the number of this turn, `now` the instant it began (aware,
    UTC; the same for the whole turn), `random` a generator seeded for this turn. Clock and seed are
    recorded, so an agent that takes time and chance from here can be replayed; `record` does the same
    for calls to the world outside.
    """

    def __init__(
        self,
        *,
        agent: str,
        turn: int,
        started_at: int,
        seed: int,
        is_cancelled: Callable[[], bool],
        recording: CallSource | None = None,
    ) -> None:
        """`started_at` is in microseconds since the epoch, UTC."""
        self.agent = agent
        self.turn = turn
        self._started_at = started_at
        self._seed = seed
        self._is_cancelled = is_cancelled
        self._recording = recording or CallRecorder()
        self._random: Random | None = None

    @property
    def now(self) -> datetime:
        """The instant this turn began, aware, UTC."""
        return to_datetime(self._started_at)

    @property
    def random(self) -> Random:
        """This turn's random numbers; the seed is recorded with the turn."""
        if self._random is None:
            from random import Random

            self._random = Random(self._seed)  # noqa: S311 - for replay, not for secrets
        return self._random

    def record(self, name: str, call: Callable[[], Result]) -> Result:
        """Make the call and store its result with the turn; a replay is answered from there instead.

            answer = context.record("weather", lambda: fetch("https://…"))

        What it returns must be what JSON holds; you get a copy. It may be a coroutine, to be awaited, or
        an iterator of either kind, to be read. What it raises is kept too. Calls of one name are told
        apart by their order.
        """
        return cast("Result", self._recording.record(name, call))

    @property
    def cancelled(self) -> bool:
        """True if the turn was cancelled or ran out of time; a long loop checks it and ends."""
        return self._is_cancelled()
