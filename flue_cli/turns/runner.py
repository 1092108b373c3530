"""Running one turn: the function that CLI, REPL, pipe and HTTP call.

    prompt - begin - agent - commit - shown

`begin` makes the prompt durable and takes the session; the agent thinks while no transaction is
open; `commit` makes reply, history and data visible together, or nothing at all.
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
    describe_exception,
)
from flue_cli.log import Log
from flue_cli.stores.records import (
    BegunTurn,
    Failure,
    LeaseHolder,
    Pause,
    ReplayedTurn,
    TurnFailure,
    TurnRequest,
    TurnResult,
)
from flue_cli.turns.call_agent import OnPiece, run_agent
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.result import TurnInput, history_before, new_seed
from flue_cli.turns.watchdog import Watchdog

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store


class Turn(NamedTuple):
    """A prompt and its outcome.

    `outcome` is completed, failed, cancelled or interrupted; for all but the first, `error` says
    why and `data` (JSON text) is what it was before. `replayed`: the turn was completed earlier
    under the same key, and the agent did not run.
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


def _ignore(*_: object) -> None:
    """Default of a callback."""


class Listener(NamedTuple):
    """Callbacks that follow a turn. A FlueError that one raises ends the turn.

    `waiting` is called now and then while the turn waits behind another's; `begun` when the prompt is
    durable, with what was found then, perhaps an earlier prompt that a crash left unanswered; `piece`
    with each piece of a streamed reply. `stuck` gets the turn, from another thread, when a cancelled
    agent does not stop: the turn is settled by then, and what `run` returns later says no more.
    """

    on_wait: Callable[[LeaseHolder], None] = _ignore
    on_begin: Callable[[BegunTurn], None] = _ignore
    on_piece: OnPiece = _ignore
    on_stuck: Callable[[Turn], None] = _ignore


class Runner:
    """Runs turns on `store` in whichever thread calls, and writes each into `log`.

    It keeps a watchdog thread: close it when no more turns are to run.
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
        """Answer one prompt in the calling thread; `timeout` bounds the agent, in seconds.

        Whatever the agent does wrong is the turn's `error`. Raises only if the turn does not begin:
        SessionBusy, SessionExists, SessionNotFound, SessionChanged, KeyConflict,
        TurnCancelled while waiting, StoreError.
        """
        store = self.store
        _refuse_lone_surrogates(request)
        begun = store.begin(request, cancellable_pause(cancellation, listener.on_wait))
        if isinstance(begun, ReplayedTurn):
            return _make_replayed_turn(begun)
        lease = begun.lease
        began = time.monotonic()
        seed = new_seed()
        recorder = CallRecorder()
        recorded = {"source": agent.fingerprint, "seed": seed}

        def ended(turn: Turn) -> Turn:
            if self._log:
                _log_turn(self._log, turn, time.monotonic() - began)
            return turn

        def give_up(why: FlueError) -> None:
            listener.on_stuck(ended(_abandon_turn(store, begun, why, recorded)))

        try:
            listener.on_begin(begun)
            start = TurnInput(
                session=lease.head.name,
                prompt=request.prompt,
                data=lease.data,
                history=history_before(store, lease.head),
                turn=lease.turn,
                started_at=lease.started_at,
                seed=seed,
            )
            result = run_agent(
                agent,
                start,
                start.make_session(),
                recorder,
                cancellation=cancellation,
                watch=self._watchdog.watch(lease, cancellation, timeout=timeout, give_up=give_up),
                on_piece=listener.on_piece,
            )
        except FlueError as error:
            return ended(_abandon_turn(store, begun, error, recorded))
        except BaseException as error:
            # A bug of ours must not leave the session held.
            _abandon_turn(store, begun, FlueError(describe_exception(error)), recorded)
            raise
        return ended(_commit_turn(store, begun, result))

    def close(self) -> None:
        """End the watchdog thread; the store stays open."""
        self._watchdog.close()


def _log_turn(log: Log, turn: Turn, seconds: float) -> None:
    log.write(
        "turn",
        agent=turn.agent,
        session=turn.session,
        turn=turn.turn,
        outcome=turn.outcome,
        error=turn.error.type if turn.error else None,
        milliseconds=round(seconds * 1000),
    )


def _refuse_lone_surrogates(request: TurnRequest) -> None:
    for what, text in (("prompt", request.prompt), ("turn key", request.key or "")):
        try:
            text.encode()
        except UnicodeEncodeError:
            raise UsageError(f"the {what} is not UTF-8") from None


def cancellable_pause(cancellation: Cancellation, on_wait: Callable[[LeaseHolder], None]) -> Pause:
    """Make the pause for a turn that waits: it tells `waiting` the holder, and ends when cancelled."""

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
        # The agent's work is done and cannot be kept: the reply is still worth showing.
        return _make_turn(begun, "interrupted", lease.head.version, reply=result.reply, error=error)
    return _make_turn(begun, "completed", head.version, reply=result.reply, data=result.data)


def _abandon_turn(store: Store, begun: BegunTurn, error: FlueError, meta: Mapping[str, Any]) -> Turn:
    """Settle the turn as what `error` makes of it; data and history stay as they were."""
    outcome = "cancelled" if isinstance(error, TurnCancelled | OutputClosed) else "failed"
    # An exception about a file's name may hold half a character, which no store would take.
    message = error.message.encode("utf-8", "backslashreplace").decode()
    try:
        failure = TurnFailure(outcome, Failure(error.type, message), meta)
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


def _make_replayed_turn(found: ReplayedTurn) -> Turn:
    entry, head = found.entry, found.head
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
