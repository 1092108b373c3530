"""Dry runs: turns that store nothing, for `/try`, `flue replay` and `flue test`.

The agent runs exactly as in a stored turn, but from a given input: data, history, clock, seed and
perhaps recorded calls.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, TypeVar

from flue_cli import times
from flue_cli.agents.call_recording import CallRecorder, CallReplayer
from flue_cli.agents.discovery import Agent
from flue_cli.errors import FlueError, StoreDamaged
from flue_cli.jsondata.diff import Change, find_changes
from flue_cli.stores.records import SessionHead, TurnResult
from flue_cli.turns.call_agent import OnPiece, run_agent
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.result import TurnInput, history_before, new_seed, parse_data
from flue_cli.turns.watchdog import Watchdog

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store

Outcome = TypeVar("Outcome")


class DryRunResult(NamedTuple):
    """Result of a dry run: what a stored turn would have held, or the error.

    `missing` names the calls that the agent wanted to make and that have no recorded answer.
    """

    turn_input: TurnInput
    result: TurnResult | None
    error: FlueError | None = None
    missing_calls: Sequence[str] = ()

    def data_changes(self) -> list[Change]:
        """Compare the data after the turn with the data before it; no changes if it failed."""
        if self.result is None or self.result.data == self.turn_input.data:
            return []
        before, after = (
            parse_data(text, self.turn_input.session) for text in (self.turn_input.data, self.result.data)
        )
        return find_changes(before, after)


def _ignore(*_: object) -> None:
    """Default of a callback."""


class DryRunner:
    """Runs agents without a store, in whichever thread calls. It keeps a watchdog thread: close it."""

    def __init__(self) -> None:
        self._watchdog = Watchdog(None)

    def run(
        self,
        agent: Agent,
        turn_input: TurnInput,
        *,
        cancellation: Cancellation,
        timeout: float | None = None,
        on_piece: OnPiece = _ignore,
        on_stuck: Callable[[DryRunResult], None] = _ignore,
    ) -> DryRunResult:
        """Have `agent` answer `start`, within `timeout` seconds.

        Whatever the agent does wrong is the result's `error`.
        `on_piece` gets each piece of a streamed reply, and what it raises is the error. `stuck` is called,
        from another thread, when a cancelled agent does not stop. Raises StoreDamaged if the data or the
        calls of `start` are invalid.
        """
        session = turn_input.make_session()
        player = _make_replayer(turn_input)
        missing = player.missing_calls if player else ()
        watch = self._watchdog.watch(
            None,
            cancellation,
            timeout=timeout,
            give_up=lambda why: on_stuck(DryRunResult(turn_input, None, why)),
        )
        try:
            result = run_agent(
                agent,
                turn_input,
                session,
                player or CallRecorder(),
                cancellation=cancellation,
                watch=watch,
                on_piece=on_piece,
            )
        except FlueError as error:
            return DryRunResult(turn_input, None, error, missing)
        return DryRunResult(turn_input, result, None, missing)

    def close(self) -> None:
        """End the watchdog thread."""
        self._watchdog.close()


class AgentRun(NamedTuple, Generic[Outcome]):
    """The setting of a series of dry runs.

    `cancelling` gives every turn its cancellation; `timeout` bounds the agent in each turn, in seconds.
    `stuck` gets the turn, from another thread, when a cancelled agent does not stop.
    """

    dry_runner: DryRunner
    make_cancellation: Callable[[], AbstractContextManager[Cancellation]]
    timeout: float | None = None
    on_stuck: Callable[[Outcome], Any] = _ignore

    def run(
        self,
        agent: Agent,
        turn_input: TurnInput,
        cancellation: Cancellation,
        make_outcome: Callable[[DryRunResult], Outcome],
    ) -> DryRunResult:
        """Have `agent` answer `start`; `make_outcome` makes of the result what `stuck` is given."""
        return self.dry_runner.run(
            agent,
            turn_input,
            cancellation=cancellation,
            timeout=self.timeout,
            on_stuck=lambda result: self.on_stuck(make_outcome(result)),
        )


def next_turn_input(store: Store, head: SessionHead, prompt: str) -> TurnInput:
    """Return the input that `prompt` would have as the turn after `head`, now and with a new seed."""
    return TurnInput(
        session=head.name,
        prompt=prompt,
        data=store.data_at(head, head.turn),
        history=history_before(store, head),
        turn=head.turn + 1,
        started_at=times.now(),
        seed=new_seed(),
    )


def _make_replayer(turn_input: TurnInput) -> CallReplayer | None:
    try:
        return CallReplayer(turn_input.calls) if turn_input.calls is not None else None
    except ValueError as error:
        raise StoreDamaged(
            f"the recorded calls of turn {turn_input.turn} of session '{turn_input.session}' are none: {error}"
        ) from error
