"""Comparison of two sessions, or of one session at two turns: the turns one by one, and the data."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import starmap, zip_longest
from typing import NamedTuple

from flue_cli.jsondata.diff import Change, find_changes
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.turns.result import parse_data


class SessionAtTurn(NamedTuple):
    """A session at one of its turns."""

    head: SessionHead
    turn: int


class TurnPair(NamedTuple):
    """The same turn of two sessions, None for a missing one. The entries come without data."""

    before: Entry | None
    after: Entry | None

    @property
    def turn(self) -> int:
        """The number of the turn."""
        entry = self.before or self.after
        return entry.turn if entry else 0

    @property
    def differs_only_in_data(self) -> bool:
        """True if prompt, reply and outcome are equal, so that only the data differs."""
        return bool(
            self.before and self.after and _visible_fields(self.before) == _visible_fields(self.after)
        )


class Comparison(NamedTuple):
    """Differences between two sessions, or one session at two turns.

    The first `common` turns are equal, also in their data. `turns` iterates once over the later ones that
    differ. `data` lists the changes from the data at `before` to the data at `after`.
    """

    before: SessionAtTurn
    after: SessionAtTurn
    common: int
    turns: Iterator[TurnPair]
    data: list[Change]


def compare_sessions(store: Store, before: SessionAtTurn, after: SessionAtTurn) -> Comparison:
    """Compare `before` with `after`; raises TurnNotFound, and StoreDamaged if data cannot be read."""
    data = find_changes(
        *(parse_data(store.data_at(moment.head, moment.turn), moment.head.name) for moment in (before, after))
    )
    if before.head.uid == after.head.uid:
        common = min(before.turn, after.turn)
        return Comparison(before, after, common, _turns_between(store, before, after), data)
    pairs = zip_longest(_entries_until(store, before), _entries_until(store, after))
    common = 0
    for old, new in pairs:
        if old and new and _are_entries_equal(old, new, after.head.name):
            common += 1
            continue
        return Comparison(before, after, common, _differing_pairs(old, new, pairs), data)
    return Comparison(before, after, common, iter(()), data)


def _turns_between(store: Store, before: SessionAtTurn, after: SessionAtTurn) -> Iterator[TurnPair]:
    """Read the turns of one session that were added or undone between two turns."""
    for entry in store.entries(after.head, before.turn + 1, after.turn):
        yield TurnPair(None, entry)
    for entry in store.entries(before.head, after.turn + 1, before.turn):
        yield TurnPair(entry, None)


def _entries_until(store: Store, moment: SessionAtTurn) -> Iterator[Entry]:
    return store.entries(moment.head, 1, moment.turn, with_data=True)


def _differing_pairs(
    old: Entry | None, new: Entry | None, later: Iterator[tuple[Entry | None, Entry | None]]
) -> Iterator[TurnPair]:
    """Yield the first differing pair, and later ones whose prompt, reply or outcome differ."""
    yield _pair_without_data(old, new)
    for pair in starmap(_pair_without_data, later):
        if not pair.differs_only_in_data:
            yield pair


def _pair_without_data(old: Entry | None, new: Entry | None) -> TurnPair:
    return TurnPair(old and old._replace(data=""), new and new._replace(data=""))


def _are_entries_equal(old: Entry, new: Entry, session: str) -> bool:
    if _visible_fields(old) != _visible_fields(new):
        return False
    return old.data == new.data or not find_changes(
        parse_data(old.data, session), parse_data(new.data, session)
    )


def _visible_fields(entry: Entry) -> tuple[str, str, str | None, str]:
    return entry.kind, entry.prompt, entry.reply, entry.outcome
