"""What an agent is handed: messages, a history that reads no more than is asked for, and the turn's facts."""

from __future__ import annotations

import contextlib
import datetime
import itertools
from collections.abc import Sequence
from typing import Any

import pytest

from flue_cli.agents.api import AgentContext, AgentSession, History, Message, Reply


class Archive:
    """A history of numbered messages that records which ranges were read."""

    def __init__(self, length: int) -> None:
        self.reads: list[tuple[int, int]] = []
        self.history = History(length, self._read)

    def _read(self, start: int, stop: int) -> Sequence[Message]:
        assert 0 <= start <= stop <= len(self.history)
        self.reads.append((start, stop))
        return [message(number) for number in range(start, stop)]


def message(number: int) -> Message:
    return Message("user" if number % 2 == 0 else "assistant", f"message {number}")


def context(
    seed: int = 7, started_at: int = 1_795_000_000_123_456, *, cancelled: bool = False
) -> AgentContext:
    return AgentContext(
        agent="greeting", turn=3, started_at=started_at, seed=seed, is_cancelled=lambda: cancelled
    )


def test_the_length_of_a_history_reads_nothing() -> None:
    """Asking how long a conversation is, or printing it, costs nothing."""
    archive = Archive(100_000)

    assert len(archive.history) == 100_000
    assert archive.history
    assert repr(archive.history) == "<History of 100000 messages>"
    assert archive.reads == []


@pytest.mark.parametrize(
    ("index", "position"), [(0, 0), (5, 5), (99_999, 99_999), (-1, 99_999), (-100_000, 0)]
)
def test_an_index_reads_one_message(index: int, position: int) -> None:
    """A message by its place, from either end, is read alone."""
    archive = Archive(100_000)

    assert archive.history[index] == message(position)
    assert archive.reads == [(position, position + 1)]


@pytest.mark.parametrize("index", [3, -4, 10**30])
def test_there_is_nothing_outside_a_history(index: int) -> None:
    """An index outside the history is an IndexError, and reads nothing."""
    archive = Archive(3)

    with pytest.raises(IndexError):
        _ = archive.history[index]
    assert archive.reads == []


def test_a_slice_is_what_a_list_would_give() -> None:
    """Every slice, with steps and backwards, is what a list of the messages would give, in one read."""
    everything = [message(number) for number in range(6)]
    bounds = [None, -7, -3, -1, 0, 2, 5, 6, 9]

    for start, stop, step in itertools.product(bounds, bounds, [None, 1, 2, 5, -1, -2, -9]):
        archive = Archive(6)
        assert archive.history[start:stop:step] == everything[start:stop:step]
        assert len(archive.reads) <= 1


def test_a_slice_reads_just_that() -> None:
    """A slice of a long history reads no more than what lies between its ends, and an empty one nothing."""
    archive = Archive(100_000)

    assert archive.history[-2:] == [message(99_998), message(99_999)]
    assert archive.history[5:3] == []
    assert archive.history[10:4:-2] == [message(10), message(8), message(6)]
    assert archive.reads == [(99_998, 100_000), (6, 11)]


def test_iteration_reads_a_page_at_a_time() -> None:
    """Going through a long history reads some at a time, and leaving early reads no further."""
    archive = Archive(1000)
    first = list(itertools.islice(archive.history, 3))
    pages_of_three = len(archive.reads)
    everything = list(archive.history)

    assert first == everything[:3]
    assert pages_of_three == 1
    assert everything == [message(number) for number in range(1000)]
    assert max(stop - start for start, stop in archive.reads) < 1000


def test_a_history_can_be_read_from_its_end() -> None:
    """Going backwards begins with the newest message and reads no further than it must."""
    archive = Archive(1000)
    newest = next(reversed(archive.history))
    first_read = archive.reads[0]

    assert newest == message(999)
    assert first_read[1] == 1000
    assert first_read[0] > 0
    assert list(reversed(archive.history)) == [message(number) for number in range(999, -1, -1)]


