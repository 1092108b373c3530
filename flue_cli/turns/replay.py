"""Replay: every recorded prompt of a session against the current agent.

Each turn starts from its recorded data, history, clock and seed, so that one change does not cascade; or,
run through, from what the turns before it gave this time. Calls are answered from the recording.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Generic, NamedTuple, TypeVar

from flue_cli.agents.api import History, Message
from flue_cli.agents.discovery import Agent
from flue_cli.errors import (
    AgentError,
    Conflict,
    DataError,
    FlueError,
    OutputFailed,
    StoreError,
    TurnCancelled,
)
from flue_cli.jsondata.diff import Change, apply_changes, find_changes
from flue_cli.jsondata.strict import dumps
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, Failure, SessionHead
from flue_cli.stores.rules import messages_of_entry
from flue_cli.turns.dry_run import AgentRun, DryRunResult
from flue_cli.turns.result import TurnInput, history_before, parse_data

Record = TypeVar("Record")


class TurnOutcome(NamedTuple):
    """Outcome of a turn: reply, the messages before it, the data (JSON text) after it; or the error."""

    reply: str | None
    messages: Sequence[Message]
    data: str
    error: FlueError | None = None


class TurnComparison(NamedTuple):
    """Comparison of a recorded turn with its replay.

    `what` differs: some of "reply", "messages", "data", "calls", or "error" alone. `data` is what makes
    the data now of those recorded; `missing` names calls that were not recorded.
    """

    turn: int
    prompt: str
    recorded: TurnOutcome
    now: TurnOutcome
    differing_parts: Sequence[str] = ()
    data: Sequence[Change] = ()
    missing_calls: Sequence[str] = ()


class SkippedTurn(NamedTuple):
    """A prompt that has no recorded answer and is not replayed."""

    turn: int
    outcome: str


def replay_turns(
    store: Store, head: SessionHead, agent: Agent, run: AgentRun[TurnComparison]
) -> Iterator[TurnComparison | SkippedTurn]:
    """Replay every turn up to `head`, each from its recorded input.

    Raises TurnCancelled, and StoreError when the recording cannot be read.
    """
    data = "{}"
    for entry in store.entries(head, 1, head.turn, with_data=True):
        if _is_completed_prompt(entry):
            history = history_before(store, store.head_at(head, entry.turn - 1))
            yield _replay_turn(agent, run, _recorded_input(head, entry, data, history), entry)[0]
        elif entry.kind == "prompt":
            yield SkippedTurn(entry.turn, entry.outcome)
        data = entry.data


def replay_in_sequence(
    store: Store,
    head: SessionHead,
    agent: Agent,
    run: AgentRun[TurnComparison],
    add_entry: Callable[[Entry], None],
) -> Iterator[TurnComparison | SkippedTurn]:
    """Replay each turn from the results of those before it; `keep` gets every entry of the new branch.

    Edits are made again, what was not answered stays so under its number. A turn that fails now, or lacks
    a call, is kept as failed. Raises Conflict where an edit does not fit; else as `replay_turns`.
    """
    recorded, data = "{}", "{}"
    said: list[Message] = []
    for entry in store.entries(head, 1, head.turn, with_data=True):
        if _is_completed_prompt(entry):
            compared, made = _replay_turn(
                agent, run, _recorded_input(head, entry, data, _copied_history(said)), entry
            )
            yield compared
        elif entry.kind == "prompt":
            made = entry._replace(data=data)
            yield SkippedTurn(entry.turn, entry.outcome)
        else:
            made = entry._replace(data=_reapply_edit(head, entry, recorded, data))
        add_entry(made)
        said += messages_of_entry(made)
        recorded, data = entry.data, made.data


def _is_completed_prompt(entry: Entry) -> bool:
    return entry.kind == "prompt" and entry.outcome == "completed"


def _copied_history(said: Sequence[Message]) -> History:
    # Whoever reads may change what it read.
    return History(len(said), lambda start, stop: deepcopy(said[start:stop]))


def _recorded_input(head: SessionHead, entry: Entry, data: str, history: History) -> TurnInput:
    seed, calls = entry.meta.get("seed"), entry.meta.get("calls", [])
    return TurnInput(
        session=head.name,
        prompt=entry.prompt,
        data=data,
        history=history,
        turn=entry.turn,
        started_at=entry.started_at,
        seed=seed if isinstance(seed, int) else 0,  # a turn from elsewhere has none
        calls=calls if isinstance(calls, list) else [calls],
    )


def _replay_turn(
    agent: Agent, run: AgentRun[TurnComparison], scene: TurnInput, entry: Entry
) -> tuple[TurnComparison, Entry]:
    """Replay one turn; returns the comparison, and the entry that it would make."""
    began = time.monotonic()
    with run.make_cancellation() as cancellation:
        done = run.run(agent, scene, cancellation, lambda result: _compare_turn(entry, result))
    why = done.error or cancellation.reason  # a signal may have come when the agent was done
    if isinstance(why, TurnCancelled | StoreError):
        raise why
    microseconds = int((time.monotonic() - began) * 1_000_000)
    made = _replayed_entry(agent, entry, done)._replace(finished_at=entry.started_at + microseconds)
    return _compare_turn(entry, done), made


def _compare_turn(entry: Entry, result: DryRunResult) -> TurnComparison:
    start = result.turn_input
    recorded = TurnOutcome(entry.reply, entry.messages, entry.data)
    if not result.result:
        now = TurnOutcome(None, (), start.data, result.error)
        return TurnComparison(entry.turn, entry.prompt, recorded, now, ("error",), (), result.missing_calls)
    now = TurnOutcome(result.result.reply, result.result.messages, result.result.data)
    both = (parse_data(side.data, start.session) for side in (recorded, now))
    made = find_changes(*both) if recorded.data != now.data else []
    differs = {
        "reply": recorded.reply != now.reply,
        "messages": find_changes(*([one.as_dict() for one in side.messages] for side in (recorded, now))),
        "data": made,
        "calls": result.missing_calls,
    }
    what = tuple(part for part, found in differs.items() if found)
    return TurnComparison(entry.turn, entry.prompt, recorded, now, what, made, result.missing_calls)


def _replayed_entry(agent: Agent, entry: Entry, result: DryRunResult) -> Entry:
    """Make the entry of the new branch from a replayed turn."""
    error = result.error
    if result.missing_calls:  # also where the agent swallowed it
        error = AgentError(
            f"the call '{result.missing_calls[0]}' was not recorded, and is not made", type="not_recorded"
        )
    if result.result and not error:
        kept = result.result
        return entry._replace(reply=kept.reply, messages=tuple(kept.messages), meta=kept.meta, data=kept.data)
    failure = (
        Failure(error.type, error.message.encode("utf-8", "backslashreplace").decode()) if error else None
    )
    meta = {"source": agent.fingerprint, "seed": result.turn_input.seed}
    return entry._replace(
        outcome="failed", reply=None, messages=(), error=failure, meta=meta, data=result.turn_input.data
    )


def _reapply_edit(head: SessionHead, entry: Entry, recorded: str, data: str) -> str:
    """Apply to `data` the changes that an edit made to the recorded data."""
    if recorded == data:
        return entry.data
    before, after, now = (parse_data(text, head.name) for text in (recorded, entry.data, data))
    try:
        return dumps(apply_changes(now, find_changes(before, after)))
    except (Conflict, DataError) as error:
        raise Conflict(
            f"the edit of turn {entry.turn} does not fit what the turns before it gave now: {error}",
            hint=f"leave it out: --at {entry.turn - 1}",
        ) from error


class RecordBuffer(Generic[Record]):
    """Buffer of records in a private temporary file, so that memory is no limit; read in order of writing."""

    def __init__(self) -> None:
        import tempfile

        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`

    def add(self, record: Record) -> None:
        """Append a record; OutputFailed if there is no room."""
        import pickle

        try:
            pickle.dump(record, self._file)
        except OSError as error:
            raise OutputFailed(f"no room for what is to be kept: {error.strerror}") from error

    def __iter__(self) -> Iterator[Record]:
        import pickle

        self._file.seek(0)
        while True:
            try:
                yield pickle.load(self._file)  # noqa: S301 - what we wrote ourselves
            except EOFError:
                return

    def close(self) -> None:
        """Delete the file."""
        self._file.close()
