"""What differs between two values, and the same done to another."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flue_cli.errors import Conflict
from flue_cli.jsondata.diff import Change, apply_changes, find_changes
from flue_cli.jsondata.path import format_path, parse_path, put_value

SCALARS = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([0.0, -0.0, 1.0, "", "a", "b"])
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.sampled_from("abcd"), inner, max_size=4),
    max_leaves=25,
)


def text(value: Any) -> str:
    """JSON that tells 1, 1.0 and true apart, and not the order of keys."""
    return json.dumps(value, sort_keys=True)


def words(before: Any, after: Any) -> list[str]:
    """The changes as short lines: `- path`, `+ path` or `path: before -> after`."""
    return [
        f"- {format_path(change.path)}"
        if change.removed
        else f"+ {format_path(change.path)}"
        if change.added
        else f"{format_path(change.path)}: {json.dumps(change.before)} -> {json.dumps(change.after)}"
        for change in find_changes(before, after)
    ]


@given(VALUES, VALUES)
def test_changes_made_again_give_what_is_after(before: Any, after: Any) -> None:
    """Whatever two values are, the changes between them turn the one into the other, and touch neither."""
    texts = text(before), text(after)
    assert text(apply_changes(before, find_changes(before, after))) == text(after)
    assert (text(before), text(after)) == texts


@given(VALUES)
def test_a_value_does_not_differ_from_itself(value: Any) -> None:
    """A value, and a copy of it with its keys in another order, have no changes."""
    assert find_changes(value, json.loads(text(value))) == []


@given(st.lists(VALUES, max_size=6), st.lists(VALUES, min_size=1, max_size=3), st.data())
def test_an_insertion_is_an_insertion(around: list[Any], new: list[Any], data: st.DataObject) -> None:
    """Entries put into a list anywhere, and nothing else, are as many additions; taken out, removals."""
    at = data.draw(st.integers(0, len(around)))
    longer = [*around[:at], *new, *around[at:]]
    assert [change.added for change in find_changes(around, longer)] == [True] * len(new)
    assert [change.removed for change in find_changes(longer, around)] == [True] * len(new)


@given(VALUES, VALUES, SCALARS)
def test_changes_leave_alone_what_they_do_not_name(before: Any, after: Any, other: Any) -> None:
    """The same changes fit a value that differs elsewhere, and what differs there stays."""
    assert text(
        apply_changes({"mine": before, "other": other}, find_changes({"mine": before}, {"mine": after}))
    ) == text({"mine": after, "other": other})


@given(VALUES, VALUES, VALUES)
def test_a_misfit_is_told_and_half_done_nothing(before: Any, after: Any, other: Any) -> None:
    """Changes made to a value that they were not meant for either work or are a conflict (4), never a crash."""
    assume(text(before) != text(other))
    kept = text(other)
    with contextlib.suppress(Conflict):
        apply_changes(other, find_changes(before, after))
    assert text(other) == kept


def test_changes_are_as_small_as_one_reads_them() -> None:
    """Key by key in order, entries matched with their like, numbers and booleans told apart."""
    before = {"n": 1, "tasks": [{"t": "a"}, {"t": "b"}, {"t": "c"}], "gone": [], "same": {"x": [1, 2]}}
    after = {
        "new": {},
        "tasks": [{"t": "0"}, {"t": "a"}, {"t": "b"}, {"t": "C"}],
        "n": 1.0,
        "same": {"x": [1, 2]},
    }

    assert words(before, after) == [
        "n: 1 -> 1.0",
        "+ tasks[0]",
        'tasks[3].t: "c" -> "C"',
        "- gone",
        "+ new",
    ]
    assert words([1, True, None], [True, True, 0]) == ["[0]: 1 -> true", "[2]: null -> 0"]
    assert words(list("abcdef"), list("adf")) == ["- [1]", "- [2]", "- [4]"]
    assert words({"a": [1]}, {"a": {"0": 1}}) == ['a: [1] -> {"0": 1}']


def test_long_lists_take_no_time() -> None:
    """Twenty thousand entries, all of them different, are compared one by one."""
    before, after = list(range(20_000)), list(range(20_000, 40_001))

    made = find_changes(before, after)

    assert len(made) == 20_001
    assert made[-1].added


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": 1}, {"a": 2}),
        ({"a": 2, "b": 0}, {"a": 2, "b": 0}),
        ({"a": 3}, {"a": 2}),
        ({}, {"a": 2}),
        ([], "a: expected 1, found nothing"),
    ],
)
def test_a_key_of_an_object_can_always_be_set(value: Any, expected: Any) -> None:
    """What a person set is set, whatever was there; where there is not an object it is a conflict in words."""
    made = find_changes({"a": 1}, {"a": 2})
    if isinstance(expected, str):
        with pytest.raises(Conflict) as caught:
            apply_changes(value, made)
        assert (caught.value.message, caught.value.exit_code) == (expected, 4)
    else:
        assert apply_changes(value, made) == expected


def test_an_entry_goes_only_into_a_list() -> None:
    """A new entry of a list needs the list, as long as to its place; a new key needs an object."""
    made = find_changes({"a": [1, 2]}, {"a": [1, 2, 3]})
    assert apply_changes({"a": [0, 0, 0]}, made) == {"a": [0, 0, 3, 0]}
    for other, found in (({"a": [1]}, "[1]"), ({"a": {}}, "{}"), ({}, "nothing")):
        with pytest.raises(Conflict, match=r"a\[2\]: expected a list with such a place, found ") as caught:
            apply_changes(other, made)
        assert caught.value.message.endswith(found)
    with pytest.raises(Conflict, match=r"a\.b: expected nothing"):
        apply_changes({"a": [1]}, find_changes({"a": {}}, {"a": {"b": 1}}))


def test_changed_keys_keep_their_place() -> None:
    """Reapplying changes a value in place and adds at the end: the JSON of an agent's edit stays the same text."""
    before = {"a": 1, "b": {"c": 2, "d": 3}}
    after = put_value(put_value(before, parse_path("b.c"), 5), parse_path("b.e"), 6)
    assert json.dumps(apply_changes(before, find_changes(before, after))) == json.dumps(after)
    assert find_changes(before, after)[0] == Change(("b", "c"), 2, 5)
