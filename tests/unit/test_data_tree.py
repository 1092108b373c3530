"""The tree of a session's data: what it shows of any data, and of any change."""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from flue_cli.jsondata.diff import find_changes
from flue_cli.jsondata.path import format_path
from flue_cli.render.data_tree import TreeRow, data_tree, tree_rows
from flue_cli.text import safe_text

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=20)
    | st.text("long ", min_size=60, max_size=80)
)
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=12) | st.dictionaries(st.text(max_size=8), inner, max_size=12),
    max_leaves=15,
)
DATA = st.dictionaries(st.text(max_size=8), VALUES, max_size=6)
FEW = st.dictionaries(
    st.sampled_from("abcd"), st.integers(0, 2) | st.lists(st.integers(0, 2), max_size=3), max_size=4
)


def tree(before: Any, after: Any) -> list[TreeRow]:
    return list(tree_rows(after, find_changes(before, after)))


@settings(max_examples=30)
@given(DATA, DATA)
def test_any_data_can_be_shown(before: Any, after: Any) -> None:
    """Whatever JSON holds, and however it changed, every key is there, on a line, and nothing is unsafe."""
    found = tree(before, after)

    assert {row.key for row in found if not row.depth and row.sign != "-"} >= {
        format_path((key,)) for key in after
    }
    for row in found:
        line = row.key + row.value
        assert "\n" not in line
        assert safe_text(line) == line
    assert str(data_tree(after, find_changes(before, after))).rstrip()


@settings(max_examples=20)
@given(DATA)
def test_what_did_not_change_has_no_marks(data: Any) -> None:
    """The same data has no marks, whatever it is, and no words about marks."""
    assert {row.sign for row in tree(data, data)} == {" "}
    assert "+ new" not in str(data_tree({"x": 1}, []))


@settings(max_examples=50)
@given(FEW, FEW)
def test_every_change_is_marked(before: Any, after: Any) -> None:
    """Of data that is shown whole, each change is a mark of its kind, and there are no other marks."""
    made = find_changes(before, after)
    kinds = ["+" if change.added else "-" if change.removed else "~" for change in made]
    signs = [row.sign for row in tree(before, after) if row.sign != " "]

    assert sorted(signs) == sorted(kinds)


def test_deep_data_is_closed_at_some_depth() -> None:
    """Data of a hundred levels is neither an error nor a hundred lines; it says how much is below."""
    deep: Any = "bottom"
    for _ in range(100):
        deep = {"down": [deep]}
    found = tree({}, deep)

    assert len(found) < 20
    assert found[-1].value in ("[1 entry]", "{1 key}")


def test_a_long_list_shows_where_it_changed() -> None:
    """Of a thousand entries the first, the last and the changed ones are shown; the others are counted."""
    before = {"rows": list(range(1000))}
    after = {"rows": [*range(500), "x", *range(501, 1000)]}
    found = tree(before, after)

    assert [row.value for row in found] == [
        "[1,000]",
        *map(str, range(8)),
        "… 492 more",
        '"x"  (was 500)',
        "… 497 more",
        "998",
        "999",
    ]


def test_many_changes_are_counted() -> None:
    """Where too much changed to show all of it, the rest is counted, and so is what is gone."""
    many, fewer = {"rows": list(range(100))}, {"rows": [-number for number in range(1, 51)]}
    changed = [row for row in tree(many, fewer) if row.sign == "~"]
    gone = [row for row in tree(many, {"rows": []}) if row.sign == "-"]

    assert [row.value for row in changed if "more" in row.value] == ["… 32 more, 32 of them changed"]
    assert len(gone) == 9
    assert gone[-1].value == "… 92 more"


def test_all_that_is_in_something_new_is_new() -> None:
    """Below a new or replaced object or list everything has the mark of what is new, cut or not."""
    found = tree({"b": 1}, {"a": [["x" * 70]] * 20, "b": {"c": {"d": ["y" * 70]}}})

    assert [(row.key, row.value) for row in found if row.sign == "~"] == [("b", "(was 1)")]
    assert {row.sign for row in found if row.key != "b"} == {"+"}
    assert any(row.value == "… 10 more" for row in found)
