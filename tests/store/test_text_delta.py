"""A delta turns one JSON text into the next, and nothing else into anything."""

from __future__ import annotations

import json
import time
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flue_cli.stores.sqlite.text_delta import apply_deltas, make_delta

texts = st.text(st.characters(max_codepoint=127))
few_letters = st.text("ab,0", max_size=12)  # common ends that overlap, commas, digits


@st.composite
def edits(draw: st.DrawFn) -> tuple[str, str, int, int]:
    """A text, the text after one stretch of it was replaced, and how much went and came."""
    before, removed, inserted, after = (draw(texts) for _ in range(4))
    return before + removed + after, before + inserted + after, len(removed), len(inserted)


def parts(change: str) -> tuple[int, int, str]:
    start, removed, inserted = change.split(",", 2)
    return int(start), int(removed), inserted


@given(texts, texts)
def test_a_splice_leads_from_any_text_to_any_other(old: str, new: str) -> None:
    """Whatever the two texts are, the change between them gives back the second."""
    assert apply_deltas(old, [make_delta(old, new)]) == new


@given(few_letters, few_letters)
def test_a_splice_is_right_where_the_common_ends_overlap(old: str, new: str) -> None:
    """Repetitions, as in `aa` to `aaa`, are not counted twice."""
    assert apply_deltas(old, [make_delta(old, new)]) == new


@given(st.lists(texts, min_size=1))
def test_a_chain_of_splices_leads_from_the_first_text_to_the_last(states: list[str]) -> None:
    """Every state of a text is found again by the changes up to it."""
    changes = [make_delta(old, new) for old, new in pairwise(states)]

    for number, state in enumerate(states):
        assert apply_deltas(states[0], changes[:number]) == state


@given(texts)
def test_no_changes_change_nothing(text: str) -> None:
    """A text without changes, or with one that changes nothing, stays what it is."""
    assert apply_deltas(text, []) == text
    assert apply_deltas(text, [make_delta(text, text)]) == text
    assert parts(make_delta(text, text))[1:] == (0, "")


@given(edits())
def test_a_splice_is_no_larger_than_the_edit(edit: tuple[str, str, int, int]) -> None:
    """What both texts share at their ends is never stored."""
    old, new, gone, come = edit
    _, removed, inserted = parts(make_delta(old, new))

    assert removed <= gone
    assert len(inserted) <= come


def test_appending_to_a_long_list_costs_what_was_appended() -> None:
    """The change does not grow with the data."""
    old = json.dumps({"tasks": ["task"] * 10_000, "count": 10_000}, separators=(",", ":"))
    new = old.replace('],"count"', ',"new"],"count"')

    assert make_delta(old, new) == f'{old.index("]")},0,,"new"'


def test_megabytes_are_no_trouble() -> None:
    """A change in the middle of 8 MB is found and applied well within a second."""
    old = "x" * 4_000_000 + "y" + "x" * 4_000_000
    new = "x" * 4_000_000 + "z" + "x" * 4_000_000
    began = time.monotonic()

    change = make_delta(old, new)

    assert change == "4000000,1,z"
    assert apply_deltas(old, [change]) == new
    assert time.monotonic() - began < 1


def test_a_splice_may_hold_commas_and_line_ends() -> None:
    """Only the first two commas divide a change."""
    assert make_delta("[]", '[1,2,"a"]') == '1,0,1,2,"a"'
    assert apply_deltas("[]", ['1,0,1,2,"a"']) == '[1,2,"a"]'
    assert apply_deltas("ab", ["1,0,\n,\x00,"]) == "a\n,\x00,b"


@pytest.mark.parametrize(
    "change",
    [
        "",
        "1",
        "1,2",
        "x,0,new",
        "0,x,new",
        ",,new",
        "1.5,0,new",
        "-1,0,new",
        "0,-1,new",
        "0,0,ü",
        "0,0,\ud83d",
    ],
)
def test_what_is_no_splice_is_a_value_error(change: str) -> None:
    """A malformed change is refused, wherever in a chain it stands."""
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        apply_deltas("text", [change])
    with pytest.raises(ValueError):  # noqa: PT011 - whatever it says
        apply_deltas("text", ["0,0,good", change, "0,0,good"])


@pytest.mark.parametrize("change", ["5,0,new", "4,1,new", "0,5,new", "3,2,", "999999999999999999999,0,new"])
def test_a_splice_past_the_end_is_a_value_error(change: str) -> None:
    """A change that was made for a longer text is refused."""
    with pytest.raises(ValueError, match="past the end"):
        apply_deltas("text", [change])


def test_a_text_that_is_not_ascii_is_a_value_error() -> None:
    """Positions count bytes, so a text in which characters are not bytes is refused."""
    with pytest.raises(ValueError, match="ascii"):
        apply_deltas("tëxt", ["0,0,new"])


@given(texts, st.text() | st.builds("{},{},{}".format, st.integers(-2, 20), st.integers(-2, 20), st.text()))
def test_a_change_is_applied_or_refused(text: str, change: str) -> None:
    """Whatever stands in place of a change, there is a text or a ValueError."""
    try:
        after = apply_deltas(text, [change])
    except ValueError:
        return
    assert after.isascii()
