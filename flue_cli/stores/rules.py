"""The rules that all stores share: whom a session lets in, what a turn adds, and refusals in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from flue_cli.agents.api import Message
from flue_cli.errors import (
    KeyConflict,
    LeaseLost,
    SessionBusy,
    SessionChanged,
    SessionExists,
    SessionNotFound,
    TurnNotFound,
)
from flue_cli.names import MAX_NAME
from flue_cli.stores.records import (
    ABSENT,
    Ask,
    Entry,
    Failure,
    Head,
    Holder,
    Lease,
)


def let_in(ask: Ask, seen: int, found: int) -> None:
    """Raise what keeps `ask` out of the session of uid `found` (ABSENT: there is none).

    `seen` is the session that it has seen, now or when it began to wait.
    """
    if seen not in (ABSENT, found):
        raise changed(ask.name)
    if found == ABSENT and ask.expect == "existing":
        raise absent(ask.agent, ask.name)
    if found != ABSENT and ask.expect == "new" and seen == ABSENT:
        raise taken(ask.agent, ask.name)


def claim(head: Head, wait: float) -> Ask:
    """What asks for the session of `head`, and no other one; SessionChanged if there was none."""
    if head.uid == ABSENT:
        raise changed(head.name)
    return Ask(head.agent, head.name, "", uid=head.uid, wait=wait)


def same_prompt(ask: Ask, prompt: str) -> None:
    """Raise KeyConflict unless the key of `ask` completed this very prompt."""
    if ask.prompt != prompt:
        raise KeyConflict(f"turn key '{ask.key}' was used for another prompt")


def busy(name: str, holder: Holder, now: int) -> SessionBusy:
    """The error for a session that stayed taken."""
    who = "another process" + (f" (pid {holder.pid} on {holder.host})" if holder.pid else "")
    seconds = max(0, (now - holder.since) // 1_000_000)
    return SessionBusy(
        f"session '{name}' is busy: {who} has been answering for {seconds} s",
        hint="wait longer with --wait SECONDS, or use another session",
    )


def absent(agent: str, name: str) -> SessionNotFound:
    """The error for a session that must exist and does not."""
    return SessionNotFound(f"there is no session '{name}' of agent '{agent}'")


def taken(agent: str, name: str) -> SessionExists:
    """The error for a name that is taken."""
    return SessionExists(
        f"session '{name}' of agent '{agent}' exists already",
        hint="choose another name, or go on with it: flue chat AGENT -r NAME",
    )


def changed(name: str) -> SessionChanged:
    """The error for a session that is no longer the one the caller saw."""
    return SessionChanged(
        f"session '{name}' was deleted, renamed or made anew meanwhile",
        hint="begin another session; see: flue sessions list",
    )


def unchanged(head: Head, found: Head) -> None:
    """Raise SessionChanged unless the session `found` is still as `head` says."""
    if head.version != found.version:
        raise SessionChanged(
            f"session '{head.name}' was changed meanwhile: it is at turn {found.turn} now",
            hint="look at it again before you go on",
        )


def all_unchanged(heads: Iterable[Head], found: Iterable[Head]) -> None:
    """Raise SessionChanged unless the sessions `found` are those of `heads`, each still as it says."""
    seen = {head.uid: head for head in heads}
    now = {head.uid: head for head in found}
    if seen.keys() != now.keys():
        raise changed(next(iter((seen or now).values())).name)
    for uid, head in seen.items():
        unchanged(head, now[uid])


def known_turn(head: Head, turn: int) -> None:
    """Raise TurnNotFound unless `turn` is 0 or on the line that ends at `head`."""
    if not 0 <= turn <= head.turn:
        raise TurnNotFound(f"session '{head.name}' has no turn {turn}")


def lost(lease: Lease) -> LeaseLost:
    """The error for a turn whose lease is gone."""
    return LeaseLost(
        f"turn {lease.turn} of session '{lease.head.name}' was not saved: another turn took the session over",
        hint="a reply that was shown is not kept: send the prompt again",
    )


INTERRUPTED = Failure("interrupted", "its process ended or was stopped")
"""Why a turn is interrupted, as recorded by whoever finds it."""


def history_of(entry: Entry) -> tuple[Message, ...]:
    """What `entry` adds to the history: prompt, messages between, reply; nothing unless completed."""
    if entry.outcome != "completed" or entry.kind != "prompt":
        return ()
    return (Message("user", entry.prompt), *entry.messages, Message("assistant", entry.reply))


def mark_of(entry: Entry) -> str:
    """What is said of an entry beside its number: "" for an answered prompt, else what became of it."""
    if entry.kind == "edit":
        return "data edited"
    return "" if entry.outcome == "completed" else entry.outcome


def one_turn_a_key(entries: Iterable[Entry]) -> Iterator[Entry]:
    """`entries` one by one; KeyConflict if two of them were completed under one key."""
    keys = set()
    for entry in entries:
        if entry.key is not None and entry.outcome == "completed":
            if entry.key in keys:
                raise KeyConflict(f"turn key '{entry.key}' was used for two turns")
            keys.add(entry.key)
        yield entry


def kept_name(name: str, others: Iterable[str]) -> str:
    """The name of the next fork that is kept of session `name`, when its agent has sessions `others`."""
    others = set(others)
    last = 0
    for other in others:
        base, _, number = other.rpartition("~")
        is_number = number.isascii() and number.isdigit() and len(number) < 10  # longer ones are people's
        if is_number and base == name[: MAX_NAME - 1 - len(number)]:
            last = max(last, int(number))
    while True:
        last += 1
        ending = f"~{last}"
        free = name[: MAX_NAME - len(ending)] + ending
        if free not in others:
            return free


def meant(name: str, agent: str) -> list[tuple[str, str]]:
    """The (agent, name) pairs that a SESSION argument may mean; an agent of "" stands for any."""
    if agent:
        return [(agent, name)]
    first, slash, rest = name.partition("/")
    return [("", name), *([(first.replace("_", "-"), rest)] if slash and first and rest else [])]
