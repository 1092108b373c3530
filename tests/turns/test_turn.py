"""One turn: any kind of agent answers, any misbehaviour is a named failure, and nothing is half kept."""

from __future__ import annotations

import asyncio
import functools
import itertools
import json
import os
import random
import resource
import signal
import threading
import time
import traceback
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, closing
from datetime import UTC, datetime, timedelta
from enum import Enum
from pathlib import Path
from typing import Any, cast

import pytest

from flue_cli.agents.api import Message, Reply
from flue_cli.agents.discovery import Agent
from flue_cli.errors import (
    FlueError,
    KeyConflict,
    OutputClosed,
    OutputFailed,
    SessionNotFound,
    StoreError,
    TurnCancelled,
    cancelled_by,
)
from flue_cli.stores import open_store
from flue_cli.stores.memory.store import MemoryStore
from flue_cli.stores.records import Entry, TurnRequest
from flue_cli.stores.sqlite.store import SqliteStore
from flue_cli.turns import watchdog
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.runner import Listener, Runner, Turn


class Host:
    """A store with one session, and turns on it."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.runner = Runner(store)

    def turn(
        self,
        function: Any,
        prompt: str = "hi",
        *,
        cancellation: Cancellation | None = None,
        key: str | None = None,
        timeout: float | None = None,
        **heard: Any,
    ) -> Turn:
        try:
            return self.runner.run(
                Agent("tester", function, "v1"),
                TurnRequest("tester", "work", prompt, key=key, wait=0),
                Listener(**heard),
                cancellation=cancellation or Cancellation(),
                timeout=timeout,
            )
        except FlueError:
            raise
        except BaseException as error:  # noqa: BLE001 - an exit would end the test run
            where = traceback.extract_tb(error.__traceback__)[-1]
            problem = f"{error!a} came out of the turn, from {where.filename}:{where.lineno}"
        raise AssertionError(problem)  # without its cause: xdist cannot report a lone surrogate

    @property
    def head(self) -> Any:
        return self.store.head("tester", "work")

    @property
    def data(self) -> Any:
        return json.loads(self.store.data_at(self.head, self.head.turn))

    @property
    def history(self) -> list[Message]:
        return list(self.store.messages(self.head, 0, self.head.messages))

    @property
    def entries(self) -> list[Entry]:
        return list(self.store.entries(self.head, 1, self.head.turn))


@pytest.fixture(params=["memory", "sqlite"])
def host(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Host]:
    """A host on each kind of store."""
    store = open_store("memory:" if request.param == "memory" else str(tmp_path / "flue.db"))
    host = Host(store)
    yield host
    host.runner.close()
    store.close()


@pytest.fixture
def quick() -> Iterator[Host]:
    """A host on the store that keeps nothing, where the kind of store makes no difference."""
    host = Host(MemoryStore())
    yield host
    host.runner.close()


@pytest.fixture
def in_thread() -> Iterator[Callable[..., Future[Turn]]]:
    """Call something in a thread of its own, as a server would."""
    with ThreadPoolExecutor() as pool:
        yield pool.submit


def echo(prompt: str, session: Any, context: Any) -> str:
    return f"you said {prompt}"


def remember(prompt: str, session: Any, context: Any) -> str:
    session.data.setdefault("said", []).append(prompt)
    return f"noted {prompt}"


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
    answered = quick.turn(agent, piece=heard.append)

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

    quick.turn(agent, piece=lambda piece: log.append(f"heard {piece}"))

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

    answered = host.turn(agent, piece=heard.append)

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


# Agents that misbehave


class Wordless(Exception):
    def __str__(self) -> str:
        raise ValueError("no words")


class WordlessExit(Exception):
    def __str__(self) -> str:
        raise SystemExit(9)


class NotWords(Exception):
    def __str__(self) -> Any:
        return 5  # noqa: PLE0307 - that is what is wrong with it


def broken_by(error: BaseException) -> Any:
    def agent(*_: Any) -> str:
        raise error

    return agent


def async_broken_by(error: BaseException) -> Any:
    async def agent(*_: Any) -> str:
        await asyncio.sleep(0)
        raise error

    return agent


def streaming_then_broken_by(error: BaseException) -> Any:
    def agent(*_: Any) -> Iterator[str]:
        yield "so far "
        raise error

    return agent


def async_streaming_then_broken_by(error: BaseException) -> Any:
    async def agent(*_: Any) -> Any:
        yield "so far "
        raise error

    return agent


def returning(value: Any) -> Any:
    return lambda *_: value


def async_returning(value: Any) -> Any:
    async def agent(*_: Any) -> Any:
        return value

    return agent


def yielding(*pieces: Any) -> Any:
    return lambda *_: iter(pieces)


def async_yielding(*pieces: Any) -> Any:
    async def agent(*_: Any) -> Any:
        for piece in pieces:
            yield piece

    return agent


def leaving(data: Any) -> Any:
    def agent(prompt: str, session: Any, context: Any) -> str:
        session.data = data
        return "ok"

    return agent


def deleting(prompt: str, session: Any, context: Any) -> str:
    del session.data
    return "ok"


def recursing(*arguments: Any) -> str:
    return recursing(*arguments)


def bringing(messages: Any, meta: Any = None) -> Any:
    return lambda *_: Reply("ok", messages, {} if meta is None else meta)


def breaking_off(error: BaseException) -> Any:
    def messages() -> Iterator[Message]:
        yield Message("tool", "t")
        raise error

    return lambda *_: Reply("ok", cast("Any", messages()))  # types allow no iterator


def cycle() -> dict[str, Any]:
    data: dict[str, Any] = {}
    data["self"] = data
    return data


RAISED = [
    (broken_by(ValueError("boom")), "exception", "the agent failed: ValueError: boom"),
    (broken_by(ValueError()), "exception", "the agent failed: ValueError"),
    (broken_by(ValueError("two\nlines \x1b[31m \0")), "exception", "two\nlines"),
    (broken_by(ValueError("half an emoji \ud83d")), "exception", "half an emoji"),
    (broken_by(Wordless()), "exception", "Wordless"),
    (broken_by(WordlessExit()), "exception", "WordlessExit"),
    (broken_by(NotWords()), "exception", "NotWords"),
    (broken_by(ExceptionGroup("many", [ValueError("one")])), "exception", "many"),
    (broken_by(KeyboardInterrupt()), "exception", "KeyboardInterrupt"),
    (broken_by(GeneratorExit()), "exception", "GeneratorExit"),
    (broken_by(asyncio.CancelledError()), "exception", "CancelledError"),
    (broken_by(StopIteration()), "exception", "StopIteration"),
    (broken_by(MemoryError()), "exception", "MemoryError"),
    (broken_by(TurnCancelled("by myself")), "exception", "by myself"),
    (broken_by(OutputClosed("by myself")), "exception", "by myself"),
    (broken_by(SystemExit(3)), "exit", "the agent called sys.exit(3)"),
    (broken_by(SystemExit()), "exit", "the agent called sys.exit()"),
    (async_broken_by(ValueError("boom")), "exception", "the agent failed: ValueError: boom"),
    (async_broken_by(SystemExit(3)), "exit", "the agent called sys.exit(3)"),
    (async_broken_by(KeyboardInterrupt()), "exception", "KeyboardInterrupt"),
    (async_broken_by(GeneratorExit()), "exception", "GeneratorExit"),
    (async_broken_by(asyncio.CancelledError()), "exception", "CancelledError"),
    (streaming_then_broken_by(ValueError("boom")), "exception", "ValueError: boom"),
    (streaming_then_broken_by(SystemExit(3)), "exit", "sys.exit(3)"),
    (streaming_then_broken_by(StopIteration()), "exception", "RuntimeError"),
    (async_streaming_then_broken_by(ValueError("boom")), "exception", "ValueError: boom"),
    (async_streaming_then_broken_by(SystemExit(3)), "exit", "sys.exit(3)"),
    (async_streaming_then_broken_by(asyncio.CancelledError()), "exception", "CancelledError"),
    (recursing, "exception", "RecursionError"),
    (lambda: "takes nothing", "exception", "TypeError"),
]

RETURNED = [
    (returning(None), "bad_reply", "the agent returned NoneType, not str"),
    (returning(b"x"), "bad_reply", "the agent returned bytes, not str"),
    (returning(5), "bad_reply", "the agent returned int, not str"),
    (returning(["x"]), "bad_reply", "the agent returned list, not str"),
    (returning(("x", [], {})), "bad_reply", "the agent returned tuple, not str"),
    (returning(Reply(cast("Any", None))), "bad_reply", "the text of the agent's Reply is NoneType, not str"),
    (returning("a\ud83d"), "bad_reply", "the reply has a lone surrogate at character 1"),
    (returning(Reply("\ud83d")), "bad_reply", "the reply has a lone surrogate at character 0"),
    (async_returning(None), "bad_reply", "the agent returned NoneType, not str"),
    (async_returning(iter("ab")), "bad_reply", "not str"),
    (yielding("x", 5), "bad_reply", "the agent yielded int, not str"),
    (yielding(None), "bad_reply", "the agent yielded NoneType, not str"),
    (yielding(b"x"), "bad_reply", "the agent yielded bytes, not str"),
    (yielding("\ud83d", "\ude00"), "bad_reply", "lone surrogate"),
    (yielding(Reply(cast("Any", 5))), "bad_reply", "the agent yielded int, not str"),
    (yielding(Reply("x"), "y"), "bad_reply", "the agent yielded more after its Reply"),
    (yielding(Reply("x"), Reply("y")), "bad_reply", "the agent yielded more after its Reply"),
    (async_yielding("x", 5), "bad_reply", "the agent yielded int, not str"),
    (async_yielding("\ud83d"), "bad_reply", "lone surrogate"),
]

LEFT = [
    (leaving({"a": [{1}]}), "bad_data", "data.a[0]: set"),
    (leaving({"a": float("nan")}), "bad_data", "data.a: nan"),
    (leaving({"a": (1,)}), "bad_data", "data.a: tuple"),
    (leaving({"a": b"x"}), "bad_data", "data.a: bytes"),
    (leaving({"a": datetime(2026, 1, 1, tzinfo=UTC)}), "bad_data", "data.a: datetime.datetime"),
    (leaving({1: "x"}), "bad_data", "data: key 1 is int, not str"),
    (leaving({"a": "\ud83d"}), "bad_data", "data.a: lone surrogate in text"),
    (leaving({"a": "\\ud83d\ude00"}), "bad_data", "data.a: lone surrogate in text"),
    (leaving(cycle()), "bad_data", "data.self: contains itself"),
    (leaving(["a list"]), "bad_data", "data: list, not dict"),
    (leaving(None), "bad_data", "data: NoneType, not dict"),
    (deleting, "bad_data", "data"),
]

BROUGHT = [
    (bringing(5), "bad_reply", "'int' object is not iterable"),
    (bringing(None), "bad_reply", "'NoneType' object is not iterable"),
    (bringing("abc"), "bad_reply", "the agent's Reply cannot be read"),
    (bringing([5]), "bad_reply", "'int' object is not iterable"),
    (bringing([Message]), "bad_reply", "the agent's Reply cannot be read"),
    (bringing([{"role": "tool"}]), "bad_data", "messages[0]: needs a 'role' (str) and 'content'"),
    (bringing([Message("tool", 1), {"content": 1}]), "bad_data", "messages[1]: needs a 'role'"),
    (bringing([{"role": 5, "content": 1}]), "bad_data", "messages[0]: needs a 'role'"),
    (bringing([Message("tool", {1})]), "bad_data", "messages[0].content: set"),
    (bringing([Message("tool", "x", {"at": b"x"})]), "bad_data", "messages[0].at: bytes"),
    (bringing([Message("\ud83d", "x")]), "bad_data", "messages[0].role: lone surrogate in text"),
    (breaking_off(ValueError("no more")), "bad_reply", "no more"),
    (bringing([], 5), "bad_reply", "the agent's Reply cannot be read"),
    (bringing([], {"a": {1}}), "bad_data", "meta.a: set"),
    (bringing([], {1: 2}), "bad_data", "meta: key 1 is int, not str"),
]


@pytest.mark.parametrize(("agent", "kind", "words"), RAISED + RETURNED + LEFT + BROUGHT)
def test_whatever_an_agent_does_wrong_is_its_failure(host: Host, agent: Any, kind: str, words: str) -> None:
    """A misbehaving agent's turn fails with the reason; data, history and session are as before."""

    def meddling_first(prompt: str, session: Any, context: Any) -> Any:
        session.data["said"].append("meddled")
        session.data["half"] = True
        return agent(prompt, session, context)

    before = host.turn(remember, "before")
    failed = host.turn(meddling_first, piece=lambda piece: None)
    error = failed.error

    assert (failed.outcome, failed.reply, failed.turn) == ("failed", None, 2)
    assert error is not None
    assert (error.type, error.exit_code) == (kind, 1)
    assert words in error.message
    assert failed.data == before.data
    assert host.data == {"said": ["before"]}
    assert host.history == [Message("user", "before"), Message("assistant", "noted before")]
    assert host.entries[1].error is not None
    assert host.entries[1].error.type == kind
    assert host.turn(remember, "after").outcome == "completed"


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt()])
def test_messages_that_break_off_are_the_agents_failure(quick: Host, error: BaseException) -> None:
    """An agent whose messages exit while they are read fails like any other, and frees its session."""
    failed = quick.turn(breaking_off(error))

    assert failed.outcome == "failed"
    assert failed.error is not None
    assert failed.error.exit_code == 1
    assert quick.turn(echo).outcome == "completed"


