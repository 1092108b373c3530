"""Sessions and their forks as a tree, drawn line by line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from flue_cli.stores.records import SessionSummary


class TreeNode(NamedTuple):
    """A session in a list; `drawn` is the part of the tree to the left of its name."""

    summary: SessionSummary
    drawn: str = ""


def session_tree(found: Iterable[SessionSummary]) -> list[TreeNode]:
    """Every session below the one it was forked from, if that is there too; else in the order given.

    Forks stand in the order in which they leave their parent.
    """
    found = list(found)
    known = {summary.uid for summary in found}
    below: dict[int, list[SessionSummary]] = {}
    for summary in found:
        parent = summary.origin.uid if summary.origin and summary.origin.uid in known else 0
        below.setdefault(parent, []).append(summary)
    drawn: list[TreeNode] = []
    # (session, what stands left of it, what stands left of its forks), the next one last.
    waiting = [(summary, "", "") for summary in reversed(below.get(0, []))]
    while waiting:
        summary, left, left_of_forks = waiting.pop()
        drawn.append(TreeNode(summary, left))
        forks = sorted(below.get(summary.uid, []), key=_fork_order)
        for number, fork in enumerate(reversed(forks)):
            own, under = ("└─ ", "   ") if number == 0 else ("├─ ", "│  ")
            waiting.append((fork, left_of_forks + own, left_of_forks + under))
    return drawn


def _fork_order(fork: SessionSummary) -> tuple[int, int]:
    return (fork.origin.turn if fork.origin else 0, fork.uid)
