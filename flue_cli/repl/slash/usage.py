"""Time and recorded usage of a session's turns."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flue_cli.stores.records import Entry


class TurnUsage(NamedTuple):
    """Usage of one or several turns: duration in microseconds, and every recorded figure by name."""

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
    prompts, duration, figures = 0, 0, dict[str, float]()
    for entry in entries:
        if entry.kind != "prompt":
            continue
        usage = TurnUsage(
            entry.turn, (entry.finished_at or entry.started_at) - entry.started_at, _usage_figures(entry)
        )
        prompts, duration = prompts + 1, duration + usage.duration
        for name, figure in usage.figures.items():
            figures[name] = figures.get(name, 0) + figure
        last = [*last, usage][-newest:]
    return SessionUsage(prompts, last, TurnUsage(0, duration, figures))


def _usage_figures(entry: Entry) -> dict[str, float]:
    """Collect the numbers in `meta["usage"]`; one inside an object is called `outer.inner`."""
    figures: dict[str, float] = {}
    stack: list[tuple[str, Any]] = [("", entry.meta.get("usage"))]  # no recursion: any depth is possible
    while stack:
        name, value = stack.pop()
        if isinstance(value, Mapping):
            items = [(f"{name}.{key}" if name else str(key), item) for key, item in value.items()]
            stack += reversed(items)
        elif isinstance(value, int | float) and not isinstance(value, bool):
            figures[name or "usage"] = value
    return figures