def nested(levels: int) -> list[Any]:
    value: list[Any] = []
    for _ in range(levels - 1):
        value = [value]
    return value


@pytest.mark.parametrize(
    "messages",
    [
        pytest.param([Message("tool", nested(199))], id="nested as deep as a message may be"),
        pytest.param([Message("tool", "x" * 9_000_000)] * 2, id="together more than one may be"),
    ],
)
def test_what_passed_the_checks_can_be_saved(host: Host, messages: list[Message]) -> None:
    """Messages at the limits are kept or refused as the agent's failure, but never break the host."""
    settled = host.turn(bringing(messages))

    assert settled.outcome == "completed" or (settled.error and settled.error.exit_code == 1)
    assert host.turn(echo).outcome == "completed"


MEBIBYTE = "x" * 2**20


@pytest.mark.parametrize(
    ("agent", "kind", "words"),
    [
        (returning(MEBIBYTE * 16 + "x"), "bad_reply", "the reply is larger than 16 MiB"),
        (returning("\u00e4" * (8 * 2**20) + "x"), "bad_reply", "the reply is larger than 16 MiB"),
        (yielding(*[MEBIBYTE] * 16, "x"), "bad_reply", "the reply is larger than 16 MiB"),
        (yielding(*["\u00e4" * 2**20] * 8, "x"), "bad_reply", "the reply is larger than 16 MiB"),
        (lambda *_: itertools.repeat(MEBIBYTE), "bad_reply", "the reply is larger than 16 MiB"),
        (async_yielding(*[MEBIBYTE] * 17), "bad_reply", "the reply is larger than 16 MiB"),
        (leaving({"a": MEBIBYTE * 16}), "bad_data", "data: 16.0 MiB of JSON, more than 16 MiB"),
    ],
    ids=["text", "two-byte text", "pieces", "two-byte pieces", "endless", "async", "data"],
)
def test_what_grows_without_end_is_stopped(quick: Host, agent: Any, kind: str, words: str) -> None:
    """A reply or data of more than 16 MiB fails the turn, even if it would never have ended."""
    failed = quick.turn(agent)

    assert failed.outcome == "failed"
    assert failed.error is not None
    assert (failed.error.type, failed.error.exit_code) == (kind, 1)
    assert words in failed.error.message
    assert quick.data == {}


