"""One turn: any kind of agent answers, any misbehaviour is a named failure, and nothing is half kept."""

from __future__ import annotations

import asyncio
import functools
import json
import random
from collections.abc import Generator, Iterator
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any

import pytest
from support.turn_host import Host, broken_by, echo, remember

from flue_cli.agents.api import Message, Reply
from flue_cli.errors import (
    KeyConflict,
)

# Agents of every kind


async def from_coroutine(prompt: str, session: Any, context: Any) -> str:
    await asyncio.sleep(0)
    return f"you said {prompt}"


def from_generator(prompt: str, session: Any, context: Any) -> Iterator[str]:
    yield "you "
    yield f"said {prompt}"


async def from_async_generator(prompt: str, session: Any, context: Any) -> Any:
    for piece in ("you ", f"said {prompt}"):
        await asyncio.sleep(0)
        yield piece


def with_reply_at_the_end(prompt: str, session: Any, context: Any) -> Iterator[str | Reply]:
    yield "you "
    yield Reply(f"said {prompt}", meta={"words": 3})


class Object:
    def __call__(self, prompt: str, session: Any, context: Any) -> str:
        return f"you said {prompt}"

    def method(self, prompt: str, session: Any, context: Any) -> str:
        return f"you said {prompt}"


class AsyncObject:
    async def __call__(self, prompt: str, session: Any, context: Any) -> str:
        return f"you said {prompt}"


class Promise:
    """Can be awaited, but is no coroutine."""

    def __init__(self, prompt: str, session: Any, context: Any) -> None:
        self.prompt = prompt

    def __await__(self) -> Generator[Any, Any, str]:
        yield from asyncio.sleep(0).__await__()
        return f"you said {self.prompt}"


class Countdown:
    """An async iterator that is no generator and cannot be closed."""

    def __init__(self, prompt: str, session: Any, context: Any) -> None:
        self.pieces = ["you ", f"said {prompt}"]

    async def __anext__(self) -> str:
        if not self.pieces:
            raise StopAsyncIteration
        return self.pieces.pop(0)

    def __aiter__(self) -> Countdown:
        return self


class Said(str, Enum):  # noqa: UP042 - its str() is "Said.HI", unlike a StrEnum's
    HI = "you said hi"


def with_an_event_loop_of_its_own(prompt: str, session: Any, context: Any) -> str:
    return asyncio.run(from_coroutine(prompt, session, context))


@pytest.mark.parametrize(
    ("agent", "pieces"),
    [
        (echo, []),
        (from_coroutine, []),
        (from_generator, ["you ", "said hi"]),
        (from_async_generator, ["you ", "said hi"]),
        (with_reply_at_the_end, ["you ", "said hi"]),
        (Object(), []),
        (Object().method, []),
        (AsyncObject(), []),
        (Promise, []),
        (Countdown, ["you ", "said hi"]),
        (functools.partial(lambda word, prompt, *_: f"you {word} {prompt}", "said"), []),
        (functools.partial(from_coroutine), []),
        (functools.partial(from_async_generator), ["you ", "said hi"]),
        (lambda prompt, *_: iter(["you ", "", f"said {prompt}"]), ["you ", "said hi"]),
        (lambda prompt, *_: map(str, ["you ", f"said {prompt}"]), ["you ", "said hi"]),
        (lambda prompt, *_: Reply(f"you said {prompt}"), []),
        (lambda *_: Said.HI, []),
        (with_an_event_loop_of_its_own, []),
    ],
)
def test_an_agent_may_be_anything_that_can_be_called(quick: Host, agent: Any, pieces: list[str]) -> None:
    """Functions, coroutines, generators of both kinds, objects and partials all answer."""
    heard: list[str] = []
    answered = quick.turn(agent, on_piece=heard.append)

    assert (answered.outcome, answered.reply, answered.error) == ("completed", "you said hi", None)
    assert type(answered.reply) is str
    assert heard == pieces
    assert quick.history == [Message("user", "hi"), Message("assistant", "you said hi")]


