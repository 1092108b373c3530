"""Sessions and their forks as a tree, drawn line by line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flue_cli.stores.records import Summary


class Branch(NamedTuple):
    """A session in a list; `drawn` is the part of the tree to the left of its name."""

    summary: Summary
    drawn: str = ""


def family(found: Iterable[Summary]) -> list[Branch]:
    """Every session below the one it was forked from, if that is there too; else in the order given.

    Forks stand in the order in which they leave their parent.
    """
    found = list(found)
    known = {summary.uid for summary in found}
    below: dict[int, list[Summary]] = {}
    for summary in found:
        parent = summary.origin.uid if summary.origin and summary.origin.uid in known else 0
        below.setdefault(parent, []).append(summary)
    drawn: list[Branch] = []
    # (session, what stands left of it, what stands left of its forks), the next one last.
    waiting = [(summary, "", "") for summary in reversed(below.get(0, []))]
    while waiting:
        summary, left, left_of_forks = waiting.pop()
        drawn.append(Branch(summary, left))
        forks = sorted(below.get(summary.uid, []), key=_place)
        for number, fork in enumerate(reversed(forks)):
            own, under = ("└─ ", "   ") if number == 0 else ("├─ ", "│  ")
            waiting.append((fork, left_of_forks + own, left_of_forks + under))
    return drawn


def _place(fork: Summary) -> tuple[int, int]:
    return (fork.origin.turn if fork.origin else 0, fork.uid)