def test_the_largest_reply_is_kept(quick: Host) -> None:
    """A reply of exactly 16 MiB is none too large, whole or in pieces."""
    assert quick.turn(returning(MEBIBYTE * 16)).outcome == "completed"
    assert quick.turn(yielding(*[MEBIBYTE] * 16)).outcome == "completed"


def test_a_failure_has_the_agents_traceback(quick: Host) -> None:
    """Who wants to know where the agent failed is shown its own lines."""
    error: Any = quick.turn(broken_by(ValueError("boom"))).error

    assert "test_turn.py" in error.traceback
    assert error.traceback.endswith("ValueError: boom\n")


def test_a_stream_that_fails_was_heard_so_far(quick: Host) -> None:
    """The pieces before a failure were shown, and none of them is kept as a reply."""
    heard: list[str] = []
    failed = quick.turn(streaming_then_broken_by(ValueError("boom")), piece=heard.append)

    assert (heard, failed.reply, quick.history) == (["so far "], None, [])


# Agents that are stopped


class Stoppable:
    """Agents that would go on for five seconds; each tells when it `began` and whether it `cleaned` up."""

    def __init__(self) -> None:
        self.began = threading.Event()
        self.cleaned = False

    def _begin(self, session: Any) -> float:
        session.data["half"] = True
        self.began.set()
        return time.monotonic() + 5

    def sleeper(self, prompt: str, session: Any, context: Any) -> str:
        try:
            end = self._begin(session)
            while time.monotonic() < end:
                time.sleep(0.01)
        finally:
            self.cleaned = True
        return "never"

    def busy(self, prompt: str, session: Any, context: Any) -> str:
        try:
            end = self._begin(session)
            while time.monotonic() < end:
                pass
        finally:
            self.cleaned = True
        return "never"

    async def coroutine(self, prompt: str, session: Any, context: Any) -> str:
        try:
            self._begin(session)
            await asyncio.sleep(5)
        finally:
            await asyncio.sleep(0)
            self.cleaned = True
        return "never"

    def generator(self, prompt: str, session: Any, context: Any) -> Iterator[str]:
        try:
            end = self._begin(session)
            while time.monotonic() < end:
                yield "."
                time.sleep(0.01)
        finally:
            self.cleaned = True

    async def async_generator(self, prompt: str, session: Any, context: Any) -> Any:
        try:
            end = self._begin(session)
            while time.monotonic() < end:
                yield "."
                await asyncio.sleep(0.01)
        finally:
            await asyncio.sleep(0)
            self.cleaned = True

    def swallower(self, prompt: str, session: Any, context: Any) -> str:
        try:
            end = self._begin(session)
            while time.monotonic() < end:
                time.sleep(0.01)
        except BaseException:  # noqa: BLE001 - that is what is wrong with it
            self.cleaned = context.cancelled
        return "never mind"

    async def async_swallower(self, prompt: str, session: Any, context: Any) -> str:
        try:
            self._begin(session)
            await asyncio.sleep(5)
        except asyncio.CancelledError:
            self.cleaned = context.cancelled
        return "never mind"


