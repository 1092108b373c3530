"""Turns that fail: agents that misbehave, and stores in trouble."""

from __future__ import annotations

import asyncio
import itertools
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import pytest
from support.turn_host import Host, broken_by, echo, remember

from flue_cli.agents.api import Message, Reply
from flue_cli.agents.discovery import Agent
from flue_cli.errors import (
    OutputClosed,
    SessionNotFound,
    StoreError,
    TurnCancelled,
)
from flue_cli.stores.memory.store import MemoryStore
from flue_cli.stores.records import TurnRequest
from flue_cli.stores.sqlite.store import SqliteStore
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.runner import Listener, Runner

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
    failed = host.turn(meddling_first, on_piece=lambda piece: None)
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

    assert "turn_host.py" in error.traceback
    assert error.traceback.endswith("ValueError: boom\n")


def test_a_stream_that_fails_was_heard_so_far(quick: Host) -> None:
    """The pieces before a failure were shown, and none of them is kept as a reply."""
    heard: list[str] = []
    failed = quick.turn(streaming_then_broken_by(ValueError("boom")), on_piece=heard.append)

    assert (heard, failed.reply, quick.history) == (["so far "], None, [])


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


@pytest.mark.parametrize(
    ("only_in_main", "remedy"),
    [
        (lambda *_: str(signal.signal(signal.SIGALRM, signal.SIG_DFL)), "signal handlers"),
        (lambda *_: str(asyncio.get_event_loop()), "asyncio.run"),
        (broken_by(ValueError("no such thread")), ""),
    ],
)
def test_what_needs_the_main_thread_is_explained(quick: Host, only_in_main: Any, remedy: str) -> None:
    """An agent that fails because it is called in a thread gets a hint that says so; others do not."""
    with ThreadPoolExecutor() as pool:
        failed = pool.submit(quick.turn, only_in_main).result()

    assert failed.error is not None
    assert ("call agents in a thread" in failed.error.hint) is bool(remedy)
    assert remedy in failed.error.hint


def test_a_bug_of_ours_leaves_no_session_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever goes wrong after a prompt was accepted, the turn is settled."""
    store = MemoryStore()

    def broken(begun: object) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError), closing(Runner(store)) as runner:
        runner.run(
            Agent("x", lambda *_: "never", "x"),
            TurnRequest("x", "a", "go"),
            Listener(on_begin=broken),
            cancellation=Cancellation(),
        )
    (entry,) = store.entries(store.head("x", "a"), 1, 1)
    assert entry.error
    assert (entry.outcome, entry.error.type) == ("failed", "bug")
