"""Playing a script: its turns are dry runs, one after another."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from flue_cli.agents.api import History, Message
from flue_cli.agents.discovery import Agent
from flue_cli.errors import FlueError, TurnCancelled
from flue_cli.jsondata.strict import dumps, loads
from flue_cli.script_tests.checks import FailedCheck, StepOutcome, check_step
from flue_cli.script_tests.model import Script, Step
from flue_cli.stores.records import TurnResult
from flue_cli.turns.dry_run import AgentRun, DryRunResult
from flue_cli.turns.result import TurnInput

_SECOND = 1_000_000


class PlayedTurn(NamedTuple):
    """A turn of a script, what became of it, and what of that is not as expected.

    `seconds` is how long it took.
    """

    step: Step
    turn: int
    outcome: StepOutcome
    failures: tuple[FailedCheck, ...]
    seconds: float


class ScriptResult(NamedTuple):
    """A script and its turns, as far as they were played; `error` is why its agent could not be loaded."""

    script: Script
    turns: tuple[PlayedTurn, ...] = ()
    error: FlueError | None = None

    @property
    def passed(self) -> bool:
        """True if everything was as expected."""
        return self.error is None and not any(turn.failures for turn in self.turns)


def play_script(run: AgentRun[PlayedTurn], agent: Agent, script: Script) -> Iterator[PlayedTurn]:
    """Play `script`, and yield each turn as it ends. A failed turn changes nothing, and the rest goes on.

    Raises TurnCancelled when a person ends it.
    """
    memory = _ScriptSession(script)
    for step in script.steps:
        memory.advance(step)
        if step.prompt is None:
            memory.data = step.edit
        else:
            yield _play_turn(run, agent, memory, step, step.prompt)


class _ScriptSession:
    """State of a script's session between its turns."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.data = "{}"
        self.turn = 0
        self.now = script.now
        self._messages: list[str] = []  # as JSON: what an agent does to a message is not remembered
        self._is_first = True

    def advance(self, step: Step) -> None:
        """Go to the number and the clock of `step`."""
        self.turn = self.turn + 1 if step.turn is None else step.turn
        if step.now is not None:
            self.now = step.now
        elif step.prompt is not None and not self._is_first:
            self.now += _SECOND
        self._is_first = self._is_first and step.prompt is None

    def turn_input(self, step: Step, prompt: str) -> TurnInput:
        """Return the input of the turn of `step`."""
        script = self._script
        seed = script.seed + self.turn - 1 if step.seed is None else step.seed
        history = History(len(self._messages), self._read_messages)
        return TurnInput(script.session, prompt, self.data, history, self.turn, self.now, seed, step.calls)

    def add_turn(self, prompt: str, result: TurnResult) -> None:
        """Remember a turn that completed."""
        self.data = result.data
        said = (Message("user", prompt), *result.messages, Message("assistant", result.reply))
        self._messages += [dumps(message.as_dict()) for message in said]

    def _read_messages(self, start: int, stop: int) -> list[Message]:
        return [Message.from_dict(loads(text)) for text in self._messages[start:stop]]


def _play_turn(
    run: AgentRun[PlayedTurn], agent: Agent, session: _ScriptSession, step: Step, prompt: str
) -> PlayedTurn:
    began = time.monotonic()

    def played(done: DryRunResult) -> PlayedTurn:
        result = done.result
        data = loads(result.data if result else session.data)
        before = loads(session.data)
        outcome = StepOutcome(result.reply if result else None, data, done.error, done.missing_calls, before)
        return PlayedTurn(step, session.turn, outcome, check_step(step, outcome), time.monotonic() - began)

    with run.make_cancellation() as cancellation:
        done = run.run(agent, session.turn_input(step, prompt), cancellation, played)
    if isinstance(cancellation.reason, TurnCancelled):
        raise cancellation.reason
    turn = played(done)
    if done.result:
        session.add_turn(prompt, done.result)
    return turn
