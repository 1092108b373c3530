"""Conversations that are trees of messages: the branch shown last is the session, others are its forks.

Other programs keep every answer that was asked for again, and every prompt that was changed. A branch is the
way from the first message to one that nothing follows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from flue_cli.errors import UsageError
from flue_cli.stores.records import Entry
from flue_cli.text import pluralize, safe_line
from flue_cli.transcripts.foreign.turns import ForeignMessage, turns_of
from flue_cli.transcripts.import_source import ImportedSession, Skipped, refused

MOST_MESSAGES = 200_000
"""Messages of all branches of a conversation: forks beyond them are left out."""


class TreeNode(NamedTuple):
    """A place in the tree: the one before it, None for the first, and the messages that stand there."""

    parent: str | None
    messages: list[ForeignMessage]


class Conversation(NamedTuple):
    """A tree with the name of its session, the place where it was left ("": the last), and its own place."""

    name: str
    nodes: Mapping[str, TreeNode]
    current: str
    where: str


class _Branch(NamedTuple):
    """A way through the tree, and the session that has it."""

    name: str
    path: list[str]


def sessions_of(agent: str, tree: Conversation, skipped: Skipped) -> Iterator[ImportedSession]:
    """Yield the session of the current branch, then a fork for every other branch.

    A branch that cannot be followed gives a session that cannot be read: UsageError when it is. If that is
    the current one, there are no forks either.
    """
    ends = _ends(tree)
    made: list[_Branch] = []
    visited: set[str] = set()
    budget = MOST_MESSAGES
    for number, end in enumerate(ends):
        name = f"{tree.name}-fork-{number}" if number else tree.name
        try:
            path = _path_to(tree, end, visited)
        except UsageError as error:
            yield ImportedSession(agent, name, refused(error))
            if not number:
                return
            continue
        budget -= len(path)
        if number and budget < 0:
            skipped(f"{tree.where}: {len(ends) - number:,} of its branches, which are too many")
            return
        if not any(_is_prompt(tree, place) for place in path):
            if not number:
                skipped(f"{tree.where}: no message by the user")
            continue
        origin = _origin(tree, path, made)
        made.append(_Branch(name, path))
        yield ImportedSession(agent, name, _entries(agent, tree, path), origin)
    lost = sum(bool(node.messages) for key, node in tree.nodes.items() if key not in visited)
    if lost:
        skipped(f"{tree.where}: {pluralize(lost, 'message')} in a circle")


def _ends(tree: Conversation) -> list[str]:
    """Return the last places of all branches, the current one first."""
    parents = {node.parent for node in tree.nodes.values()}
    ends = [key for key, node in tree.nodes.items() if key not in parents and node.messages]
    current = tree.current or (ends or list(tree.nodes))[-1]
    return [current, *(end for end in ends if end != current)]


def _path_to(tree: Conversation, end: str, visited: set[str]) -> list[str]:
    """Return the places from the first to `end`, and add them to `visited`; UsageError if one is missing."""
    path: list[str] = []
    seen: set[str] = set()
    place: str | None = end
    while place is not None:
        if place not in tree.nodes:
            raise UsageError(f"{tree.where}: message {safe_line(place)[:60]} is missing")
        if place in seen:
            raise UsageError(f"{tree.where}: its messages lead in a circle")
        seen.add(place)
        visited.add(place)
        path.append(place)
        place = tree.nodes[place].parent
    return path[::-1]


def _origin(tree: Conversation, path: list[str], made: list[_Branch]) -> tuple[str, int] | None:
    """Return the session that has most of the same beginning, and the last turn that both have."""
    best, shared = None, 0
    for branch in made:
        length = next(
            (at for at, (one, other) in enumerate(zip(path, branch.path, strict=False)) if one != other),
            min(len(path), len(branch.path)),
        )
        if best is None or length > shared:
            best, shared = branch, length
    if best is None:
        return None
    turns = sum(_is_prompt(tree, place) for place in path[:shared])
    goes_on = next((place for place in path[shared:] if tree.nodes[place].messages), None)
    # Another answer to the same prompt: that turn is not the same one.
    return best.name, max(0, turns if goes_on is None or _is_prompt(tree, goes_on) else turns - 1)


def _is_prompt(tree: Conversation, place: str) -> bool:
    return any(message.message["role"] == "user" for message in tree.nodes[place].messages)


def _entries(agent: str, tree: Conversation, path: list[str]) -> Iterator[Entry]:
    said = (message for place in path for message in tree.nodes[place].messages)
    return turns_of(said, agent, reply_format="markdown")
