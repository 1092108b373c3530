"""Runner of turns: the function that CLI, REPL, pipe and HTTP call.

A turn has three steps. `begin` stores the prompt and takes the session; the agent runs, with no transaction
open; `commit` makes reply, history and data visible together, or `abandon` stores why there is no reply.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from flue_cli.agents.call_recording import CallRecorder
from flue_cli.agents.discovery import Agent
from flue_cli.errors import (
    FlueError,
    LeaseLost,
    OutputClosed,
    StoreError,
    TurnCancelled,
    UsageError,
)
from flue_cli.exception_text import describe_exception
from flue_cli.log import Log
from flue_cli.stores.records import (
    BegunTurn,
    LeaseHolder,
    Pause,
    ReplayedTurn,
    TurnFailure,
    TurnRequest,
    TurnResult,
)
from flue_cli.times import monotonic
from flue_cli.turns.call_agent import OnPiece, do_nothing, run_agent
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.result import (
    TurnInput,
    failure_of,
    history_before,
    new_seed,
    partial_reply_meta,
    recorded_facts,
)
from flue_cli.turns.watchdog import Watchdog

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store


class Turn(NamedTuple):
    """A prompt and its outcome.

    `outcome` is "completed", "failed", "cancelled" or "interrupted"; for all except the first, `error` is the
    reason and `data` (JSON text) is the data before the turn. `replayed` is True if an earlier turn with the
    same key was completed, so that the agent did not run.
    """

    agent: str
    session: str
    uid: int
    turn: int
    outcome: str
    prompt: str
    reply: str | None
    data: str
    version: int
    key: str | None
    replayed: bool = False
    error: FlueError | None = None


class Listener(NamedTuple):
    """Callbacks that follow a turn. A FlueError raised by one of them ends the turn.

    `on_wait` is called repeatedly while the turn waits in the queue, with the turn that holds the session.
    `on_begin` is called once the prompt is stored; it also gets the earlier prompt that a crash left
    unanswered. `on_piece` gets each piece of a streamed reply. `on_stuck` gets the settled turn, from another
    thread, when a cancelled agent does not stop.
    """

    on_wait: Callable[[LeaseHolder], None] = do_nothing
    on_begin: Callable[[BegunTurn], None] = do_nothing
    on_piece: OnPiece = do_nothing
    on_stuck: Callable[[Turn], None] = do_nothing


class Runner:
    """Runs turns on `store` in the calling thread, and writes each into `log`.

    It keeps a watchdog thread: close it after the last turn.
    """

    def __init__(self, store: Store, log: Log | None = None) -> None:
        self.store = store
        self._log = log
        self._watchdog = Watchdog(store)

    def run(
        self,
        agent: Agent,
        request: TurnRequest,
        listener: Listener = Listener(),  # noqa: B008 - immutable
        *,
        cancellation: Cancellation,
        timeout: float | None = None,
    ) -> Turn:
        """Answer one prompt in the calling thread; `timeout` limits the agent, in seconds.

        An error of the agent is the turn's `error`. Raises only if the turn does not begin: UsageError,
        SessionBusy, SessionExists, SessionNotFound, SessionChanged, KeyConflict, TurnCancelled while
        waiting, StoreError.
        """
        _refuse_lone_surrogates(request)
        request = request._replace(agent_origin=agent.origin)
        begun = self.store.begin(request, cancellable_pause(cancellation, listener.on_wait))
        if isinstance(begun, ReplayedTurn):
            return _make_replayed_turn(begun)
        began_at = monotonic()
        lease = begun.lease
        turn_input = TurnInput(
            session=lease.head.name,
            prompt=request.prompt,
            data=lease.data,
            history=history_before(self.store, lease.head),
            turn=lease.turn,
            started_at=lease.started_at,
            seed=new_seed(),
        )
        meta = recorded_facts(agent, turn_input.seed)

        pieces: list[str] = []

        def on_piece(piece: str) -> None:
            pieces.append(piece)
            listener.on_piece(piece)

        ended: list[Turn] = []  # the watchdog may end the turn before the agent returns

        def end(turn: Turn) -> Turn:
            if not ended:  # one log line for each turn
                self._log_turn(turn, began_at)
            ended.append(turn)
            return turn

        def abandon(error: FlueError) -> Turn:
            return end(_abandon_turn(self.store, begun, error, meta | partial_reply_meta(pieces)))

        try:
            listener.on_begin(begun)
            result = run_agent(
                agent,
                turn_input,
                turn_input.make_session(),
                CallRecorder(),
                cancellation=cancellation,
                watch=self._watchdog.watch(
                    lease,
                    cancellation,
                    timeout=timeout,
                    give_up=lambda reason: listener.on_stuck(abandon(reason)),
                ),
                on_piece=on_piece,
            )
        except FlueError as error:
            return abandon(error)
        except BaseException as error:
            # A bug of ours must not leave the session held.
            abandon(FlueError(describe_exception(error)))
            raise
        return end(_commit_turn(self.store, begun, result))

    def close(self) -> None:
        """End the watchdog thread; the store stays open."""
        self._watchdog.close()

    def _log_turn(self, turn: Turn, began_at: float) -> None:
        if self._log is None:
            return
        self._log.write(
            "turn",
            agent=turn.agent,
            session=turn.session,
            turn=turn.turn,
            outcome=turn.outcome,
            error=turn.error.type if turn.error else None,
            milliseconds=round((monotonic() - began_at) * 1000),
        )


def _refuse_lone_surrogates(request: TurnRequest) -> None:
    for label, text in (("prompt", request.prompt), ("turn key", request.key or "")):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"the {label} is not UTF-8") from None


def cancellable_pause(cancellation: Cancellation, on_wait: Callable[[LeaseHolder], None]) -> Pause:
    """Make the pause of a turn in the wait queue: it reports the holder, and raises once cancelled."""

    def pause(seconds: float, holder: LeaseHolder) -> None:
        cancellation.check()
        on_wait(holder)
        time.sleep(seconds)
        cancellation.check()

    return pause


def _commit_turn(store: Store, begun: BegunTurn, result: TurnResult) -> Turn:
    lease = begun.lease
    try:
        head = store.commit(lease, result)
    except (LeaseLost, StoreError) as error:
        # The agent's work is done and cannot be stored: the reply is still worth showing.
        return _make_turn(begun, "interrupted", lease.head.version, reply=result.reply, error=error)
    return _make_turn(begun, "completed", head.version, reply=result.reply, data=result.data)


def _abandon_turn(store: Store, begun: BegunTurn, error: FlueError, meta: Mapping[str, Any]) -> Turn:
    """Settle the turn as failed or cancelled because of `error`; data and history stay as they were."""
    outcome = "cancelled" if isinstance(error, TurnCancelled | OutputClosed) else "failed"
    try:
        failure = TurnFailure(outcome, failure_of(error), meta)
        version = store.abandon(begun.lease, failure).version
    except LeaseLost:
        version = begun.lease.head.version  # settled already, by the watchdog or by another process
    except StoreError as store_error:
        return _make_turn(begun, "interrupted", begun.lease.head.version, error=store_error)
    return _make_turn(begun, outcome, version, error=error)


def _make_turn(
    begun: BegunTurn,
    outcome: str,
    version: int,
    *,
    reply: str | None = None,
    data: str | None = None,
    error: FlueError | None = None,
) -> Turn:
    lease = begun.lease
    return Turn(
        agent=lease.head.agent,
        session=lease.head.name,
        uid=lease.head.uid,
        turn=lease.turn,
        outcome=outcome,
        prompt=lease.prompt,
        reply=reply,
        data=lease.data if data is None else data,
        version=version,
        key=lease.key,
        error=error,
    )


def _make_replayed_turn(replayed: ReplayedTurn) -> Turn:
    entry, head = replayed.entry, replayed.head
    return Turn(
        agent=head.agent,
        session=head.name,
        uid=head.uid,
        turn=entry.turn,
        outcome=entry.outcome,
        prompt=entry.prompt,
        reply=entry.reply,
        data=entry.data,
        version=head.version,
        key=entry.key,
        replayed=True,
    )