@pytest.mark.parametrize(
    ("count", "numbers"),
    [(1, [9]), (3, [7, 8, 9]), (10, list(range(10))), (50, list(range(10))), (0, []), (-1, [])],
)
def test_the_last_messages_are_read_alone(count: int, numbers: list[int]) -> None:
    """The newest messages come oldest first, fewer if there are fewer, and nothing else is read."""
    archive = Archive(10)

    assert archive.history.last(count) == [message(number) for number in numbers]
    assert archive.reads == ([(numbers[0], 10)] if numbers else [])


def test_an_empty_history_is_like_an_empty_list() -> None:
    """The first turn of a session can ask its history anything."""
    history = Archive(0).history

    assert not history
    assert list(history) == list(reversed(history)) == history[:] == history.last(5) == []
    assert message(0) not in history


def test_a_history_is_a_sequence() -> None:
    """Whatever works with a sequence works with a history: `in`, unpacking, index, count."""
    history = Archive(4).history
    first, *middle, last = history

    assert (first, middle, last) == (message(0), [message(1), message(2)], message(3))
    assert message(2) in history
    assert message(4) not in history
    assert history.index(message(3)) == 3
    assert history.count(message(1)) == 1
    assert [*history] == list(history)


def test_a_message_is_what_model_apis_take() -> None:
    """A message becomes the object of role, content and whatever else belongs to it, and comes back."""
    call = Message("assistant", None, {"tool_calls": [{"id": "c1"}]})
    fields = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1"}]}

    assert call.as_dict() == fields
    assert Message.from_dict(fields) == call
    assert Message("user", "hi").as_dict() == {"role": "user", "content": "hi"}
    assert Message.from_dict({"content": "hi", "role": "user"}) == Message("user", "hi")


@pytest.mark.parametrize("fields", [{}, {"role": "user"}, {"content": "hi"}])
def test_a_message_has_a_role_and_content(fields: dict[str, str]) -> None:
    """An object that lacks either is no message."""
    with pytest.raises(KeyError):
        Message.from_dict(fields)


def test_what_one_message_is_given_is_no_other_messages() -> None:
    """Whoever writes into the extras of one message writes into no other."""
    noted: Any = Message("user", "hi").extra
    try:
        with contextlib.suppress(TypeError):
            noted["seen"] = True
        assert Message("user", "ho").as_dict() == {"role": "user", "content": "ho"}
    finally:
        with contextlib.suppress(TypeError, KeyError):
            del noted["seen"]


def test_a_reply_may_be_no_more_than_its_text() -> None:
    """Messages between and meta are there only for those who have them."""
    text, messages, meta = Reply("hello")

    assert (text, list(messages), dict(meta)) == ("hello", [], {})


def test_a_session_says_what_it_is() -> None:
    """A session printed while debugging shows its name and size, and none of what was said."""
    session = AgentSession("work", {"secret": 1}, Archive(2).history)

    assert (session.id, session.data, len(session.history)) == ("work", {"secret": 1}, 2)
    assert repr(session) == "<AgentSession 'work', 2 messages>"


def test_now_is_the_same_instant_for_the_whole_turn() -> None:
    """The turn's clock is aware, in UTC, exact to the microsecond, and stands still."""
    turn = context()
    now = turn.now

    assert now == datetime.datetime(2026, 11, 18, 11, 6, 40, 123456, tzinfo=datetime.UTC)
    assert now.utcoffset() == datetime.timedelta(0)
    assert turn.now == now


def test_chance_can_be_replayed() -> None:
    """The same seed gives the same random numbers, another seed others, and one turn goes on drawing."""
    one, same, other = (
        [drawing.random.random() for _ in range(3)] for drawing in (context(7), context(7), context(8))
    )

    assert one == same != other
    assert len(set(one)) == 3


@pytest.mark.parametrize("cancelled", [False, True])
def test_a_turn_knows_whether_it_was_cancelled(cancelled: bool) -> None:
    """A long loop can ask whether it should leave, and the turn knows its agent and number."""
    turn = context(cancelled=cancelled)

    assert (turn.cancelled, turn.agent, turn.turn) == (cancelled, "greeting", 3)
