"""`context.record`: what a live agent gets is what a replay will get, whatever shape the call has."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flue_cli.agents.call_recording import CallRecorder, CallReplayer, CallSource
from flue_cli.agents.recorded_errors import error_from_json, error_to_json
from flue_cli.errors import AgentError
from flue_cli.jsondata.strict import MAX_BYTES

if TYPE_CHECKING:
    from conftest import Flue

Agent = Callable[[CallSource], Any]
"""What an agent does with its `context.record`, and the account that it gives of what it got."""


class Refused(Exception):
    """An error of an agent's own, that wants more than its words."""

    def __init__(self, code: int, secret: object) -> None:
        super().__init__(f"refused with {code}")
        self.code = code
        self.secret = secret


def live_and_replayed(agent: Agent) -> tuple[Any, Any, CallRecorder]:
    """What `agent` says of a live run, and of a replay from what that run kept."""
    recorder = CallRecorder()
    live = agent(recorder)
    meta = json.loads(json.dumps(recorder.as_meta()))  # as a store gives it back
    player = CallReplayer(meta.get("calls", []))
    replayed = agent(player)
    assert player.missing_calls == []
    return live, replayed, recorder


def raising(error: BaseException) -> Callable[[], Any]:
    def call() -> Any:
        raise error

    return call


async def later(value: Any) -> Any:
    await asyncio.sleep(0)
    if isinstance(value, BaseException):
        raise value
    return value


def same(value: Any) -> Any:
    return value


def pieces(*values: Any) -> Iterator[Any]:
    for value in values:
        if isinstance(value, BaseException):
            raise value
        yield value


async def async_pieces(*values: Any) -> AsyncIterator[Any]:
    for value in values:
        yield await later(value)


def told(act: Callable[[], Any]) -> Any:
    """What `act` gives, or how an agent would speak of what it raised."""
    try:
        return act()
    except BaseException as error:  # noqa: BLE001
        return [type(error).__name__, str(error)]


async def told_async(awaited: Any) -> Any:
    try:
        return await awaited
    except BaseException as error:  # noqa: BLE001
        return [type(error).__name__, str(error)]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from("rcip"), json_values), max_size=8))
