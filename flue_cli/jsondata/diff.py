"""Diff of two JSON values, and its application to another value.

Two values are equal if their JSON is, except for the order of keys: 1, 1.0 and true are three values.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any, Final, NamedTuple

from flue_cli.errors import Conflict, FlueError
from flue_cli.jsondata.path import Path, format_path, get_value, put_value, remove_value


class _Absent:
    """Marker for a missing value, since None is a value."""

    def __repr__(self) -> str:
        return "absent"


_ABSENT: Final = _Absent()

_CLOSE_WORK = 100_000
"""Largest product of two lists' lengths for matching entry by entry; it takes half a second at worst."""

_ENCODER = json.JSONEncoder(sort_keys=True, separators=(",", ":"))


class Change(NamedTuple):
    """A difference at `path`: the value `before` and the value `after`.

    A list index in `path` refers to the old list for a removal, otherwise to the new one.
    """

    path: Path
    before: Any
    after: Any

    @property
    def added(self) -> bool:
        """True if the value is new; `before` has no meaning then."""
        return self.before is _ABSENT

    @property
    def removed(self) -> bool:
        """True if the value was removed; `after` has no meaning then."""
        return self.after is _ABSENT


def find_changes(before: Any, after: Any) -> list[Change]:
    """Compare two values: objects key by key, lists by their longest common entries.

    In an object, removed and different keys come in the order of `before`, then new ones in that of `after`.
    In a list, removed entries come first.
    """
    found: list[Change] = []
    _compare_values((), before, after, found)
    return found


def apply_changes(value: Any, changes: Iterable[Change]) -> Any:
    """Apply the changes to `value`, in their order; Conflict names the first that does not fit.

    A key of an existing object can always be set or removed. A change of a list's entry fits if the entry is
    as before the change, or already as after it. Changed keys keep their order, new ones come last.
    """
    for change in _order_for_applying(changes):
        value = _apply_change(value, change)
    return value


def diff_ranges(before: list[str], after: list[str]) -> Iterator[tuple[int, int, int, int]]:
    """Find the ranges in which two lists differ, as (start, stop) before and (begin, end) after."""
    head, shorter = 0, min(len(before), len(after))
    while head < shorter and before[head] == after[head]:
        head += 1
    tail = 0
    while tail < shorter - head and before[-1 - tail] == after[-1 - tail]:
        tail += 1
    old, new = before[head : len(before) - tail], after[head : len(after) - tail]
    if not old or not new or len(old) * len(new) > _CLOSE_WORK:
        yield head, head + len(old), head, head + len(new)
        return
    from difflib import SequenceMatcher

    matcher = SequenceMatcher(None, old, new, autojunk=False)
    in_place = sum(map(str.__eq__, old, new)) if len(old) == len(new) else 0
    if in_place and in_place >= sum(block.size for block in matcher.get_matching_blocks()):
        yield head, head + len(old), head, head + len(new)
        return
    for tag, start, stop, begin, end in matcher.get_opcodes():
        if tag != "equal":
            yield head + start, head + stop, head + begin, head + end


def _compare_values(path: Path, before: Any, after: Any, changes: list[Change]) -> None:
    if isinstance(before, dict) and isinstance(after, dict):
        for key, old in before.items():
            if key in after:
                _compare_values((*path, key), old, after[key], changes)
            else:
                changes.append(Change((*path, key), old, _ABSENT))
        changes += [Change((*path, key), _ABSENT, new) for key, new in after.items() if key not in before]
    elif isinstance(before, list) and isinstance(after, list):
        _compare_lists(path, before, after, changes)
    elif _canonical_json(before) != _canonical_json(after):
        changes.append(Change(path, before, after))


def _compare_lists(path: Path, before: list[Any], after: list[Any], changes: list[Change]) -> None:
    pairs, gone, new = _match_lists(
        [_canonical_json(entry) for entry in before], [_canonical_json(entry) for entry in after]
    )
    changes += [Change((*path, index), before[index], _ABSENT) for index in gone]
    for index in range(len(after)):
        if index in new:
            changes.append(Change((*path, index), _ABSENT, after[index]))
        elif index in pairs:
            _compare_values((*path, index), before[pairs[index]], after[index], changes)


def _match_lists(before: list[str], after: list[str]) -> tuple[dict[int, int], list[int], set[int]]:
    """Match two lists: returns indexes after mapped to those before, removed indexes, and new ones."""
    pairs: dict[int, int] = {}
    gone: list[int] = []
    new: set[int] = set()
    for start, stop, begin, end in diff_ranges(before, after):
        both = min(stop - start, end - begin)
        pairs.update({begin + offset: start + offset for offset in range(both)})
        gone += range(start + both, stop)
        new.update(range(begin + both, end))
    return pairs, gone, new


def _order_for_applying(changes: Iterable[Change]) -> Iterator[Change]:
    """Order the changes for applying them one by one: removals from one list start at its end."""
    gone: list[Change] = []
    for change in changes:
        if gone and not (change.removed and change.path[:-1] == gone[0].path[:-1]):
            yield from reversed(gone)
            gone = []
        if change.removed:
            gone.append(change)
        else:
            yield change
    yield from reversed(gone)


def _apply_change(value: Any, change: Change) -> Any:
    path = change.path
    holder = _value_at(value, path[:-1]) if path else _ABSENT
    step = path[-1] if path else None
    if isinstance(step, int) and change.added:
        if isinstance(holder, list) and step <= len(holder):
            return put_value(value, path[:-1], [*holder[:step], change.after, *holder[step:]])
        raise _changed_meanwhile_error(change, holder)
    now = _value_at(value, path)
    if _canonical_json(now) == _canonical_json(change.after) and not (
        isinstance(step, int) and change.removed
    ):
        return value
    if isinstance(step, str):
        if not isinstance(holder, dict):
            raise _changed_meanwhile_error(change, now)
    elif _canonical_json(now) != _canonical_json(change.before):
        raise _changed_meanwhile_error(change, now)
    if change.removed:
        return value if now is _ABSENT else remove_value(value, path)
    return put_value(value, path, change.after)


def _value_at(value: Any, path: Path) -> Any:
    try:
        return get_value(value, path)
    except FlueError:
        return _ABSENT


def _changed_meanwhile_error(change: Change, now: Any) -> Conflict:
    """Make the error for a change that does not fit the present value."""
    found = "nothing" if now is _ABSENT else _brief_value(now)
    expected = "a list with such a place" if change.added and isinstance(change.path[-1], int) else ""
    expected = expected or ("nothing" if change.added else _brief_value(change.before))
    return Conflict(f"{format_path(change.path) or 'the data'}: expected {expected}, found {found}")


def _brief_value(value: Any) -> str:
    text = _canonical_json(value)
    return text if len(text) <= 60 else f"{text[:59]}…"


def _canonical_json(value: Any) -> str:
    return "" if value is _ABSENT else _ENCODER.encode(value)
