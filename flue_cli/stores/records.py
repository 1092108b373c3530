"""The records that pass through a store.

Without postponed annotations: making a NamedTuple of strings takes twice as long, and these are made at
every start.

Times are microseconds since the epoch, UTC. Data travels as JSON text, byte for byte.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from flue_cli.agents.api import Message

LEASE_SECONDS = 15.0
"""Duration of a lease that is not renewed, in seconds; a running turn renews it every third of that."""

PREVIEW_CHARACTERS = 200
"""Length of the last prompt in a list of sessions, in characters."""

ABSENT = 0
"""The uid of a session that does not exist yet."""


class SessionHead(NamedTuple):
    """A session as of its last settled turn: never its history. `turn` 0 is the empty start.

    `line` and `turn` name the head entry, `messages` is the length of the history up to it.
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

    `outcome` is "running", "completed", "failed", "cancelled" or "interrupted"; `messages` came
    between prompt and reply. `data` is the JSON text of the data after this entry, where it was
    asked for, else "".
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
    """The right to answer one prompt, and what its commit will need.

    `fence` is higher for every later lease of the session; `entry`, `line` and `base` are the store's own.
    `data` is the JSON text that the turn starts from.
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
    """A prompt was accepted and is recorded as running.

    `interrupted` is the earlier prompt that a crash left unanswered and this call settled. `undone_fork`
    names the session that keeps what was undone before this prompt, "" if nothing was.
    """

    lease: Lease
    interrupted: Entry | None = None
    undone_fork: str = ""


class ReplayedTurn(NamedTuple):
    """The key's turn was completed before: here it is, with its data, and nothing runs."""

    head: SessionHead
    entry: Entry


class TurnRequest(NamedTuple):
    """A prompt for a session.

    `uid` is 0 or the session that the caller has seen: another one of that name is a conflict.
    `expect` is "any", "new" (must not exist) or "existing" (must). `wait` is the longest wait
    behind other turns, in seconds.
    """

    agent: str
    name: str
    prompt: str
    key: str | None = None
    uid: int = ABSENT
    expect: str = "any"
    wait: float = 30.0


Pause = Callable[[float, LeaseHolder], object]
"""Called by a store between attempts: sleeps at most so many seconds, raises to give up waiting."""


class ForkOrigin(NamedTuple):
    """The source of a fork: a session, which may be gone, by uid and name, at `turn`.

    `is_kept`: not by a person, but because turns that were undone had to go somewhere.
    """

    uid: int
    name: str
    turn: int
    is_undone_fork: bool = False


class SessionSummary(NamedTuple):
    """A line of a list of sessions; `preview` is the beginning of the last prompt."""

    uid: int
    agent: str
    name: str
    turns: int
    created_at: int
    updated_at: int
    preview: str
    origin: ForkOrigin | None = None


class SearchHit(NamedTuple):
    """A turn that a search found, of the session `name` with that uid; `reply` is None if it has none."""

    agent: str
    name: str
    uid: int
    turn: int
    started_at: int
    prompt: str
    reply: str | None


class HealthFinding(NamedTuple):
    """One result of a check-up: `level` is "ok", "note" or "problem"; `advice` is what to do about it."""

    level: str
    message: str
    advice: str = ""