def test_a_replay_gets_what_the_live_agent_got(calls: list[tuple[str, str, Any]]) -> None:
    """Any calls in any order, by value, coroutine or iterator of either kind: the same answers."""

    def agent(context: CallSource) -> Any:
        async def run() -> Any:
            got: list[Any] = []
            for name, shape, value in calls:
                match shape:
                    case "r":
                        got.append(context.record(name, partial(same, value)))
                    case "c":
                        got.append(await context.record(name, partial(later, value)))
                    case "i":
                        got.append(list(context.record(name, partial(pieces, value, value))))
                    case _:
                        got.append(
                            [one async for one in context.record(name, partial(async_pieces, value, value))]
                        )
            return got

        return asyncio.run(run())

    live, replayed, _ = live_and_replayed(agent)
    assert json.dumps(replayed) == json.dumps(live)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no such colour"),
        ValueError(),
        ValueError(1, "two"),
        KeyError("missing"),
        FileNotFoundError(2, "No such file or directory", "x.txt"),
        TimeoutError("too slow"),
        StopIteration("done"),
        SystemExit(3),
        KeyboardInterrupt(),
        UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte"),
        json.JSONDecodeError("Expecting value", "x", 0),
        HTTPError("http://x", 429, "slow down", None, None),  # type: ignore[arg-type]
        Refused(7, object()),
        AgentError("the model is gone", type="gone"),
        ValueError("half a \ud800 character"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_a_call_raises_is_raised_again(error: BaseException) -> None:
    """The same `except` catches it, and it says the same, in every shape of call."""

    def agent(context: CallSource) -> Any:
        def caught(act: Callable[[], Any]) -> Any:
            try:
                act()
            except type(error) as raised:
                return [type(raised).__name__, str(raised).encode("utf-8", "backslashreplace").decode()]
            return "nothing"

        by_value = caught(lambda: context.record("value", raising(error)))
        if isinstance(
            error, StopIteration | SystemExit | KeyboardInterrupt
        ):  # a loop of Python's own takes these
            return [by_value]
        return [
            by_value,
            caught(lambda: asyncio.run(context.record("coroutine", lambda: later(error)))),
            caught(lambda: list(context.record("iterator", lambda: pieces("one", error)))),
        ]

    live, replayed, _ = live_and_replayed(agent)
    assert replayed == live
    assert "nothing" not in live


def test_what_is_known_of_an_error_besides_its_words() -> None:
    """Plain attributes come back, objects do not: they may know a secret."""
    kept = error_to_json(Refused(7, {"Authorization": "sk-secret"}))
    again = error_from_json(json.loads(json.dumps(kept)))

    assert isinstance(again, Refused)
    assert again.code == 7
    assert "sk-secret" not in json.dumps(kept)
    missing = error_from_json(error_to_json(FileNotFoundError(2, "No such file or directory", "x.txt")))
    assert isinstance(missing, FileNotFoundError)
    assert (missing.errno, missing.filename) == (2, "x.txt")


def test_an_error_whose_class_is_not_there() -> None:
    """It is one of the nearest of Python's own classes, under its own name."""
    kept = {"type": "nowhere.Lost", "base": "OSError", "message": "gone"}
    again = error_from_json(kept)

    assert isinstance(again, OSError)
    assert (type(again).__name__, str(again)) == ("Lost", "gone")
    unknown = error_from_json({"type": "os.system", "message": "gone"})
    assert (type(unknown), type(unknown).__name__, str(unknown))[1:] == ("system", "gone")
    assert isinstance(unknown, RuntimeError)


def test_calls_that_run_side_by_side() -> None:
    """With asyncio.gather, calls of one name are told apart by the order in which they began."""

    async def slow(name: str, seconds: float) -> str:
        await asyncio.sleep(seconds)
        return name

    def agent(context: CallSource) -> Any:
        async def run() -> Any:
            return await asyncio.gather(
                context.record("model", lambda: slow("first", 0.02)),
                context.record("model", lambda: slow("second", 0)),
                context.record("other", lambda: slow("third", 0.01)),
                told_async(context.record("model", lambda: later(ValueError("oops")))),
            )

        return asyncio.run(run())

    live, replayed, _ = live_and_replayed(agent)
    assert replayed == live == ["first", "second", "third", ["ValueError", "oops"]]


def test_a_race_is_won_again_by_the_winner() -> None:
    """Of two models asked at once the slower one is given up; a replay is not answered by it either."""

    def agent(context: CallSource) -> Any:
        async def run() -> Any:
            quick = asyncio.ensure_future(context.record("quick", lambda: later("quick")))
            slow = asyncio.ensure_future(context.record("slow", lambda: asyncio.sleep(60, "slow")))
            done, waiting = await asyncio.wait({quick, slow}, return_when=asyncio.FIRST_COMPLETED)
            for task in waiting:
                task.cancel()
            try:
                late = await asyncio.wait_for(context.record("late", lambda: asyncio.sleep(60, "late")), 0.05)
            except TimeoutError:
                late = "nothing"
            return [task.result() for task in done], late

        return asyncio.run(run())

    live, replayed, recorder = live_and_replayed(agent)
    assert replayed == live == (["quick"], "nothing")
    assert recorder.calls[2]["unanswered"] >= 0.05


def test_a_call_that_was_given_up_does_not_hang_a_replay() -> None:
    """An agent that now waits for what never came is told that it was not recorded."""

    def waits(context: CallSource, seconds: float | None) -> Any:
        async def run() -> Any:
            return await told_async(
                asyncio.wait_for(context.record("late", lambda: asyncio.sleep(60)), seconds)
            )

        return asyncio.run(run())

    recorder = CallRecorder()
    waits(recorder, 0.01)
    player = CallReplayer(recorder.as_meta()["calls"])

    assert waits(player, None) == ["AgentError", "the call 'late' was not recorded, and is not made"]
    assert player.missing_calls == ["late"]


def test_what_is_never_awaited_or_read() -> None:
    """A coroutine or an iterator that the agent lets lie does no harm to a replay."""

    def agent(context: CallSource) -> Any:
        never = later(1)
        context.record("coroutine", lambda: never).close()
        never.close()
        context.record("iterator", lambda: pieces(1))
        context.record("async iterator", lambda: async_pieces(1))
        return context.record("value", lambda: 1)

    assert live_and_replayed(agent)[:2] == (1, 1)


def test_an_iterator_that_is_left_early() -> None:
    """Its source is closed, a replay gives as much, and reading further is a call that was not recorded."""
    closed: list[str] = []

    def source() -> Iterator[int]:
        try:
            yield from range(1000)
        finally:
            closed.append("closed")

    def agent(context: CallSource, count: int = 2) -> Any:
        numbers = context.record("numbers", source)
        got = [next(numbers) for _ in range(count)]
        numbers.close()
        return got

    live, replayed, recorder = live_and_replayed(agent)
    assert replayed == live == [0, 1]
    assert closed == ["closed"]
    player = CallReplayer(recorder.as_meta()["calls"])
    with pytest.raises(AgentError, match="'numbers' was not recorded"):
        agent(player, count=3)
    assert player.missing_calls == ["numbers"]


def test_an_async_iterator_that_is_left_early() -> None:
    """The same for one that is read with `async for`."""

    def agent(context: CallSource, count: int = 2) -> Any:
        async def run() -> Any:
            got = []
            async for piece in context.record("numbers", lambda: async_pieces(1, 2, 3)):
                got.append(piece)
                if len(got) == count:
                    break
            return got

        return asyncio.run(run())

    live, replayed, recorder = live_and_replayed(agent)
    assert replayed == live == [1, 2]
    with pytest.raises(AgentError, match="'numbers' was not recorded"):
        agent(CallReplayer(recorder.as_meta()["calls"]), count=3)


def test_an_async_iterator_that_falls_silent() -> None:
    """A stream that stops in the middle, and is given up, stops there in a replay too."""

    async def faltering() -> AsyncIterator[str]:
        yield "Hello"
        await asyncio.sleep(60)

    def agent(context: CallSource) -> Any:
        async def run() -> Any:
            stream = context.record("stream", faltering)
            first = await anext(stream)
            return first, await told_async(asyncio.wait_for(anext(stream), 0.02))

        return asyncio.run(run())

    live, replayed, _ = live_and_replayed(agent)
    assert replayed == live == ("Hello", ["TimeoutError", ""])


def test_what_the_agent_changes_is_its_own() -> None:
    """It gets a copy: what it does to that is not in the record."""

    def agent(context: CallSource) -> Any:
        answer = context.record("weather", lambda: {"degrees": [21]})
        answer["degrees"].append(22)
        return answer

    live, replayed, recorder = live_and_replayed(agent)
    assert replayed == live == {"degrees": [21, 22]}
    assert recorder.calls == [{"name": "weather", "result": {"degrees": [21]}}]


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ({1, 2}, "result: set"),
        ((1, 2), "result: tuple"),
        ({"when": [b"x"]}, "result.when[0]: bytes"),
        (float("nan"), "result: nan"),
        (object(), "result: object"),
        ("half a \ud800 character", "result: lone surrogate"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_json_cannot_hold_is_named(value: Any, problem: str) -> None:
    """Such a result is an error at the call, with its place; an agent that swallows it does so in a replay."""

    def agent(context: CallSource) -> Any:
        return [
            told(lambda: context.record("value", lambda: value)),
            told(lambda: asyncio.run(context.record("coroutine", lambda: later(value)))),
            told(lambda: list(context.record("iterator", lambda: pieces(1, value)))),
        ]

    live, replayed, _ = live_and_replayed(agent)
    assert replayed == live
    assert all(words[0] == "AgentError" and f"cannot be kept: {problem}" in words[1] for words in live), live


def test_calls_are_bounded() -> None:
    """More than 16 MiB is an error at the call that brings it, not at the end of the turn."""
    half = "x" * (MAX_BYTES // 2 + 1)
    recorder = CallRecorder()

    def endless() -> Iterator[str]:
        while True:
            yield half

    stream = recorder.record("stream", endless)
    assert len(next(stream)) == len(half)
    with pytest.raises(AgentError, match="more than 16 MiB") as raised:
        next(stream)
    assert raised.value.type == "bad_call"


@pytest.mark.parametrize("name", [None, 7, b"x", "half a \ud800 character"])
def test_a_name_is_text(name: Any) -> None:
    """Anything else is an error, live and in a replay."""
    for context in (CallRecorder(), CallReplayer([])):
        with pytest.raises(AgentError, match="the name of a call"):
            context.record(name, lambda: 1)


def test_a_call_that_was_not_recorded_is_not_made() -> None:
    """One more than was recorded, or one of another name: an error, noted even if the agent swallows it."""
    made: list[int] = []
    player = CallReplayer([{"name": "a", "result": 1}])

    assert player.record("a", lambda: made.append(1)) == 1
    assert told(lambda: player.record("a", lambda: made.append(1)))[0] == "AgentError"
    assert told(lambda: player.record("b", lambda: made.append(1)))[0] == "AgentError"
    assert player.missing_calls == ["a", "b"]
    assert made == []


@pytest.mark.parametrize(
    ("call", "problem"),
    [
        (7, "calls[0] is not an object with a name"),
        ({"result": 1}, "calls[0] is not an object with a name"),
        ({"name": "a"}, "calls[0] needs one of"),
        ({"name": "a", "pieces": "abc"}, "calls[0].pieces is not a list"),
        ({"name": "a", "error": {"type": "ValueError"}}, "calls[0].error needs type and message"),
        ({"name": "a", "unanswered": "long"}, "calls[0].unanswered is not a number"),
    ],
)
def test_what_is_no_record_is_refused(call: Any, problem: str) -> None:
    """A record from elsewhere that makes no sense is named before anything runs."""
    with pytest.raises(ValueError, match="calls") as raised:
        CallReplayer([call])
    assert str(raised.value).startswith(problem)


WEATHER = """
from flue_cli import AgentContext

def agent(prompt, session, context: AgentContext):
    weather = context.record("weather", lambda: {"place": prompt, "degrees": 21})
    context.record("log", lambda: None)
    return f"It is {weather['degrees']} degrees in {prompt}."
"""


def test_a_turn_keeps_its_calls(flue: Flue) -> None:
    """They are in the turn's meta, with seed and source; a turn without calls has none."""
    flue.agent("weather", WEATHER)

    assert flue("chat", "weather", "-s", "a", "Rome", stdin=None).out == "It is 21 degrees in Rome.\n"
    (turn,) = json.loads(flue("sessions", "export", "a", stdin=None).out)["turns"]

    assert turn["meta"]["calls"] == [
        {"name": "weather", "result": {"place": "Rome", "degrees": 21}},
        {"name": "log", "result": None},
    ]


def test_a_call_that_cannot_be_kept_fails_the_turn(flue: Flue) -> None:
    """The user reads which call it was, where in its result, and what to do."""
    flue.agent(
        "bad",
        "def agent(prompt, session, context):\n    context.record('all', lambda: {'x': {1}})\n    return ''",
    )

    done = flue("chat", "bad", "-s", "a", "x", stdin=None)

    assert (done.code, done.out) == (1, "")
    assert done.err == (
        "error: the result of the call 'all' cannot be kept: result.x: set\n"
        "hint: have it return what JSON holds: dict, list, str, int, float, bool, None\n"
    )


def test_recording_costs_a_start_nothing() -> None:
    """asyncio is not imported for it, nor anything else that is slow."""
    code = "import sys, flue_cli.agents.call_recording\nprint([m for m in ('asyncio', 'copy', 'inspect', 'logging') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
