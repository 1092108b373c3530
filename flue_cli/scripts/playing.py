"""Playing a script: its turns are rehearsed one after another, and nothing is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from flue_cli.agents import Agent
from flue_cli.cancellation import Cancellation
from flue_cli.errors import FlueError, TurnCancelled
from flue_cli.jsondata.strict import dumps, loads
from flue_cli.kept import Kept
from flue_cli.rehearsal import Rehearser, Scene
from flue_cli.scripts.checking import Failure, Outcome, check
from flue_cli.scripts.script import Script, Step
from flue_cli.session import History, Message

_SECOND = 1_000_000


class Played(NamedTuple):
    """A turn of a script, what became of it, and what of that is not as expected.

    `seconds` is how long it took.
    """

    step: Step
    turn: int
    outcome: Outcome
    failures: tuple[Failure, ...]
    seconds: float


class ScriptResult(NamedTuple):
    """A script and its turns, as far as they were played; `error` is why its agent could not be loaded."""

    script: Script
    turns: tuple[Played, ...] = ()
    error: FlueError | None = None

    @property
    def passed(self) -> bool:
        """Whether everything was as expected."""
        return self.error is None and not any(turn.failures for turn in self.turns)


class Stage(NamedTuple):
    """Where scripts are played.

    `cancellable` gives the cancellation of one turn while it runs; `timeout` bounds each turn, in seconds.
    `stuck` gets the turn, from another thread, when a cancelled agent does not stop.
    """

    rehearser: Rehearser
    cancellable: Callable[[], AbstractContextManager[Cancellation]]
    timeout: float | None = None
    stuck: Callable[[Played], None] = lambda _: None


def play(stage: Stage, agent: Agent, script: Script) -> Iterator[Played]:
    """The turns of `script`, each as it ends. What failed leaves no trace, and the rest goes on.

    Raises TurnCancelled when a person ends it.
    """
    memory = _Memory(script)
    for step in script.steps:
        memory.move_on(step)
        if step.prompt is None:
            memory.data = step.edit
        else:
            yield _turn(stage, agent, memory, step, step.prompt)


class _Memory:
    """What a script's session is between its turns."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.data = "{}"
        self.turn = 0
        self.now = script.now
        self._messages: list[str] = []  # as JSON: what an agent does to a message is not remembered
        self._is_first = True

    def move_on(self, step: Step) -> None:
        """Go to the number and the clock of `step`."""
        self.turn = self.turn + 1 if step.turn is None else step.turn
        if step.now is not None:
            self.now = step.now
        elif step.prompt is not None and not self._is_first:
            self.now += _SECOND
        self._is_first = self._is_first and step.prompt is None

    def scene(self, step: Step, prompt: str) -> Scene:
        """What the turn of `step` starts from."""
        script = self._script
        seed = script.seed + self.turn - 1 if step.seed is None else step.seed
        history = History(len(self._messages), self._read)
        return Scene(script.session, prompt, self.data, history, self.turn, self.now, seed, step.calls)

    def keep(self, prompt: str, kept: Kept) -> None:
        """Remember a turn that completed."""
        self.data = kept.data
        said = (Message("user", prompt), *kept.messages, Message("assistant", kept.reply))
        self._messages += [dumps(message.as_dict()) for message in said]

    def _read(self, start: int, stop: int) -> list[Message]:
        return [Message.from_dict(loads(text)) for text in self._messages[start:stop]]


def _turn(stage: Stage, agent: Agent, memory: _Memory, step: Step, prompt: str) -> Played:
    began = time.monotonic()

    def played(kept: Kept | None, error: FlueError | None, missing: Any = ()) -> Played:
        data = loads(kept.data if kept else memory.data)
        before = loads(memory.data)
        outcome = Outcome(kept.reply if kept else None, data, error, missing, before)
        return Played(step, memory.turn, outcome, check(step, outcome), time.monotonic() - began)

    with stage.cancellable() as cancellation:
        rehearsed = stage.rehearser.run(
            agent,
            memory.scene(step, prompt),
            cancellation=cancellation,
            timeout=stage.timeout,
            stuck=lambda error: stage.stuck(played(None, error)),
        )
    if isinstance(cancellation.why, TurnCancelled):
        raise cancellation.why
    result = played(*rehearsed)
    if rehearsed.kept:
        memory.keep(prompt, rehearsed.kept)
    return result