KINDS = ["sleeper", "busy", "coroutine", "generator", "async_generator", "swallower", "async_swallower"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_timeout_lets_the_agent_clean_up(quick: Host, in_thread: Any, kind: str) -> None:
    """When the time is up the agent is stopped and can clean up; the turn failed and changed nothing."""
    agent = Stoppable()
    quick.turn(remember)
    began = time.monotonic()
    late = in_thread(quick.turn, getattr(agent, kind), timeout=0.1).result()

    assert time.monotonic() - began < 3
    assert (late.outcome, late.reply) == ("failed", None)
    assert (late.error.type, late.error.exit_code) == ("timeout", 124)
    assert late.error.message == "the agent took longer than 0.1 s"
    assert agent.cleaned
    assert quick.data == {"said": ["hi"]}
    assert len(quick.history) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_a_turn_can_be_cancelled_from_another_thread(quick: Host, in_thread: Any, kind: str) -> None:
    """Whoever cancels a turn ends the agent where it stands; the turn is cancelled and changed nothing."""
    agent, cancellation = Stoppable(), Cancellation()
    quick.turn(remember)
    running = in_thread(quick.turn, getattr(agent, kind), cancellation=cancellation)
    agent.began.wait(5)
    began = time.monotonic()
    cancellation.request(cancelled_by(signal.SIGINT))
    cancelled = running.result()

    assert time.monotonic() - began < 3
    assert (cancelled.outcome, cancelled.reply) == ("cancelled", None)
    assert (cancelled.error.type, cancelled.error.exit_code) == ("cancelled", 130)
    assert agent.cleaned
    assert quick.data == {"said": ["hi"]}
    assert [entry.outcome for entry in quick.entries] == ["completed", "cancelled"]
    assert quick.turn(remember).outcome == "completed"


def test_a_cancelled_turn_is_kept_as_such(host: Host, in_thread: Any) -> None:
    """The store says of a cancelled prompt what became of it, and by whose wish."""
    agent, cancellation = Stoppable(), Cancellation()
    running = in_thread(host.turn, agent.sleeper, "long story", cancellation=cancellation)
    agent.began.wait(5)
    cancellation.request(cancelled_by(signal.SIGTERM))
    cancelled = running.result()
    (entry,) = host.entries

    assert cancelled.error is not None
    assert cancelled.error.exit_code == 143
    assert (entry.prompt, entry.outcome, entry.reply) == ("long story", "cancelled", None)
    assert entry.error == ("cancelled", "cancelled")
    assert host.store.unsettled_prompt(host.head) is None


def test_the_first_reason_stands(quick: Host, in_thread: Any) -> None:
    """A turn that is cancelled twice, or runs out of time while it cleans up, says the first reason."""
    agent, cancellation = Stoppable(), Cancellation()
    running = in_thread(quick.turn, agent.coroutine, cancellation=cancellation, timeout=5)
    agent.began.wait(5)
    for signum in (signal.SIGTERM, signal.SIGINT, signal.SIGINT):
        cancellation.request(cancelled_by(signum))

    assert running.result().error.message == "cancelled"


def test_a_turn_that_was_cancelled_before_it_began_does_not_run(quick: Host) -> None:
    """A cancellation that comes while the session is being opened reaches the agent before its first line."""
    runs: list[str] = []
    cancellation = Cancellation()
    cancellation.request(cancelled_by(signal.SIGINT))
    cancelled = quick.turn(lambda prompt, *_: runs.append(prompt), cancellation=cancellation)

    assert (cancelled.outcome, runs) == ("cancelled", [])


def test_who_waits_can_be_cancelled(quick: Host, in_thread: Any) -> None:
    """A turn that waits behind another is told who holds the session, and leaves when it is cancelled."""
    agent, first, second = Stoppable(), Cancellation(), Cancellation()
    holders: list[Any] = []

    def on_waiting(holder: Any) -> None:
        holders.append(holder)
        second.request(cancelled_by(signal.SIGINT))

    running = in_thread(quick.turn, agent.sleeper, cancellation=first)
    agent.began.wait(5)
    with pytest.raises(TurnCancelled):
        quick.runner.run(
            Agent("tester", echo, "v1"),
            TurnRequest("tester", "work", "hi", wait=5),
            Listener(waiting=on_waiting),
            cancellation=second,
        )
    first.request(cancelled_by(signal.SIGINT))
    running.result()

    assert len(holders) == 1
    assert len(quick.entries) == 1


def test_an_agent_can_ask_whether_to_leave(quick: Host, in_thread: Any) -> None:
    """`context.cancelled` turns true at once, in whichever thread the agent asks."""
    cancellation, began = Cancellation(), threading.Event()
    seen: list[bool] = []

    async def agent(prompt: str, session: Any, context: Any) -> str:
        def work() -> None:
            seen.append(context.cancelled)
            began.set()
            end = time.monotonic() + 5
            while not context.cancelled and time.monotonic() < end:
                time.sleep(0.01)
            seen.append(context.cancelled)

        await asyncio.to_thread(work)
        return "done"

    running = in_thread(quick.turn, agent, cancellation=cancellation)
    began.wait(5)
    cancellation.request(cancelled_by(signal.SIGINT))

    assert running.result().outcome == "cancelled"
    assert seen == [False, True]


@pytest.mark.parametrize("kind", ["sleeper", "generator", "coroutine"])
def test_time_is_up_in_the_main_thread_too(quick: Host, kind: str) -> None:
    """An agent in the main thread of a program is stopped like any other."""
    agent = Stoppable()
    late = quick.turn(getattr(agent, kind), timeout=0.1)

    assert (late.outcome, agent.cleaned) == ("failed", True)
    assert late.error is not None
    assert late.error.exit_code == 124


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals need it")
def test_a_signal_ends_even_a_long_sleep() -> None:
    """In the command, an agent that sleeps or reads is stopped at once and not when it wakes up."""
    quick, cancellation = Host(MemoryStore()), Cancellation(wake_by=signal.SIGINT)
    old = signal.signal(signal.SIGINT, lambda signum, frame: cancellation.request(cancelled_by(signum)))
    began = time.monotonic()
    try:
        late = quick.turn(lambda *_: time.sleep(5), cancellation=cancellation, timeout=0.1)
    finally:
        signal.signal(signal.SIGINT, old)

    assert time.monotonic() - began < 3
    assert late.error is not None
    assert late.error.type == "timeout"


def stubborn(until: threading.Event, running: list[str]) -> Any:
    """An agent that will hear nothing of stopping until `until`, or for five seconds."""

    def agent(prompt: str, session: Any, context: Any) -> str:
        end = time.monotonic() + 5
        while not until.is_set() and time.monotonic() < end:
            try:
                session.data["late"] = True
                running.append("began")
                while not until.is_set() and time.monotonic() < end:
                    time.sleep(0.01)
            except BaseException:  # noqa: BLE001 - that is what is wrong with it
                running.append("swallowed")
        running.append("ended")
        return "late"

    return agent


def async_stubborn(until: threading.Event, running: list[str]) -> Any:
    async def agent(prompt: str, session: Any, context: Any) -> str:
        end = time.monotonic() + 5
        session.data["late"] = True
        running.append("began")
        while not until.is_set() and time.monotonic() < end:
            time.sleep(0.01)  # noqa: ASYNC251 - an agent that lets nobody else run
        running.append("ended")
        return "late"

    return agent


@pytest.mark.parametrize("kind", [stubborn, async_stubborn])
@pytest.mark.parametrize(("timeout", "outcome", "code"), [(None, "cancelled", 130), (0.1, "failed", 124)])
def test_an_agent_that_will_not_stop_is_given_up(
    host: Host,
    in_thread: Any,
    monkeypatch: pytest.MonkeyPatch,
    kind: Any,
    timeout: float | None,
    outcome: str,
    code: int,
) -> None:
    """The turn is settled while the agent goes on, the session is free, and a late reply is dropped."""
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.2)
    cancellation, until, given_up = Cancellation(), threading.Event(), threading.Event()
    running: list[str] = []
    stuck: list[Turn] = []

    def on_stuck(settled: Turn) -> None:
        stuck.append(settled)
        given_up.set()

    host.turn(remember, "before")
    call = in_thread(
        host.turn, kind(until, running), cancellation=cancellation, timeout=timeout, stuck=on_stuck
    )
    while not running:
        time.sleep(0.001)
    if timeout is None:
        cancellation.request(cancelled_by(signal.SIGINT))
    assert given_up.wait(5)
    while_it_runs = host.turn(remember, "meanwhile")
    ran_on = "ended" not in running
    until.set()
    returned = call.result()

    assert ran_on
    assert (while_it_runs.outcome, while_it_runs.turn) == ("completed", 3)
    assert len(stuck) == 1
    for settled in (stuck[0], returned):
        assert (settled.outcome, settled.reply, settled.turn) == (outcome, None, 2)
        assert settled.error is not None
        assert settled.error.exit_code == code
        assert json.loads(settled.data) == {"said": ["before"]}
    assert host.data == {"said": ["before", "meanwhile"]}
    assert [entry.outcome for entry in host.entries] == ["completed", outcome, "completed"]


