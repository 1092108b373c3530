"""Figures for pipes and programs: a name and a value a line, or a JSON document. Imports no rich."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flue_cli.stores.statistics import DAY
from flue_cli.times import to_datetime

if TYPE_CHECKING:
    from flue_cli.stores.statistics import Statistics

COUNT_LABELS = (
    "sessions",
    "undone_forks",
    "turns",
    "edits",
    "completed",
    "failed",
    "cancelled",
    "interrupted",
    "messages",
    "bytes",
)
"""The figures that are one number."""


def statistics_rows(found: Statistics) -> Iterator[tuple[str, object]]:
    """Every figure's name and value; of the busiest and the slowest the first, if there is one."""
    for name in COUNT_LABELS:
        yield name, getattr(found, name)
    for busy in found.busiest[:1]:
        yield "busiest", f"{busy.agent}/{busy.session}"
        yield "busiest_turns", busy.turns
    for slow in found.slowest[:1]:
        yield "slowest", f"{slow.agent}/{slow.session}"
        yield "slowest_turn", slow.turn
        yield "slowest_seconds", f"{slow.took / 1_000_000:.3f}"


def statistics_document(found: Statistics) -> dict[str, Any]:
    """The figures as `--json` gives them."""
    return {name: getattr(found, name) for name in COUNT_LABELS} | {
        "agents": [{"agent": agent, "turns": turns} for agent, turns in found.agents],
        "days": [{"day": format_day(number), "turns": turns} for number, turns in found.days],
        "busiest": [busy._asdict() for busy in found.busiest],
        "slowest": [
            {
                "agent": slow.agent,
                "session": slow.session,
                "turn": slow.turn,
                "seconds": slow.took / 1_000_000,
            }
            for slow in found.slowest
        ],
    }


def format_day(number: int) -> str:
    """The ISO date of a day that is counted from 1970 on."""
    return f"{to_datetime(number * DAY):%Y-%m-%d}"
