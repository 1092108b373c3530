"""The steps that the cases of the contract are made of: prompts, turns, leases, waiters."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

from flue_cli.agents.api import Message
from flue_cli.stores.contract import Store
from flue_cli.stores.records import (
    BegunTurn,
    Entry,
    Failure,
    Lease,
    LeaseHolder,
    Pause,
    ReplayedTurn,
    SessionHead,
    TurnFailure,
    TurnRequest,
    TurnResult,
)

AGENT = "parrot"
BROKEN = Failure("agent_error", "the agent broke")


def sleep(seconds: float, holder: LeaseHolder) -> None:
    """A pause that only waits."""
    time.sleep(seconds)


def begin_turn(
    store: Store,
    prompt: str,
    name: str = "main",
    *,
    pause: Pause = sleep,
    agent: str = AGENT,
    wait: float = 0,
    **more: Any,
) -> BegunTurn:
    """A prompt that is accepted, by default at once."""
    begun = store.begin(TurnRequest(agent, name, prompt, wait=wait, **more), pause)
    assert isinstance(begun, BegunTurn)
    return begun


def complete_turn(
    store: Store,
    lease: Lease,
    *,
    reply: str = "ok",
    data: str | None = None,
    messages: Sequence[Message] = (),
    meta: Mapping[str, Any] | None = None,
) -> SessionHead:
    """Complete a turn that has begun; the data stays unless given."""
    data = lease.data if data is None else data
    return store.commit(lease, TurnResult(reply=reply, messages=tuple(messages), data=data, meta=meta or {}))


def run_turn(
    store: Store,
    prompt: str,
    name: str = "main",
    *,
    reply: str = "ok",
    data: str | None = None,
    messages: Sequence[Message] = (),
    meta: Mapping[str, Any] | None = None,
    **more: Any,
) -> SessionHead:
    """A completed turn; the data stays unless given."""
    lease = begin_turn(store, prompt, name, **more).lease
    return complete_turn(store, lease, reply=reply, data=data, messages=messages, meta=meta)


def run_failed_turn(store: Store, prompt: str, name: str = "main", **more: Any) -> SessionHead:
    """A turn whose agent failed."""
    return store.abandon(begin_turn(store, prompt, name, **more).lease, TurnFailure("failed", BROKEN, {}))


def run_turns(store: Store, *prompts: str, name: str = "main") -> SessionHead:
    """A completed turn of each prompt; the data after it has the prompt, and its number in the session."""
    for prompt in prompts:
        lease = begin_turn(store, prompt, name).lease
        head = complete_turn(store, lease, data=json.dumps({"last": prompt, "turn": lease.turn}))
    return head


def replay_turn(store: Store, prompt: str, key: str, name: str = "main", **more: Any) -> ReplayedTurn:
    """The turn that `key` completed before."""
    replayed = store.begin(TurnRequest(AGENT, name, prompt, key=key, wait=0, **more), sleep)
    assert isinstance(replayed, ReplayedTurn)
    return replayed


def move_head_to(store: Store, to: int, name: str = "main") -> SessionHead:
    """Make turn `to` the newest one, at once."""
    return store.move_head(store.head(AGENT, name), to, wait=0, pause=sleep)


def edit_data(store: Store, data: str, name: str = "main") -> SessionHead:
    """Change the data by hand, at once."""
    return store.edit(store.head(AGENT, name), data, wait=0, pause=sleep)


def timeline_prompts(store: Store, name: str = "main") -> list[str]:
    """The prompts on the current branch of a session."""
    return [entry.prompt for entry in timeline_entries(store, store.head(AGENT, name))]


def undone_fork_names(store: Store, name: str = "main") -> list[str]:
    """The names of the forks that were kept of a session."""
    return [fork.name for fork in store.undone_forks(store.head(AGENT, name))]


def timeline_entries(store: Store, head: SessionHead, *, with_data: bool = False) -> list[Entry]:
    """Every turn up to `head`."""
    return list(store.entries(head, 1, head.turn, with_data=with_data))


def store_contents(store: Store, name: str = "main") -> tuple[object, ...]:
    """All that a store tells about a session, and its list of all, to compare before and after."""
    head, listed = store.head(AGENT, name), store.sessions(with_undone_forks=True)
    return (
        session_contents(store, head),
        store.redo_head(head),
        store.unsettled_prompt(head),
        store.undone_forks(head),
        listed,
    )


def session_contents(store: Store, head: SessionHead) -> tuple[object, ...]:
    """The session up to `head`, and what was undone after it: all that was said and all data."""
    tip = store.redo_head(head)
    return (
        head,
        timeline_entries(store, tip, with_data=True),
        store.messages(tip, 0, tip.messages),
        store.origin(head),
    )


@contextmanager
def lease_duration(store: Store, seconds: float) -> Iterator[None]:
    """Leases that `store` gives or renews in here last this long."""
    usual, store.lease_seconds = store.lease_seconds, seconds
    try:
        yield
    finally:
        store.lease_seconds = usual


def begin_expired_turn(store: Store, prompt: str, name: str = "main", **more: Any) -> Lease:
    """The lease of a turn that is still running when its time is up."""
    with lease_duration(store, 0):
        return begin_turn(store, prompt, name, **more).lease


@contextmanager
def store_threads(store: Store) -> Iterator[Callable[..., Any]]:
    """`start(function, *arguments)`, each in a thread of its own that lets go of the store as it ends."""

    def alone(function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        finally:
            store.disconnect()

    with ThreadPoolExecutor(max_workers=16) as pool:
        yield lambda function, *arguments: pool.submit(alone, function, *arguments)


class QueueSignal:
    """A pause that tells when it is first called, which is when the caller stands in line."""

    def __init__(self) -> None:
        self.joined = threading.Event()

    def __call__(self, seconds: float, holder: LeaseHolder) -> None:
        self.joined.set()
        time.sleep(seconds)
