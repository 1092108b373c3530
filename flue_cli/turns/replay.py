"""Replay: every recorded prompt of a session is given to the current agent.

Each turn starts from its recorded data, history, clock and seed, so that one difference does not cascade. In
sequence, it starts from the results of the replayed turns before it. Calls are answered from the recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any, Generic, NamedTuple, TypeVar

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
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.stores.rules import messages_of_entry
from flue_cli.times import monotonic
from flue_cli.turns.dry_run import AgentRun, DryRunResult
from flue_cli.turns.result import TurnInput, failure_of, history_before, parse_data, recorded_facts

Record = TypeVar("Record")


class TurnOutcome(NamedTuple):
    """Outcome of a turn: reply, messages in between, data after it (JSON text); or the error."""

    reply: str | None
    messages: Sequence[Message]
    data: str
    error: FlueError | None = None


class TurnComparison(NamedTuple):
    """Comparison of a recorded turn with its replay.

    `differing_parts` has some of "reply", "messages", "data" and "calls", or "error" alone. `data` lists the
    changes from the recorded data to the data now. `missing_calls` names calls that were not recorded.
    """

    turn: int
    prompt: str
    recorded: TurnOutcome
    now: TurnOutcome
    differing_parts: Sequence[str] = ()
    data: Sequence[Change] = ()
    missing_calls: Sequence[str] = ()


class SkippedTurn(NamedTuple):
    """A prompt without a recorded answer, which is not replayed."""

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
    """Replay each turn from the results of those before it; `add_entry` gets every entry of the new branch.

    Edits are applied again; a prompt that was not answered stays so, under its number. A turn that fails
    now, or lacks a call, is stored as failed. Raises Conflict if an edit does not fit, and as `replay_turns`.
    """
    recorded, data = "{}", "{}"
    messages: list[Message] = []
    for entry in store.entries(head, 1, head.turn, with_data=True):
        if _is_completed_prompt(entry):
            comparison, new_entry = _replay_turn(
                agent, run, _recorded_input(head, entry, data, _copied_history(messages)), entry
            )
            yield comparison
        elif entry.kind == "prompt":
            new_entry = entry._replace(data=data)
            yield SkippedTurn(entry.turn, entry.outcome)
        else:
            new_entry = entry._replace(data=_reapply_edit(head, entry, recorded, data))
        add_entry(new_entry)
        messages += messages_of_entry(new_entry)
        recorded, data = entry.data, new_entry.data


def _is_completed_prompt(entry: Entry) -> bool:
    return entry.kind == "prompt" and entry.outcome == "completed"


def _copied_history(messages: Sequence[Message]) -> History:
    # Copies, since an agent may change the messages that it reads.
    return History(len(messages), lambda start, stop: deepcopy(messages[start:stop]))


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
    agent: Agent, run: AgentRun[TurnComparison], turn_input: TurnInput, entry: Entry
) -> tuple[TurnComparison, Entry]:
    """Replay one turn; returns the comparison and the entry for the new branch."""
    began_at = monotonic()
    with run.make_cancellation() as cancellation:
        replayed = run.run(agent, turn_input, cancellation, lambda result: _compare_turn(entry, result))
    error = replayed.error or cancellation.reason  # a signal may have come after the agent ended
    if isinstance(error, TurnCancelled | StoreError):
        raise error
    microseconds = int((monotonic() - began_at) * 1_000_000)
    new_entry = _replayed_entry(agent, entry, replayed)._replace(finished_at=entry.started_at + microseconds)
    return _compare_turn(entry, replayed), new_entry


def _compare_turn(entry: Entry, replayed: DryRunResult) -> TurnComparison:
    recorded = TurnOutcome(entry.reply, entry.messages, entry.data)
    data_before, result = replayed.turn_input.data, replayed.result
    if result is None:
        now = TurnOutcome(None, (), data_before, replayed.error)
        return TurnComparison(entry.turn, entry.prompt, recorded, now, ("error",), (), replayed.missing_calls)
    now = TurnOutcome(result.reply, result.messages, result.data)
    data_changes: Sequence[Change] = ()
    if recorded.data != now.data:
        session = replayed.turn_input.session
        data_changes = find_changes(parse_data(recorded.data, session), parse_data(now.data, session))
    differences = {
        "reply": recorded.reply != now.reply,
        "messages": find_changes(_messages_as_dicts(recorded), _messages_as_dicts(now)),
        "data": data_changes,
        "calls": replayed.missing_calls,
    }
    differing_parts = tuple(part for part, differs in differences.items() if differs)
    return TurnComparison(
        entry.turn, entry.prompt, recorded, now, differing_parts, data_changes, replayed.missing_calls
    )


def _messages_as_dicts(outcome: TurnOutcome) -> list[dict[str, Any]]:
    return [message.as_dict() for message in outcome.messages]


def _replayed_entry(agent: Agent, entry: Entry, replayed: DryRunResult) -> Entry:
    """Make the entry of the new branch from a replayed turn."""
    error, result = replayed.error, replayed.result
    if replayed.missing_calls:  # also if the agent caught that error
        error = AgentError(
            f"the call '{replayed.missing_calls[0]}' was not recorded, and is not made", type="not_recorded"
        )
    if result and not error:
        return entry._replace(
            reply=result.reply, messages=tuple(result.messages), meta=result.meta, data=result.data
        )
    failure = failure_of(error) if error else None
    turn_input = replayed.turn_input
    meta = recorded_facts(agent, turn_input.seed)
    return entry._replace(
        outcome="failed", reply=None, messages=(), error=failure, meta=meta, data=turn_input.data
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
            f"the edit of turn {entry.turn} does not fit the replayed data: {error}",
            hint=f"leave it out: --at {entry.turn - 1}",
        ) from error


class RecordBuffer(Generic[Record]):
    """Buffer of records in a private temporary file, read in the order of writing."""

    # A file, since the records of a long session may not fit into memory.

    def __init__(self) -> None:
        import tempfile

        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`

    def add(self, record: Record) -> None:
        """Append a record; OutputFailed if there is no room."""
        import pickle

        try:
            pickle.dump(record, self._file)
        except OSError as error:
            raise OutputFailed(f"the replayed turns cannot be buffered: {error.strerror}") from error

    def __iter__(self) -> Iterator[Record]:
        import pickle

        self._file.seek(0)
        while True:
            try:
                yield pickle.load(self._file)  # noqa: S301 - our own file
            except EOFError:
                return

    def close(self) -> None:
        """Delete the file."""
        self._file.close()
