"""The tree of a session: its timeline, and the undone forks of its family where they part from it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from flue_cli.sessions.timeline import entries_backwards
from flue_cli.stores.contract import Store
from flue_cli.stores.records import PREVIEW_CHARACTERS, Entry, SessionHead

MAX_TREE_TURNS = 2000
"""Number of newest turns of a session that its tree shows."""


class TreeTurn(NamedTuple):
    """A turn in the tree of a session.

    `session` is the session that reads it, with its head; `entry` is the turn's entry without its data and
    reply, None for the empty start. `guides` is the part of the drawn tree to the left of the turn. True if:
    `starts_fork`, it is the first turn of a fork that the line above does not have; `is_head`, the session
    whose tree this is stands here; `is_undone`, its session is at an earlier turn; `is_settled`, it can be
    gone to. `hidden` is the number of turns after the start that are left out.
    """

    session: SessionHead
    turn: int
    entry: Entry | None
    guides: str = ""
    starts_fork: bool = False
    is_head: bool = False
    is_undone: bool = False
    is_settled: bool = True
    hidden: int = 0


def timeline_tree(store: Store, head: SessionHead) -> list[TreeTurn]:
    """Read the tree of the session of `head`, in the order of its drawing.

    The session's own line, with the turns that can be redone, is not indented. The other sessions of its
    family (an undone fork's session, and the undone forks of that) stand below the turn where they part.
    Raises StoreError and SessionChanged.
    """
    return list(_TreeBuilder(store, head).turns())


class _Line(NamedTuple):
    """The turns that only this session of the family has, so far as it has been read."""

    session: SessionHead
    entries: list[Entry]
    unsettled: Entry | None

    @property
    def began_at(self) -> int:
        """Time when the first of its turns began."""
        return next(entry.started_at for entry in (*self.entries, self.unsettled) if entry)


class _TreeBuilder:
    """Reads the lines of a family one after another; each ends where it meets one that was read before."""

    def __init__(self, store: Store, head: SessionHead) -> None:
        self._store = store
        self._lines: list[_Line] = []
        self._forks: dict[tuple[int, int], list[int]] = {}  # (line, turn) to the lines that part there
        self._places: dict[tuple[int, int, str], tuple[int, int]] = {}  # a turn's identity to (line, turn)
        tip = store.redo_head(head)
        self.first = max(1, tip.turn - MAX_TREE_TURNS + 1)
        for session in _family(store, head):
            self._read_line(session)

    def turns(self) -> Iterator[TreeTurn]:
        """Yield the turns of the tree, from the empty start on."""
        head = self._lines[0].session
        yield TreeTurn(head, 0, None, is_head=head.turn == 0, hidden=self.first - 1)
        yield from self._forks_at(0, 0, "")
        yield from self._draw(0, "", "")

    def _read_line(self, session: SessionHead) -> None:
        number, parting, entries = len(self._lines), (0, 0), []
        for entry in entries_backwards(self._store, self._store.redo_head(session)):
            identity = (entry.turn, entry.started_at, entry.kind)
            if entry.turn < self.first:
                break
            if identity in self._places:
                parting = self._places[identity]
                break
            self._places[identity] = (number, entry.turn)
            entries.append(_without_texts(entry))
        unsettled = self._store.unsettled_prompt(session)
        if number and (entries or unsettled):
            self._forks.setdefault(parting, []).append(number)
        self._lines.append(_Line(session, entries[::-1], unsettled and _without_texts(unsettled)))

    def _draw(self, number: int, first_guides: str, guides: str) -> Iterator[TreeTurn]:
        """Yield the turns of a line, each followed by the forks that part there."""
        session, entries, unsettled = self._lines[number]
        left, is_first = first_guides, number > 0
        for entry in [*entries, *([unsettled] if unsettled else [])]:
            yield TreeTurn(
                session,
                entry.turn,
                entry,
                left,
                starts_fork=is_first,
                is_head=number == 0 and entry.turn == session.turn,
                is_undone=entry is not unsettled and entry.turn > session.turn,
                is_settled=entry is not unsettled,
            )
            left, is_first = guides, False
            yield from self._forks_at(number, entry.turn, guides)

    def _forks_at(self, number: int, turn: int, guides: str) -> Iterator[TreeTurn]:
        """Yield the turns of the forks that part at a turn, the one that was begun first at the top."""
        forks = sorted(self._forks.get((number, turn), ()), key=lambda fork: self._lines[fork].began_at)
        for position, fork in enumerate(forks, 1):
            own, under = ("└─ ", "   ") if position == len(forks) else ("├─ ", "│  ")
            yield from self._draw(fork, guides + own, guides + under)


def _family(store: Store, head: SessionHead) -> Sequence[SessionHead]:
    """Find the sessions of a tree: the one of `head`, then those that share its turns, oldest first."""
    root = head
    while (origin := store.origin(root)) and origin.is_undone_fork:
        parent = store.head(root.agent, origin.name)
        if parent.uid != origin.uid:  # renamed between two of our reads
            break
        root = parent
    family = (root, *store.undone_forks(root))
    return [head, *(session for session in family if session.uid != head.uid)]


def _without_texts(entry: Entry) -> Entry:
    return entry._replace(prompt=entry.prompt[:PREVIEW_CHARACTERS], reply=None, messages=(), meta={})