def test_an_agent_has_two_seconds_to_stop(quick: Host, in_thread: Any) -> None:
    """An agent that was told to stop may take two seconds to clean up before it is given up."""
    cancellation, given_up = Cancellation(), threading.Event()
    running: list[str] = []
    call = in_thread(
        quick.turn,
        stubborn(given_up, running),
        cancellation=cancellation,
        stuck=lambda settled: given_up.set(),
    )
    while not running:
        time.sleep(0.001)
    began = time.monotonic()
    cancellation.request(cancelled_by(signal.SIGINT))
    call.result()

    assert 1.9 < time.monotonic() - began < 4
    assert running == ["began", "swallowed", "began", "ended"]


def test_a_timeout_holds_where_a_thousand_files_are_open(quick: Host) -> None:
    """A server with very many connections still ends turns whose time is up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2048), hard))
    try:
        with ExitStack() as many:
            for _ in range(1100):
                many.enter_context(open(os.devnull))
            late = quick.turn(Stoppable().sleeper, timeout=0.1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert late.error
    assert late.error.type == "timeout"


# Output that goes away


class Chatty:
    """Agents that stream without end and note when they are closed."""

    def __init__(self) -> None:
        self.closed = False

    def generator(self, *_: Any) -> Iterator[str]:
        try:
            while True:
                yield "."
        finally:
            self.closed = True

    async def async_generator(self, *_: Any) -> Any:
        try:
            while True:
                yield "."
        finally:
            await asyncio.sleep(0)
            self.closed = True

    def unwilling(self, *_: Any) -> Iterator[str]:
        try:
            while True:
                yield "."
        except GeneratorExit:
            self.closed = True
            yield "one more"


@pytest.mark.parametrize("kind", ["generator", "async_generator", "unwilling"])
@pytest.mark.parametrize(
    ("error", "outcome", "code"),
    [(OutputClosed("gone"), "cancelled", 141), (OutputFailed("full"), "failed", 74)],
)
def test_when_nobody_listens_the_agent_is_closed(
    quick: Host, kind: str, error: FlueError, outcome: str, code: int
) -> None:
    """A stream whose reader has gone is not made any longer, and the turn is not kept as if it was read."""
    agent, heard = Chatty(), []

    def on_piece(piece: str) -> None:
        heard.append(piece)
        if len(heard) == 3:
            raise error

    settled = quick.turn(getattr(agent, kind), piece=on_piece)

    assert (settled.outcome, settled.error, settled.reply) == (outcome, error, None)
    assert settled.error is not None
    assert settled.error.exit_code == code
    assert heard == [".", ".", "."]
    assert agent.closed
    assert quick.history == []


# Stores in trouble


def test_a_reply_that_cannot_be_saved_is_still_there() -> None:
    """When the store fails at the end, what the agent said comes back with the store's error."""

    class Full(MemoryStore):
        def commit(self, *arguments: Any, **named: Any) -> Any:
            raise StoreError("the disk is full")

    lost = Host(Full()).turn(remember)

    assert (lost.outcome, lost.reply, lost.data) == ("interrupted", "noted hi", "{}")
    assert lost.error is not None
    assert (lost.error.message, lost.error.exit_code) == ("the disk is full", 5)


