"""Rules that all stores share: checks of requests, messages of entries, names of undone forks."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flue_cli.agents.api import Message
from flue_cli.errors import (
    KeyConflict,
    SessionChanged,
    TurnNotFound,
)
from flue_cli.names import MAX_NAME_CHARACTERS
from flue_cli.stores.contract_errors import (
    other_agent_error,
    session_changed_error,
    session_exists_error,
    session_not_found_error,
)
from flue_cli.stores.records import (
    ABSENT,
    PARTIAL_REPLY,
    Entry,
    Failure,
    SessionHead,
    SessionSummary,
    TurnRequest,
)


def check_expectation(request: TurnRequest, seen_uid: int, actual_uid: int) -> None:
    """Raise unless `request` may enter the session that has its name now (ABSENT: there is none).

    `seen_uid` is the session that the caller saw, or that had the name when the request began to wait.
    SessionChanged if it is another one; SessionNotFound or SessionExists as `request.expect` demands.
    """
    if seen_uid not in (ABSENT, actual_uid):
        raise session_changed_error(request.name)
    if actual_uid == ABSENT and request.expect == "existing":
        raise session_not_found_error(request.agent, request.name)
    if actual_uid != ABSENT and request.expect == "new" and seen_uid == ABSENT:
        raise session_exists_error(request.agent, request.name)


def admit_agent_origin(request: TurnRequest, origins: tuple[str, ...]) -> tuple[str, ...]:
    """Return the agent origins of a session once `request` has begun; `origins` are those before.

    Raises OtherAgent if the request's origin is not one of them and it does not adopt the session.
    """
    origin = request.agent_origin
    if not request.adopts:
        check_agent_origin(request.agent, request.name, origins, origin)
    return origins if not origin or origin in origins else (*origins, origin)


def check_agent_origin(agent: str, name: str, origins: tuple[str, ...], origin: str) -> None:
    """Raise OtherAgent if the session `name` has agent origins, and `origin`, unless "", is none of them."""
    if origins and origin and origin not in origins:
        raise other_agent_error(agent, name, origins, origin)


def request_for(head: SessionHead, wait: float) -> TurnRequest:
    """Make a request for exactly the session of `head`; SessionChanged if that has uid 0."""
    if head.uid == ABSENT:
        raise session_changed_error(head.name)
    return TurnRequest(head.agent, head.name, "", uid=head.uid, wait=wait)


def check_same_prompt(request: TurnRequest, prompt: str) -> None:
    """Raise KeyConflict unless the request has the prompt that its key completed."""
    if request.prompt != prompt:
        raise KeyConflict(f"turn key '{request.key}' was used for another prompt")


def check_unchanged(head: SessionHead, current: SessionHead) -> None:
    """Raise SessionChanged unless the versions of `head` and `current` are equal."""
    if head.version != current.version:
        raise SessionChanged(
            f"session '{head.name}' was changed meanwhile: it is at turn {current.turn} now",
            hint="look at it again before you go on",
        )


def check_all_unchanged(heads: Iterable[SessionHead], current: Iterable[SessionHead]) -> None:
    """Raise SessionChanged unless both have the same sessions, each with the same version."""
    seen = {head.uid: head for head in heads}
    now = {head.uid: head for head in current}
    if seen.keys() != now.keys():
        raise session_changed_error(next(iter((seen or now).values())).name)
    for uid, head in seen.items():
        check_unchanged(head, now[uid])


def is_of_project(origins: Iterable[str], project: str) -> bool:
    """True if a session with these agent origins belongs to `project`, or to no project."""
    origins = tuple(origins)
    return not origins or any("/" not in origin or origin.startswith(f"{project}/") for origin in origins)


def in_project_first(sessions: Iterable[SessionSummary], project: str) -> list[SessionSummary]:
    """Return the sessions in the same order, but those that belong to other projects at the end."""
    return sorted(sessions, key=lambda session: not is_of_project(session.agent_origins, project))


def check_label_turn(head: SessionHead, turn: int) -> None:
    """Raise TurnNotFound unless `turn` is an entry on the branch that ends at `head`; turn 0 is none."""
    check_turn(head, turn)
    if turn == 0:
        raise TurnNotFound("turn 0 is the empty start, which has no label")


def check_turn(head: SessionHead, turn: int) -> None:
    """Raise TurnNotFound unless `turn` is 0 or on the branch that ends at `head`."""
    if not 0 <= turn <= head.turn:
        raise TurnNotFound(f"session '{head.name}' has no turn {turn}")


INTERRUPTED = Failure("interrupted", "its process ended or was stopped")
"""The failure that is recorded for an interrupted turn."""


def messages_of_entry(entry: Entry) -> tuple[Message, ...]:
    """Return the messages that `entry` adds to the history: prompt, messages between, reply.

    Only completed prompts add messages.
    """
    return messages_of_fields(entry.kind, entry.outcome, entry.prompt, entry.messages, entry.reply)


def count_messages(entry: Entry) -> int:
    """Return the number of messages that `entry` adds to the history."""
    return len(entry.messages) + 2 if entry.outcome == "completed" and entry.kind == "prompt" else 0


def messages_of_fields(
    kind: str, outcome: str, prompt: str, between: tuple[Message, ...], reply: str | None
) -> tuple[Message, ...]:
    """Return the messages that an entry with these fields adds; see `messages_of_entry`."""
    if outcome != "completed" or kind != "prompt":
        return ()
    return (Message("user", prompt), *between, Message("assistant", reply))


REPLY_FORMAT = "reply_format"
"""The key in a turn's meta of its reply's format, where that is not "text"."""


def reply_format(entry: Entry) -> str:
    """Return the format in which to show the reply of an entry, as recorded: "markdown" or "text"."""
    return "markdown" if entry.meta.get(REPLY_FORMAT) == "markdown" else "text"


def outcome_label(entry: Entry) -> str:
    """Return the label of an entry in lists: "" for an answered prompt, else its outcome."""
    if entry.kind == "edit":
        return "data edited"
    return "" if entry.outcome == "completed" else entry.outcome


def partial_reply(entry: Entry) -> str:
    """Return the part of a reply that came before the turn failed or was cancelled; "" for none."""
    text = entry.meta.get(PARTIAL_REPLY)  # of a completed turn, and in a foreign file, it is the agent's own
    return text if entry.outcome in _PARTIAL_REPLY_LABELS and isinstance(text, str) else ""


def partial_reply_label(entry: Entry) -> str:
    """Return the mark of a partial reply: it is never to be taken for a whole one."""
    return _PARTIAL_REPLY_LABELS[entry.outcome]


_PARTIAL_REPLY_LABELS = {
    "cancelled": "before it was cancelled",
    "failed": "before it failed",
    "interrupted": "before it was interrupted",
}


def check_unique_keys(entries: Iterable[Entry]) -> Iterator[Entry]:
    """Yield `entries`; KeyConflict if two of them were completed under one key."""
    keys = set()
    for entry in entries:
        if entry.key is not None and entry.outcome == "completed":
            if entry.key in keys:
                raise KeyConflict(f"turn key '{entry.key}' was used for two turns")
            keys.add(entry.key)
        yield entry


def undone_fork_name(name: str, others: Iterable[str]) -> str:
    """Return the name of the next undone fork of session `name`; `others` are its agent's sessions."""
    others = set(others)
    last = 0
    for other in others:
        base, _, number = other.rpartition("~")
        # A longer number is part of a name that a person gave.
        is_number = number.isascii() and number.isdigit() and len(number) < 10
        if is_number and base == name[: MAX_NAME_CHARACTERS - 1 - len(number)]:
            last = max(last, int(number))
    while True:
        last += 1
        ending = f"~{last}"
        fork_name = name[: MAX_NAME_CHARACTERS - len(ending)] + ending
        if fork_name not in others:
            return fork_name


def candidate_names(name: str, agent: str) -> list[tuple[str, str]]:
    """Return the (agent, name) pairs that a SESSION argument may mean; the agent "" is any."""
    if agent:
        return [(agent, name)]
    first, slash, rest = name.partition("/")
    return [("", name), *([(first.replace("_", "-"), rest)] if slash and first and rest else [])]
