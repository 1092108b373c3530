"""Runner of scripts: their turns are dry runs, one after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from flue_cli.agents.api import History, Message
from flue_cli.agents.discovery import Agent
from flue_cli.errors import BadScript, FlueError, TurnCancelled
from flue_cli.jsondata.strict import dumps, loads
from flue_cli.script_tests.checks import FailedCheck, StepOutcome, check_step
from flue_cli.script_tests.model import FIRST_NOW, FIRST_SEED, Script, Step
from flue_cli.stores.records import TurnResult
from flue_cli.times import monotonic
from flue_cli.turns.dry_run import AgentRun, DryRunResult
from flue_cli.turns.result import TurnInput

_SECOND = 1_000_000


class PlayedTurn(NamedTuple):
    """A turn of a script with its outcome, its failures, and its duration in seconds."""

    step: Step
    turn: int
    outcome: StepOutcome
    failures: tuple[FailedCheck, ...]
    seconds: float


class ScriptResult(NamedTuple):
    """A script and the turns that were played; `error` is set if it, or its agent, could not be loaded."""

    script: Script
    turns: tuple[PlayedTurn, ...] = ()
    error: FlueError | None = None

    @property
    def passed(self) -> bool:
        """True if script and agent were loaded and every expectation was met."""
        return self.error is None and not any(turn.failures for turn in self.turns)

    @property
    def problem(self) -> str:
        """The sentence of `error`, without the place in the script; "" if there is no error."""
        if isinstance(self.error, BadScript):
            return self.error.problem
        return self.error.sentence() if self.error else ""


def broken_script(error: BadScript) -> ScriptResult:
    """Return the result of a script that cannot be read or understood."""
    return ScriptResult(Script(error.path, "", "", error.line, "", FIRST_NOW, FIRST_SEED, ()), error=error)


def play_script(run: AgentRun[PlayedTurn], agent: Agent, script: Script) -> Iterator[PlayedTurn]:
    """Play `script` and yield each turn as it ends. A failed turn changes nothing, and the next one follows.

    Raises TurnCancelled when the user cancels it.
    """
    session = _ScriptSession(script)
    for step in script.steps:
        session.advance(step)
        if step.prompt is None:
            session.data = step.edit
        else:
            yield _play_turn(run, agent, session, step, step.prompt)


class _ScriptSession:
    """State of a script's session between its turns."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self.data = "{}"
        self.turn = 0
        self.now = script.now
        self._messages: list[str] = []  # as JSON, since an agent may change the messages that it reads
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
        """Add a completed turn."""
        self.data = result.data
        messages = (Message("user", prompt), *result.messages, Message("assistant", result.reply))
        self._messages += [dumps(message.as_dict()) for message in messages]

    def _read_messages(self, start: int, stop: int) -> list[Message]:
        return [Message.from_dict(loads(text)) for text in self._messages[start:stop]]


def _play_turn(
    run: AgentRun[PlayedTurn], agent: Agent, session: _ScriptSession, step: Step, prompt: str
) -> PlayedTurn:
    began_at = monotonic()

    def played_turn(dry_run: DryRunResult) -> PlayedTurn:
        result = dry_run.result
        outcome = StepOutcome(
            reply=result.reply if result else None,
            data=loads(result.data if result else session.data),
            error=dry_run.error,
            missing_calls=dry_run.missing_calls,
            data_before=loads(session.data),
        )
        failures = check_step(step, outcome)
        return PlayedTurn(step, session.turn, outcome, failures, monotonic() - began_at)

    with run.make_cancellation() as cancellation:
        dry_run = run.run(agent, session.turn_input(step, prompt), cancellation, played_turn)
    if isinstance(cancellation.reason, TurnCancelled):
        raise cancellation.reason
    turn = played_turn(dry_run)
    if dry_run.result:
        session.add_turn(prompt, dry_run.result)
    return turn