@pytest.mark.parametrize("reply", ["", "\n", "a\0b\x1b[31m\r\n", "🙂👩‍👩‍👧 日本語", " x " * 100_000])
def test_a_reply_is_kept_as_it_came(host: Host, reply: str) -> None:
    """Empty, long, with control characters or emoji: what the agent said is what the history has."""
    assert host.turn(lambda *_: reply).reply == reply
    assert host.history[-1] == Message("assistant", reply)


def test_pieces_arrive_as_they_are_made(quick: Host) -> None:
    """Each piece of a streamed reply is passed on before the agent makes the next one."""
    log: list[str] = []

    def agent(*_: Any) -> Iterator[str]:
        for piece in "abc":
            log.append(f"made {piece}")
            yield piece

    quick.turn(agent, on_piece=lambda piece: log.append(f"heard {piece}"))

    assert log == ["made a", "heard a", "made b", "heard b", "made c", "heard c"]


def test_a_reply_may_bring_messages_and_meta(host: Host) -> None:
    """Tool calls between prompt and reply become part of the history, and usage is kept with the turn."""
    call = {"role": "assistant", "content": None, "tool_calls": [{"id": "c1", "name": "clock"}]}

    def agent(*_: Any) -> Reply:
        return Reply(
            "noon", [call, Message("tool", {"time": 12}, {"tool_call_id": "c1"})], {"usage": {"tokens": 7}}
        )

    answered = host.turn(agent, "what time is it?")

    assert answered.reply == "noon"
    assert host.history == [
        Message("user", "what time is it?"),
        Message("assistant", None, {"tool_calls": [{"id": "c1", "name": "clock"}]}),
        Message("tool", {"time": 12}, {"tool_call_id": "c1"}),
        Message("assistant", "noon"),
    ]
    assert host.entries[0].meta["usage"] == {"tokens": 7}


def test_a_stream_may_end_with_a_reply(host: Host) -> None:
    """A generator that ends with a Reply says its text last, and brings messages and meta, too."""
    heard: list[str] = []

    def agent(*_: Any) -> Iterator[str | Reply]:
        yield "one "
        yield Reply("two", [Message("tool", "t")], {"tokens": 7})

    answered = host.turn(agent, on_piece=heard.append)

    assert (answered.reply, heard) == ("one two", ["one ", "two"])
    assert [message.role for message in host.history] == ["user", "tool", "assistant"]
    assert host.entries[0].meta["tokens"] == 7


# What an agent knows and keeps


def test_an_agent_is_told_whose_turn_it_is(host: Host) -> None:
    """Session, agent, number and instant of the turn are there, and the seed is kept for a replay."""
    seen: list[Any] = []

    def agent(prompt: str, session: Any, context: Any) -> str:
        seen.append((session.id, context.agent, context.turn, context.cancelled))
        seen.append((context.now, context.random.random()))
        return "ok"

    host.turn(agent)
    entry = host.entries[0]
    now = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=entry.started_at)

    assert seen[0] == ("work", "tester", 1, False)
    assert seen[1] == (now, random.Random(entry.meta["seed"]).random())
    assert entry.meta["source"] == "v1"


def test_turns_are_numbered_without_a_gap(host: Host) -> None:
    """Every prompt is a turn with the next number, whatever became of it."""
    numbers: list[int] = []

    def agent(prompt: str, session: Any, context: Any) -> str:
        numbers.append(context.turn)
        if prompt == "fail":
            raise ValueError
        return "ok"

    turns = [host.turn(agent, prompt) for prompt in ("one", "fail", "three")]

    assert numbers == [1, 2, 3] == [made.turn for made in turns]
    assert [made.version for made in turns] == sorted({made.version for made in turns})
    assert [entry.outcome for entry in host.entries] == ["completed", "failed", "completed"]


