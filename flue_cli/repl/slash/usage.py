"""Time and recorded usage of a session's turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flue_cli.stores.records import Entry


class TurnUsage(NamedTuple):
    """Usage of one or several turns: microseconds, and every recorded figure by name."""

    turn: int
    duration: int
    figures: Mapping[str, float]


class SessionUsage(NamedTuple):
    """Usage of a session: number of prompts, the `newest` of them one by one, and the total."""

    prompts: int
    newest: list[TurnUsage]
    total: TurnUsage


def session_usage(entries: Iterable[Entry], newest: int) -> SessionUsage:
    """Add up the usage of the prompts among `entries`, whatever their outcome."""
    last: list[TurnUsage] = []
    prompts, took, figures = 0, 0, dict[str, float]()
    for entry in entries:
        if entry.kind != "prompt":
            continue
        spent = TurnUsage(
            entry.turn, (entry.finished_at or entry.started_at) - entry.started_at, _usage_figures(entry)
        )
        prompts, took = prompts + 1, took + spent.duration
        for name, figure in spent.figures.items():
            figures[name] = figures.get(name, 0) + figure
        last = [*last, spent][-newest:]
    return SessionUsage(prompts, last, TurnUsage(0, took, figures))


def _usage_figures(entry: Entry) -> dict[str, float]:
    """The numbers in `meta["usage"]`, those in objects inside it as `outer.inner`."""
    found: dict[str, float] = {}
    waiting: list[tuple[str, Any]] = [("", entry.meta.get("usage"))]
    while waiting:
        name, value = waiting.pop()
        if isinstance(value, Mapping):
            inner = [(f"{name}.{key}" if name else str(key), one) for key, one in value.items()]
            waiting += reversed(inner)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            found[name or "usage"] = value
    return found
