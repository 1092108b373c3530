"""What was said once, said again: every recorded prompt of a session against today's agent.

Each turn starts from its recorded data, history, clock and seed, so that one change does not cascade; or,
run through, from what the turns before it gave this time. Calls are answered from the recording.
"""

from __future__ import annotations

import pickle
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from copy import deepcopy
from typing import Generic, NamedTuple, TypeVar

from flue_cli.agents import Agent
from flue_cli.cancellation import Cancellation
from flue_cli.changes import Change, changes, reapply
from flue_cli.errors import (
    AgentError,
    Conflict,
    DataError,
    FlueError,
    OutputFailed,
    StoreError,
    TurnCancelled,
)
from flue_cli.jsondata.strict import dumps
from flue_cli.kept import data_of
from flue_cli.rehearsal import Rehearsed, Rehearser, Scene
from flue_cli.session import History, Message
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, Failure, Head
from flue_cli.stores.rules import history_of
from flue_cli.turn import history_before

Record = TypeVar("Record")


class Said(NamedTuple):
    """What a turn came to: reply, the messages before it, the data (JSON text) after it; or the error."""

    reply: str | None
    messages: Sequence[Message]
    data: str
    error: FlueError | None = None


class Compared(NamedTuple):
    """A turn as it was recorded, and as it came now.

    `what` differs: some of "reply", "messages", "data", "calls", or "error" alone. `data` is what makes
    the data now of those recorded; `missing` names calls that were not recorded.
    """

    turn: int
    prompt: str
    recorded: Said
    now: Said
    what: Sequence[str] = ()
    data: Sequence[Change] = ()
    missing: Sequence[str] = ()


class Skipped(NamedTuple):
    """A prompt that was not answered then, and is not asked again."""

    turn: int
    outcome: str


class Stage(NamedTuple):
    """Where turns are replayed, by whom, and what may end them.

    `timeout` bounds the agent in each turn, in seconds; `cancelling` gives every turn its cancellation.
    `stuck` gets the turn, from another thread, when a cancelled agent does not stop.
    """

    rehearser: Rehearser
    agent: Agent
    cancelling: Callable[[], AbstractContextManager[Cancellation]]
    timeout: float | None = None
    stuck: Callable[[Compared], None] = lambda _: None


