"""What the turns of a session took: their time, and the usage that agents recorded with them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from flue_cli.stores.records import Entry


class Spent(NamedTuple):
    """What one turn took, or several: microseconds, and every recorded number by its name."""

    turn: int
    took: int
    figures: Mapping[str, float]


class Spending(NamedTuple):
    """What a session took: how many prompts, the `newest` of them one by one, and all together."""

    prompts: int
    newest: list[Spent]
    total: Spent


def spending(entries: Iterable[Entry], newest: int) -> Spending:
    """What the prompts among `entries` took, whatever became of them."""
    last: list[Spent] = []
    prompts, took, figures = 0, 0, dict[str, float]()
    for entry in entries:
        if entry.kind != "prompt":
            continue
        spent = Spent(entry.turn, (entry.finished_at or entry.started_at) - entry.started_at, _figures(entry))
        prompts, took = prompts + 1, took + spent.took
        for name, figure in spent.figures.items():
            figures[name] = figures.get(name, 0) + figure
        last = [*last, spent][-newest:]
    return Spending(prompts, last, Spent(0, took, figures))


def _figures(entry: Entry) -> dict[str, float]:
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
