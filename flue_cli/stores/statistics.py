"""Figures about what a store keeps; a room of its own, since turns have no need of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

DAY = 86_400_000_000
"""Microseconds."""
_MAX_RANKED = 5
"""Number of the busiest sessions and of the slowest turns that are named."""


class BusySession(NamedTuple):
    """A session, and how many prompts it was given."""

    agent: str
    session: str
    turns: int


class SlowTurn(NamedTuple):
    """The slowest turn of a session, and how long it took in microseconds."""

    agent: str
    session: str
    turn: int
    took: int


class Statistics(NamedTuple):
    """Figures about sessions.

    `turns` are accepted prompts, of which so many were `completed`, `failed` and so on; one that runs is
    none of those. `messages` are those of all histories, without undone forks. `bytes` is what is kept: of a
    whole store what it takes, of one agent what its turns say. `agents` are (agent, turns), most first,
    `days` (days since 1970, turns), oldest first, without days on which nothing was said.
    """

    sessions: int = 0
    undone_forks: int = 0
    turns: int = 0
    edits: int = 0
    completed: int = 0
    failed: int = 0
    cancelled: int = 0
    interrupted: int = 0
    messages: int = 0
    bytes: int = 0
    agents: tuple[tuple[str, int], ...] = ()
    days: tuple[tuple[int, int], ...] = ()
    busiest: tuple[BusySession, ...] = ()
    slowest: tuple[SlowTurn, ...] = ()


class SessionCount(NamedTuple):
    """A session, as a store counts it; `messages` is the length of its history."""

    uid: int
    agent: str
    name: str
    messages: int
    is_undone_fork: bool


class TurnTally(NamedTuple):
    """The turns of the session `uid` on one day; `took` is the time of its slowest turn there, or -1."""

    uid: int
    day: int
    turns: int
    edits: int
    completed: int
    failed: int
    cancelled: int
    interrupted: int
    took: int
    turn: int


def compute_statistics(
    sessions: Iterable[SessionCount], tallies: Iterable[TurnTally], size: int
) -> Statistics:
    """Add up `sessions` and their tallies; `size` is the bytes."""
    known = {session.uid: session for session in sessions}
    sums: Counter[str] = Counter()
    agents = Counter({session.agent: 0 for session in known.values()})
    days: Counter[int] = Counter()
    said: Counter[int] = Counter()
    slowest: dict[int, TurnTally] = {}
    for tally in tallies:
        session = known.get(tally.uid)
        if session is None:  # deleted between two looks
            continue
        for name in ("turns", "edits", "completed", "failed", "cancelled", "interrupted"):
            sums[name] += getattr(tally, name)
        agents[session.agent] += tally.turns
        days[tally.day] += tally.turns
        said[tally.uid] += tally.turns
        if tally.took > slowest.get(tally.uid, _NO_TALLY).took:
            slowest[tally.uid] = tally
    kept = sum(session.is_undone_fork for session in known.values())
    longest = sorted(slowest.values(), key=lambda tally: (-tally.took, tally.uid))[:_MAX_RANKED]
    busiest = sorted((item for item in said.items() if item[1]), key=lambda item: (-item[1], item[0]))[
        :_MAX_RANKED
    ]
    return Statistics(
        sessions=len(known) - kept,
        undone_forks=kept,
        **sums,
        messages=sum(session.messages for session in known.values() if not session.is_undone_fork),
        bytes=size,
        agents=tuple(sorted(agents.items(), key=lambda item: (-item[1], item[0]))),
        days=tuple(sorted((day, count) for day, count in days.items() if count)),
        busiest=tuple(BusySession(known[uid].agent, known[uid].name, count) for uid, count in busiest),
        slowest=tuple(
            SlowTurn(known[tally.uid].agent, known[tally.uid].name, tally.turn, tally.took)
            for tally in longest
        ),
    )


_NO_TALLY = TurnTally(0, 0, 0, 0, 0, 0, 0, 0, -1, 0)
