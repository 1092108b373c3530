"""A dry run: the agent is handed, and held to, exactly what it is in a turn that is kept."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from typing import Any

import pytest

from flue_cli.agents.api import History, Message, Reply
from flue_cli.agents.discovery import Agent
from flue_cli.errors import OutputClosed, StoreDamaged, TurnCancelled, TurnTimeout
from flue_cli.stores.contract import Store
from flue_cli.stores.memory.store import MemoryStore
from flue_cli.stores.records import TurnRequest
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.dry_run import DryRunner, DryRunResult
from flue_cli.turns.result import TurnInput
from flue_cli.turns.runner import Runner

NOTHING = History(0, lambda start, stop: [])


@pytest.fixture
def dry_runner() -> Iterator[DryRunner]:
    with closing(DryRunner()) as dry_runner:
        yield dry_runner


def dry_run(
    dry_runner: DryRunner, function: Callable[..., Any], scene: TurnInput | None = None, **settings: Any
) -> DryRunResult:
    settings.setdefault("cancellation", Cancellation())
    return dry_runner.run(Agent("tested", function, "crc32:0"), scene or the_scene(), **settings)


def the_scene(prompt: str = "go", data: str = "{}", **fields: Any) -> TurnInput:
    return TurnInput("a", prompt, data, NOTHING, 1, 1_795_000_000_000_000, 7)._replace(**fields)


def kept_turn(function: Callable[..., Any], prompts: list[str]) -> tuple[Store, Any]:
    """A store in which `prompts` were answered, and what became of the last."""
    store = MemoryStore()
    agent = Agent("tested", function, "crc32:0")
    with closing(Runner(store)) as runner:
        for prompt in prompts:
            turn = runner.run(agent, TurnRequest("tested", "a", prompt), cancellation=Cancellation())
    return store, turn


def curious(prompt: str, session: Any, context: Any) -> Reply:
    session.data["seen"] = session.data.get("seen", 0) + 1
    account = (
        prompt, session.id, session.data["seen"], [message.as_dict() for message in session.history],
        context.agent, context.turn, context.now, context.random.random(), context.cancelled,
    )  # fmt: skip
    return Reply(repr(account), messages=[{"role": "tool", "content": [1]}], meta={"tokens": 3})


def test_a_dry_run_is_the_turn_again(dry_runner: DryRunner) -> None:
    """From the data, history, clock and seed of a kept turn comes, to the letter, what was kept."""
    store, turn = kept_turn(curious, ["one", "two"])
    head = store.head("tested", "a")
    first, second = store.entries(head, 1, 2, with_data=True)
    before = store.head_at(head, 1)
    scene = TurnInput(
        session="a",
        prompt="two",
        data=first.data,
        history=History(before.messages, lambda start, stop: store.messages(before, start, stop)),
        turn=2,
        started_at=second.started_at,
        seed=second.meta["seed"],
    )

    done = dry_run(dry_runner, curious, scene)

    assert done.error is None
    assert done.result is not None
    assert done.result.reply == second.reply == turn.reply
    assert tuple(done.result.messages) == second.messages == (Message("tool", [1]),)
    assert done.result.data == second.data == '{"seen":2}'
    assert done.result.meta == second.meta


def failing(prompt: str, session: Any, context: Any) -> Any:
    session.data["spoilt"] = True
    match prompt:
        case "raise":
            raise ValueError("oops")
        case "exit":
            raise SystemExit(3)
        case "none":
            return None
        case "set":
            session.data["set"] = {1}
        case "call":
            context.record("x", lambda: {1})
    return "done"


@pytest.mark.parametrize("prompt", ["raise", "exit", "none", "set", "call"])
def test_an_agent_that_fails_fails_alike(dry_runner: DryRunner, prompt: str) -> None:
    """The error of a dry run is the one that a kept turn has, in type, words and hint."""
    _, turn = kept_turn(failing, [prompt])

    done = dry_run(dry_runner, failing, the_scene(prompt))

    assert done.result is None
    assert done.error is not None
    assert (done.error.type, done.error.message, done.error.hint) == (
        turn.error.type,
        turn.error.message,
        turn.error.hint,
    )


def calling(prompt: str, session: Any, context: Any) -> str:
    return str(context.record("weather", lambda: session.data.setdefault("made", "live")))


def test_calls_are_made_unless_they_are_given(dry_runner: DryRunner) -> None:
    """Without recorded calls they are made and kept; with them, also with none, nothing is called."""
    live = dry_run(dry_runner, calling)
    answered = dry_run(dry_runner, calling, the_scene(calls=[{"name": "weather", "result": 21}]))
    lacking = dry_run(dry_runner, calling, the_scene(calls=[]))

    assert live.result is not None
    assert (live.result.data, live.result.meta["calls"]) == (
        '{"made":"live"}',
        [{"name": "weather", "result": "live"}],
    )
    assert answered.result is not None
    assert (answered.result.reply, answered.result.data) == ("21", "{}")
    assert answered.result.meta["calls"] == [{"name": "weather", "result": 21}]
    assert lacking.error is not None
    assert (lacking.error.type, lacking.missing_calls) == ("not_recorded", ["weather"])


def test_a_call_that_was_swallowed_is_told(dry_runner: DryRunner) -> None:
    """An agent that goes on without a call that was not recorded does not hide that."""

    def careless(prompt: str, session: Any, context: Any) -> str:
        try:
            context.record("weather", lambda: 1)
        except Exception:  # noqa: BLE001
            return "whatever"
        return "fine"

    done = dry_run(dry_runner, careless, the_scene(calls=[]))

    assert done.result is not None
    assert (done.result.reply, done.missing_calls) == ("whatever", ["weather"])


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"data": "[]"}, "the data of session 'a' is not a JSON object"),
        ({"data": "{"}, "the data of session 'a' is not JSON"),
        (
            {"calls": [7]},
            "the recorded calls of turn 1 of session 'a' are invalid: calls[0] is not an object",
        ),
    ],
)
def test_a_scene_that_makes_no_sense(dry_runner: DryRunner, fields: dict[str, Any], words: str) -> None:
    """Damaged data or calls are said before the agent runs."""
    with pytest.raises(StoreDamaged) as raised:
        dry_run(dry_runner, lambda *_: pytest.fail("it ran"), the_scene(**fields))
    assert raised.value.message.startswith(words)


def test_time_runs_out(dry_runner: DryRunner) -> None:
    """`timeout` ends an agent that takes longer, and the next dry run is none the worse."""

    def slow(prompt: str, session: Any, context: Any) -> str:
        while prompt == "go":
            time.sleep(0.001)
        return "done"

    late = dry_run(dry_runner, slow, timeout=0.05)
    done = dry_run(dry_runner, slow, the_scene("stop"), timeout=5)

    assert isinstance(late.error, TurnTimeout)
    assert done.result is not None
    assert done.result.reply == "done"


def test_it_can_be_cancelled(dry_runner: DryRunner) -> None:
    """A request from another thread ends it, with the reason."""
    cancellation = Cancellation()
    began = threading.Event()

    def slow(prompt: str, session: Any, context: Any) -> str:
        began.set()
        while True:
            time.sleep(0.001)

    found: list[DryRunResult] = []
    thread = threading.Thread(
        target=lambda: found.append(dry_run(dry_runner, slow, cancellation=cancellation))
    )
    thread.start()
    began.wait()
    cancellation.request(TurnCancelled("enough"))
    thread.join(timeout=10)

    assert isinstance(found[0].error, TurnCancelled)


def test_whoever_listens_can_end_it(dry_runner: DryRunner) -> None:
    """Pieces go to the listener; what that raises is what the dry run ends with."""
    heard: list[str] = []

    def listen(piece: str) -> None:
        heard.append(piece)
        if len(heard) == 2:
            raise OutputClosed("nobody reads it")

    def talk(prompt: str, session: Any, context: Any) -> Iterator[str]:
        yield from "abc"

    done = dry_run(dry_runner, talk, on_piece=listen)

    assert isinstance(done.error, OutputClosed)
    assert heard == ["a", "b"]


def test_an_agent_that_will_not_stop_is_told(dry_runner: DryRunner, monkeypatch: pytest.MonkeyPatch) -> None:
    """`stuck` hears of it after the time of grace, while the agent still runs."""
    monkeypatch.setattr("flue_cli.turns.watchdog.GRACE_SECONDS", 0.1)
    told: list[DryRunResult] = []

    def stubborn(prompt: str, session: Any, context: Any) -> str:
        while not told:
            with suppress(BaseException):
                time.sleep(0.001)
        return "done at last"

    done = dry_run(dry_runner, stubborn, timeout=0.05, on_stuck=told.append)

    assert isinstance(told[0].error, TurnTimeout)
    assert isinstance(done.error, TurnTimeout)
