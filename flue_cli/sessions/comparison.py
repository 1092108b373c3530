"""Comparison of two sessions, or of one session at two turns: what was said, turn by turn, and the data."""

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
    """The same turn of two sessions; None where one has no such turn. The entries come without data."""

    before: Entry | None
    after: Entry | None

    @property
    def turn(self) -> int:
        """The number of the turn."""
        entry = self.before or self.after
        return entry.turn if entry else 0

    @property
    def differs_only_in_data(self) -> bool:
        """True if prompt, reply and outcome are equal, and only the data differ."""
        return bool(
            self.before and self.after and _visible_fields(self.before) == _visible_fields(self.after)
        )


class Comparison(NamedTuple):
    """Differences between two sessions, or one session at two turns.

    `common` turns at the beginning are the same, in words and data. `turns`, to be read once, are later
    ones that differ; in `data` is what makes the data at `after` of that at `before`.
    """

    before: SessionAtTurn
    after: SessionAtTurn
    common: int
    turns: Iterator[TurnPair]
    data: list[Change]


def compare_sessions(store: Store, before: SessionAtTurn, after: SessionAtTurn) -> Comparison:
    """Compare `before` with `after`; raises TurnNotFound, and StoreDamaged where data cannot be read."""
    data = find_changes(
        *(parse_data(store.data_at(moment.head, moment.turn), moment.head.name) for moment in (before, after))
    )
    if before.head.uid == after.head.uid:
        common = min(before.turn, after.turn)
        return Comparison(before, after, common, _turns_between(store, before, after), data)
    pairs = zip_longest(_entries_until(store, before), _entries_until(store, after))
    common = 0
    for one, other in pairs:
        if one and other and _are_entries_equal(one, other, after.head.name):
            common += 1
            continue
        return Comparison(before, after, common, _differing_pairs(one, other, pairs), data)
    return Comparison(before, after, common, iter(()), data)


def _turns_between(store: Store, before: SessionAtTurn, after: SessionAtTurn) -> Iterator[TurnPair]:
    """Read the turns of one session that lie between: made since, or undone."""
    for entry in store.entries(after.head, before.turn + 1, after.turn):
        yield TurnPair(None, entry)
    for entry in store.entries(before.head, after.turn + 1, before.turn):
        yield TurnPair(entry, None)


def _entries_until(store: Store, moment: SessionAtTurn) -> Iterator[Entry]:
    return store.entries(moment.head, 1, moment.turn, with_data=True)


def _differing_pairs(
    one: Entry | None, other: Entry | None, later: Iterator[tuple[Entry | None, Entry | None]]
) -> Iterator[TurnPair]:
    """Give the first differing pair, and those after it in which prompt, reply or outcome differ."""
    yield _pair_without_data(one, other)
    for pair in starmap(_pair_without_data, later):
        if not pair.differs_only_in_data:
            yield pair


def _pair_without_data(one: Entry | None, other: Entry | None) -> TurnPair:
    return TurnPair(one and one._replace(data=""), other and other._replace(data=""))


def _are_entries_equal(one: Entry, other: Entry, session: str) -> bool:
    if _visible_fields(one) != _visible_fields(other):
        return False
    return one.data == other.data or not find_changes(
        parse_data(one.data, session), parse_data(other.data, session)
    )


def _visible_fields(entry: Entry) -> tuple[str, str, str | None, str]:
    return entry.kind, entry.prompt, entry.reply, entry.outcome
