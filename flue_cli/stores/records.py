"""The records that pass through a store.

Times are microseconds since the epoch, UTC. Data travels as JSON text, byte for byte.
"""

# No postponed annotations: they double the time to define a NamedTuple, and every start imports these.
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flue_cli.agents.api import Message

LEASE_SECONDS = 15.0
"""Duration of a lease that is not renewed, in seconds. A running turn renews it after a third of that."""

PREVIEW_CHARACTERS = 200
"""Length of the last prompt in a list of sessions, in characters."""

ABSENT = 0
"""The uid of a session that does not exist yet."""


PARTIAL_REPLY = "partial_reply"
"""The key in a turn's meta of the pieces of a reply that came before the turn failed or was cancelled."""


class SessionHead(NamedTuple):
    """A session as of its last settled turn, without its history. `turn` 0 is the empty start.

    `branch` and `turn` name the head entry; `messages` is the length of the history up to it.
    """

    uid: int
    agent: str
    name: str
    version: int = 0
    branch: int = 0
    turn: int = 0
    messages: int = 0
    created_at: int = 0
    updated_at: int = 0


class Failure(NamedTuple):
    """The reason why a turn did not complete: `type` as in JSON output, `message` for people."""

    type: str
    message: str


class Entry(NamedTuple):
    """One entry of a timeline.

    `kind` is "prompt" or "edit"; `outcome` is "running", "completed", "failed", "cancelled" or "interrupted";
    `messages` came between prompt and reply. `data` is the JSON text of the data after this entry if it was
    asked for, else "". `label` is a name that the person gave to the entry, "" for none.
    """

    turn: int
    kind: str
    outcome: str
    key: str | None
    prompt: str
    reply: str | None
    messages: tuple[Message, ...]
    started_at: int
    finished_at: int | None
    error: Failure | None
    meta: Mapping[str, Any]
    data: str = ""
    label: str = ""


class TurnResult(NamedTuple):
    """The result of a completed turn. Each field is the field of that name in the turn's entry."""

    reply: str
    messages: tuple[Message, ...]
    data: str
    meta: Mapping[str, Any]


class TurnFailure(NamedTuple):
    """The end of a turn that did not complete. Each field is the field of that name in the turn's entry."""

    outcome: str
    error: Failure
    meta: Mapping[str, Any]


class LeaseHolder(NamedTuple):
    """The process that runs a turn on a session: `pid` and `host` where known, `since` its beginning."""

    pid: int
    host: str
    since: int


class Lease(NamedTuple):
    """The right to answer one prompt, and the values that its commit needs.

    `fence` grows with every lease of the session; `entry`, `branch` and `base` are for the store alone.
    `data` is the JSON text of the data before the turn.
    """

    head: SessionHead
    fence: int
    entry: int
    turn: int
    started_at: int
    prompt: str
    key: str | None
    data: str
    branch: int = 0
    base: int = 0


class BegunTurn(NamedTuple):
    """A turn that has begun: its prompt is recorded as running.

    `interrupted` is an earlier prompt that a crash left behind, which is settled now. `undone_fork` is the
    name of the undone fork that this prompt made, "" if no turns were undone.
    """

    lease: Lease
    interrupted: Entry | None = None
    undone_fork: str = ""


class ReplayedTurn(NamedTuple):
    """A turn that was completed before under the same key, with its data; nothing runs."""

    head: SessionHead
    entry: Entry


class TurnRequest(NamedTuple):
    """A prompt for a session.

    `uid` is 0, or that of the session that the caller saw: any other session of that name is a conflict.
    `expect` is "any", "new" (the session must not exist) or "existing" (it must). `wait` is the longest wait
    for earlier turns, in seconds. `agent_origin` is the place that the agent comes from; "" is not checked.
    A session that has only had agents of other origins is a conflict; `adopts` adds this origin instead.
    """

    agent: str
    name: str
    prompt: str
    key: str | None = None
    uid: int = ABSENT
    expect: str = "any"
    wait: float = 30.0
    agent_origin: str = ""
    adopts: bool = False


Pause = Callable[[float, LeaseHolder], object]
"""Called by a store between two attempts: sleeps at most that many seconds; an exception ends the wait."""


class ForkOrigin(NamedTuple):
    """The origin of a fork: `turn` of a session, by uid and name, which may be deleted."""

    uid: int
    name: str
    turn: int
    is_undone_fork: bool = False


class SessionSummary(NamedTuple):
    """A session in a list; `preview` is the beginning of its last prompt.

    `agent_origins` are the origins of the agents that have answered in it (see `TurnRequest`). `use_number`
    is higher than that of every session that was last used before.
    """

    uid: int
    agent: str
    name: str
    turns: int
    created_at: int
    updated_at: int
    preview: str
    origin: ForkOrigin | None = None
    agent_origins: tuple[str, ...] = ()
    use_number: int = 0


class SearchHit(NamedTuple):
    """A turn that a search found."""

    agent: str
    name: str
    uid: int
    turn: int
    started_at: int
    prompt: str
    reply: str | None


class HealthFinding(NamedTuple):
    """One result of a check of the store: `level` is "ok", "note" or "problem"."""

    level: str
    message: str
    advice: str = ""