class Spool(Generic[Record]):
    """Records that wait on disk until all of them are there, so that memory is no limit.

    A private file without a name: they come out in the order in which they went in.
    """

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`

    def add(self, record: Record) -> None:
        """Put a record at the end; OutputFailed if there is no room."""
        try:
            pickle.dump(record, self._file)
        except OSError as error:
            raise OutputFailed(f"no room for what is to be kept: {error.strerror}") from error

    def __iter__(self) -> Iterator[Record]:
        self._file.seek(0)
        while True:
            try:
                yield pickle.load(self._file)  # noqa: S301 - what we wrote ourselves
            except EOFError:
                return

    def close(self) -> None:
        """Let the file go, and what is in it."""
        self._file.close()


def replayed(store: Store, head: Head, stage: Stage) -> Iterator[Compared | Skipped]:
    """Every turn up to `head`, each from where it started when it was recorded.

    Raises TurnCancelled, and StoreError when the recording cannot be read.
    """
    data = "{}"
    for entry in store.entries(head, 1, head.turn, with_data=True):
        if _is_answered(entry):
            history = history_before(store, store.at(head, entry.turn - 1))
            yield _run(stage, _scene(head, entry, data, history), entry)[0]
        elif entry.kind == "prompt":
            yield Skipped(entry.turn, entry.outcome)
        data = entry.data


def run_through(
    store: Store, head: Head, stage: Stage, keep: Callable[[Entry], None]
) -> Iterator[Compared | Skipped]:
    """The same, but each turn from what those before it gave now; `keep` gets every entry of the new line.

    Edits are made again, what was not answered stays so under its number. A turn that fails now, or lacks
    a call, is kept as failed. Raises Conflict where an edit does not fit; else as `replayed`.
    """
    recorded, data = "{}", "{}"
    said: list[Message] = []
    for entry in store.entries(head, 1, head.turn, with_data=True):
        if _is_answered(entry):
            compared, made = _run(stage, _scene(head, entry, data, _history(said)), entry)
            yield compared
        elif entry.kind == "prompt":
            made = entry._replace(data=data)
            yield Skipped(entry.turn, entry.outcome)
        else:
            made = entry._replace(data=_edited(head, entry, recorded, data))
        keep(made)
        said += history_of(made)
        recorded, data = entry.data, made.data


def _is_answered(entry: Entry) -> bool:
    return entry.kind == "prompt" and entry.outcome == "completed"


def _history(said: Sequence[Message]) -> History:
    # Whoever reads may change what it read.
    return History(len(said), lambda start, stop: deepcopy(said[start:stop]))


def _scene(head: Head, entry: Entry, data: str, history: History) -> Scene:
    seed, calls = entry.meta.get("seed"), entry.meta.get("calls", [])
    return Scene(
        session=head.name,
        prompt=entry.prompt,
        data=data,
        history=history,
        turn=entry.turn,
        started_at=entry.started_at,
        seed=seed if isinstance(seed, int) else 0,  # a turn from elsewhere has none
        calls=calls if isinstance(calls, list) else [calls],
    )


def _run(stage: Stage, scene: Scene, entry: Entry) -> tuple[Compared, Entry]:
    """Replay one turn: how it compares, and the entry that it would make."""
    began = time.monotonic()
    with stage.cancelling() as cancellation:
        done = stage.rehearser.run(
            stage.agent,
            scene,
            cancellation=cancellation,
            timeout=stage.timeout,
            stuck=lambda error: stage.stuck(_compared(scene, entry, Rehearsed(None, error))),
        )
    why = done.error or cancellation.why  # a signal may have come when the agent was done
    if isinstance(why, TurnCancelled | StoreError):
        raise why
    microseconds = int((time.monotonic() - began) * 1_000_000)
    made = _entry(stage.agent, scene, entry, done)._replace(finished_at=entry.started_at + microseconds)
    return _compared(scene, entry, done), made


def _compared(scene: Scene, entry: Entry, done: Rehearsed) -> Compared:
    recorded = Said(entry.reply, entry.messages, entry.data)
    if not done.kept:
        now = Said(None, (), scene.data, done.error)
        return Compared(entry.turn, entry.prompt, recorded, now, ("error",), (), done.missing)
    now = Said(done.kept.reply, done.kept.messages, done.kept.data)
    both = (data_of(side.data, scene.session) for side in (recorded, now))
    made = changes(*both) if recorded.data != now.data else []
    differs = {
        "reply": recorded.reply != now.reply,
        "messages": changes(*([one.as_dict() for one in side.messages] for side in (recorded, now))),
        "data": made,
        "calls": done.missing,
    }
    what = tuple(part for part, found in differs.items() if found)
    return Compared(entry.turn, entry.prompt, recorded, now, what, made, done.missing)


def _entry(agent: Agent, scene: Scene, entry: Entry, done: Rehearsed) -> Entry:
    """The entry of a new line that a replayed turn makes."""
    error = done.error
    if done.missing:  # also where the agent swallowed it
        error = AgentError(
            f"the call '{done.missing[0]}' was not recorded, and is not made", type="not_recorded"
        )
    if done.kept and not error:
        kept = done.kept
        return entry._replace(reply=kept.reply, messages=tuple(kept.messages), meta=kept.meta, data=kept.data)
    failure = (
        Failure(error.type, error.message.encode("utf-8", "backslashreplace").decode()) if error else None
    )
    meta = {"source": agent.fingerprint, "seed": scene.seed}
    return entry._replace(
        outcome="failed", reply=None, messages=(), error=failure, meta=meta, data=scene.data
    )


def _edited(head: Head, entry: Entry, recorded: str, data: str) -> str:
    """`data` with the changes that an edit made to the recorded data."""
    if recorded == data:
        return entry.data
    before, after, now = (data_of(text, head.name) for text in (recorded, entry.data, data))
    try:
        return dumps(reapply(now, changes(before, after)))
    except (Conflict, DataError) as error:
        raise Conflict(
            f"the edit of turn {entry.turn} does not fit what the turns before it gave now: {error}",
            hint=f"leave it out: --at {entry.turn - 1}",
        ) from error