def test_a_failure_that_cannot_be_saved_says_so() -> None:
    """When not even the failure can be written down, the turn counts as interrupted."""

    class Full(MemoryStore):
        def abandon(self, *arguments: Any, **named: Any) -> Any:
            raise StoreError("the disk is full")

    lost = Host(Full()).turn(broken_by(ValueError("boom")))

    assert (lost.outcome, lost.reply) == ("interrupted", None)
    assert lost.error is not None
    assert lost.error.message == "the disk is full"


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"a":NaN}', "[" * 100_000])
def test_damaged_data_is_not_given_to_an_agent(text: str) -> None:
    """Data that is no JSON object any more fails the turn before the agent runs, and frees the session."""

    class Damaged(MemoryStore):
        def begin(self, *arguments: Any) -> Any:
            begun: Any = super().begin(*arguments)
            return begun._replace(lease=begun.lease._replace(data=text))

    runs: list[str] = []
    host = Host(Damaged())
    failed = host.turn(lambda prompt, *_: runs.append(prompt))

    assert (failed.outcome, runs) == ("failed", [])
    assert failed.error is not None
    assert (failed.error.type, failed.error.exit_code) == ("store_damaged", 5)
    assert host.store.unsettled_prompt(host.head) is None


def test_what_keeps_a_turn_from_beginning_is_raised(quick: Host) -> None:
    """A session that must exist and does not is an error, and the agent does not run."""
    runs: list[str] = []
    with pytest.raises(SessionNotFound):
        quick.runner.run(
            Agent("tester", lambda prompt, *_: runs.append(prompt), "v1"),
            TurnRequest("tester", "nowhere", "hi", expect="existing"),
            cancellation=Cancellation(),
        )

    assert runs == []


