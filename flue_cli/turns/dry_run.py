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
from flue_cli.turns.call_agent import OnPiece, do_nothing, run_agent
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.result import TurnInput, history_before, new_seed, parse_data
from flue_cli.turns.watchdog import Watchdog

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store

Outcome = TypeVar("Outcome")


class DryRunResult(NamedTuple):
    """Result of a dry run: what a stored turn would have held, or the error.

    `missing_calls` names the calls of the agent that have no recorded answer.
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


class DryRunner:
    """Runs agents without a store, in the calling thread. It keeps a watchdog thread: close it."""

    def __init__(self) -> None:
        self._watchdog = Watchdog(None)

    def run(
        self,
        agent: Agent,
        turn_input: TurnInput,
        *,
        cancellation: Cancellation,
        timeout: float | None = None,
        on_piece: OnPiece = do_nothing,
        on_stuck: Callable[[DryRunResult], None] = do_nothing,
    ) -> DryRunResult:
        """Have `agent` answer `turn_input`, within `timeout` seconds.

        An error of the agent is the result's `error`. `on_piece` gets each piece of a streamed reply; a
        FlueError that it raises is the result's `error`, too. `on_stuck` is called from another thread
        when a cancelled agent does not stop. Raises StoreDamaged if the data or the calls of `turn_input`
        are invalid.
        """
        session = turn_input.make_session()
        replayer = _make_replayer(turn_input)
        missing = replayer.missing_calls if replayer else ()
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
                replayer or CallRecorder(),
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

    `make_cancellation` gives each turn its cancellation; `timeout` limits the agent in each turn, in
    seconds. `on_stuck` gets the turn, from another thread, when a cancelled agent does not stop.
    """

    dry_runner: DryRunner
    make_cancellation: Callable[[], AbstractContextManager[Cancellation]]
    timeout: float | None = None
    on_stuck: Callable[[Outcome], Any] = do_nothing

    def run(
        self,
        agent: Agent,
        turn_input: TurnInput,
        cancellation: Cancellation,
        make_outcome: Callable[[DryRunResult], Outcome],
    ) -> DryRunResult:
        """Have `agent` answer `turn_input`; `make_outcome` converts a result for `on_stuck`."""
        return self.dry_runner.run(
            agent,
            turn_input,
            cancellation=cancellation,
            timeout=self.timeout,
            on_stuck=lambda result: self.on_stuck(make_outcome(result)),
        )


def next_turn_input(store: Store, head: SessionHead, prompt: str) -> TurnInput:
    """Return the input of the turn after `head` for `prompt`, with the present time and a new seed."""
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
            f"the recorded calls of turn {turn_input.turn} of session '{turn_input.session}'"
            f" are invalid: {error}"
        ) from error
