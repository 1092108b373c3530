"""Interface of agents: the objects that they get and may return."""

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
"""The shape of `session.data`: the agent's own TypedDict, or `dict[str, Any]`."""


class _MessageFields(NamedTuple):
    role: str
    content: Any
    extra: Mapping[str, Any]


class Message(_MessageFields):
    """One message of a conversation.

    `role` is "user", "assistant", "tool" or "system". `content` is text, or any JSON value that the model
    API takes. `extra` maps the names of further fields to JSON values: `tool_calls`, `tool_call_id`, `name`.
    """

    __slots__ = ()

    def __new__(cls, role: str, content: Any, extra: Mapping[str, Any] | None = None) -> Self:
        """Make a message; without `extra` it gets an empty dict of its own."""
        return super().__new__(cls, role, content, {} if extra is None else extra)

    def as_dict(self) -> dict[str, Any]:
        """Return the message as the dict that most model APIs take: `role`, `content`, extra fields."""
        return {"role": self.role, "content": self.content, **self.extra}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Message:
        """Make a message from a dict as `as_dict` returns it; KeyError without `role` or `content`."""
        extra = {key: value for key, value in fields.items() if key not in ("role", "content")}
        return cls(fields["role"], fields["content"], extra)


class _ReplyFields(NamedTuple):
    text: str
    messages: Sequence[Message | Mapping[str, Any]]
    meta: Mapping[str, Any]


class Reply(_ReplyFields):
    """A reply with more than its text.

    `messages` are the messages between prompt and reply (tool calls and their results), oldest first, as
    Message or as dicts with `role` and `content`; they become part of the history. `meta` holds JSON values
    to store with the turn, such as the model's name and its usage of tokens; exports contain them.

    A generator may yield a Reply as its last piece: its text is the end of the streamed text. The turn fails
    with the error type "bad_reply" if `text` is not a str of at most 16 MiB, and with "bad_data" if JSON
    cannot hold `messages` or `meta`.
    """

    __slots__ = ()

    def __new__(
        cls,
        text: str,
        messages: Sequence[Message | Mapping[str, Any]] = (),
        meta: Mapping[str, Any] | None = None,
    ) -> Self:
        """Make a reply; without `meta` it gets an empty dict of its own."""
        return super().__new__(cls, text, messages, {} if meta is None else meta)


_PAGE_SIZE = 256


class History(Sequence[Message]):
    """The messages of all completed turns of a session, oldest first, without the present prompt.

    A read-only sequence of Message. It is lazy: `len` reads nothing, an index or a slice reads only these
    messages, and iteration reads pages of 256. Reading raises IndexError for a position out of range, and
    ends the turn with a StoreError if the store cannot be read.
    """

    def __init__(self, length: int, read: Callable[[int, int], Sequence[Message]]) -> None:
        """`read(start, stop)` returns these messages; it is called with 0 <= start < stop <= length."""
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
        """Read the newest `count` messages, oldest first; all if there are fewer, none if `count` <= 0."""
        if count <= 0:
            return []
        return list(self._read(max(self._length - count, 0), self._length))

    def __repr__(self) -> str:
        return f"<History of {self._length} messages>"


class AgentSession(Generic[Data]):
    """Memory of one conversation.

    `id` is the session's name. `data` is a dict of JSON values, empty in a new session; it is stored if the
    turn completes, with nested changes, and unchanged otherwise. `history` has the messages of all earlier
    turns (see History). The turn fails with the error type "bad_data" if `data` is not a dict, if JSON
    cannot hold it, or if it exceeds 16 MiB or 200 levels.
    """

    def __init__(self, id: str, data: Data, history: History) -> None:  # noqa: A002 - part of the public interface
        self.id = id
        self.data = data
        self.history = history

    def __repr__(self) -> str:
        return f"<AgentSession {self.id!r}, {len(self.history)} messages>"


class AgentContext:
    """Facts about the current turn: agent, number, start time, seed, cancellation.

    `agent` is the agent's name, `turn` the number of this turn, counted from 1. `now` is the time at which
    the turn began (an aware datetime in UTC, constant during the turn) and `random` a random.Random seeded
    for this turn. Both are recorded, so a turn that uses them can be replayed; `record` does the same for
    calls to services. `cancelled` is True once the turn is to end.
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
        """Time at which this turn began: an aware datetime in UTC."""
        return to_datetime(self._started_at)

    @property
    def random(self) -> Random:
        """Generator of this turn's random numbers; its 48-bit seed is recorded with the turn."""
        if self._random is None:
            from random import Random

            self._random = Random(self._seed)  # noqa: S311 - for replay, not for secrets
        return self._random

    def record(self, name: str, call: Callable[[], Result]) -> Result:
        """Make the call and store its result with the turn; a replay returns the stored result instead.

            answer = context.record("weather", lambda: fetch("https://…"))

        Returns a copy of the call's result, a JSON value. If the call returns a coroutine or an iterator,
        sync or async, await or iterate over the return value as usual. An exception of the call is stored
        and raised again. Calls with the same `name` are distinguished by their order.

        Raises AgentError if `name` is not a str, if JSON cannot hold the result, if the results of this turn
        exceed 16 MiB, and in a replay for a call that was not recorded.
        """
        return cast("Result", self._recording.record(name, call))

    @property
    def cancelled(self) -> bool:
        """True if the turn was cancelled or exceeded its time limit; a long loop should check it and end."""
        return self._is_cancelled()