def test_an_agent_that_forks_answers_once(tmp_path: Path) -> None:
    """A child process that comes back from the agent ends there; the reply is the parent's."""
    store = SqliteStore(str(tmp_path / "flue.db"))

    def forks(prompt: str, session: object, context: object) -> str:
        child = os.fork()
        if child == 0:
            return "from the child"
        _, status = os.waitpid(child, 0)
        return f"child ended with {os.waitstatus_to_exitcode(status)}"

    with closing(Runner(store)) as runner:
        done = runner.run(
            Agent("forks", forks, "x"), TurnRequest("forks", "a", "go"), cancellation=Cancellation()
        )

    assert (done.outcome, done.reply) == ("completed", "child ended with 0")
    assert store.head("forks", "a").turn == 1
    store.close()


def test_a_bug_of_ours_leaves_no_session_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong after a prompt was accepted, the turn is settled."""
    store = MemoryStore()

    def broken(begun: object) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError), closing(Runner(store)) as runner:
        runner.run(
            Agent("x", lambda *_: "never", "x"),
            TurnRequest("x", "a", "go"),
            Listener(begun=broken),
            cancellation=Cancellation(),
        )
    (entry,) = store.entries(store.head("x", "a"), 1, 1)
    assert entry.error
    assert (entry.outcome, entry.error.type) == ("failed", "bug")