def test_history_is_what_was_said_before(host: Host) -> None:
    """The history has the completed turns before this one: neither this prompt nor failed ones."""
    seen: list[list[Message]] = []

    def agent(prompt: str, session: Any, context: Any) -> str:
        seen.append(list(session.history))
        if prompt == "fail":
            raise ValueError
        return prompt.upper()

    for prompt in ("one", "fail", "two"):
        host.turn(agent, prompt)
    said = [Message("user", "one"), Message("assistant", "ONE")]

    assert seen == [[], said, said]
    assert host.history == [*said, Message("user", "two"), Message("assistant", "TWO")]


def test_data_is_kept_with_all_its_changes(host: Host) -> None:
    """Whatever the agent leaves in its data, nested changes included, is there in the next turn."""
    seen: list[Any] = []

    def agent(prompt: str, session: Any, context: Any) -> str:
        seen.append(json.dumps(session.data))
        session.data.setdefault("z", {"list": []})["list"].append({prompt: None})
        session.data["a"] = prompt
        return "ok"

    for prompt in ("one", "two"):
        host.turn(agent, prompt)
    after = {"z": {"list": [{"one": None}, {"two": None}]}, "a": "two"}

    assert seen == ["{}", '{"z": {"list": [{"one": null}]}, "a": "one"}']
    assert list(host.data.items()) == list(after.items())


def test_data_may_be_replaced_as_a_whole(host: Host) -> None:
    """An agent may put another dict in the place of its data, or empty it."""

    def replace(prompt: str, session: Any, context: Any) -> str:
        session.data = {"new": prompt}
        return "ok"

    def clear(prompt: str, session: Any, context: Any) -> str:
        session.data.clear()
        return "ok"

    host.turn(remember)
    assert json.loads(host.turn(replace).data) == host.data == {"new": "hi"}
    assert json.loads(host.turn(clear).data) == host.data == {}


def test_what_is_done_to_data_after_the_turn_changes_nothing(host: Host) -> None:
    """An agent that holds on to its data cannot change what was kept."""
    held: list[Any] = []

    def agent(prompt: str, session: Any, context: Any) -> str:
        held.append(session.data)
        session.data.setdefault("n", [1])
        return "ok"

    host.turn(agent)
    held[0]["n"].append(2)
    held[0]["late"] = True
    host.turn(agent)

    assert host.data == {"n": [1]}


def test_what_was_said_cannot_be_changed(host: Host) -> None:
    """An agent that changes the messages it is shown changes no more than its own copy."""
    host.turn(lambda *_: Reply("ok", [Message("tool", {"time": [12]}, {"id": {"n": 1}})]))

    def meddle(prompt: str, session: Any, context: Any) -> str:
        session.history[1].content["time"].append(13)
        session.history[1].extra["id"]["n"] = 2
        raise ValueError

    host.turn(meddle)

    assert host.history[1] == Message("tool", {"time": [12]}, {"id": {"n": 1}})


def test_a_key_is_answered_once(host: Host) -> None:
    """A retry under the same key gets the same reply and data, and the agent does not run again."""
    runs: list[str] = []

    def agent(prompt: str, session: Any, context: Any) -> str:
        runs.append(prompt)
        session.data["runs"] = len(runs)
        return f"run {len(runs)}"

    first = host.turn(agent, key="k1")
    host.turn(agent, "between")
    again = host.turn(agent, key="k1")

    assert runs == ["hi", "between"]
    assert (again.outcome, again.replayed, again.error) == ("completed", True, None)
    assert (*again[:3], again.turn, again.reply, again.data, again.key) == (
        *first[:3],
        1,
        "run 1",
        '{"runs":1}',
        "k1",
    )
    assert len(host.entries) == 2


def test_a_key_belongs_to_its_prompt(host: Host) -> None:
    """The same key with another prompt is a conflict, and after a failure a fresh try."""
    host.turn(broken_by(ValueError("boom")), key="k1")
    retried = host.turn(echo, key="k1")

    assert (retried.outcome, retried.replayed) == ("completed", False)
    with pytest.raises(KeyConflict):
        host.turn(echo, "other", key="k1")
