"""The tree of a session: which turns it has, in which order, and where the forks stand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from flue_cli.repl.tree.rows import tree_text
from flue_cli.sessions import tree
from flue_cli.sessions.tree import timeline_tree
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.testing.run_turns import (
    AGENT,
    begin_expired_turn,
    begin_turn,
    edit_data,
    move_head_to,
    run_failed_turn,
    run_turns,
)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    url = "memory:" if request.param == "memory" else str(tmp_path / "flue.db")
    with closing(open_store(url)) as opened:
        yield opened


def drawn(store: Store, name: str = "main") -> list[str]:
    """The lines of the tree, with one blank and a bar before the remarks."""
    text = tree_text(timeline_tree(store, store.head(AGENT, name)), 60)
    return [re.sub(r" {3,}(\S+)$", r" | \1", line) for line in text.splitlines()]


def family(store: Store) -> None:
    """A session with two undone forks, the first of which has one of its own."""
    run_turns(store, "one", "two", "three")
    move_head_to(store, 2)
    run_turns(store, "instead", "more")
    move_head_to(store, 1)
    run_turns(store, "again")
    move_head_to(store, 2, "main~1")
    run_turns(store, "there", name="main~1")


def test_turns_stand_below_each_other(store: Store) -> None:
    """Every turn has a line with its number, its prompt and what became of it; * marks the head."""
    run_turns(store, "one\ntwo  three")
    run_failed_turn(store, "fail")
    edit_data(store, '{"n":1}')
    run_turns(store, "four")
    head = move_head_to(store, 3)
    store.set_label(head, 1, "good place")

    assert drawn(store) == [
        "  0  (start)",
        "  1  [good place] one two three",
        "  2  fail | failed",
        "* 3  (data edited)",
        "  4  four | undone",
    ]


def test_undone_forks_stand_where_they_part(store: Store) -> None:
    """A fork is indented below the last turn that it shares, with its name; its turns stand below it."""
    family(store)

    assert drawn(store) == [
        "  0  (start)",
        "  1  one",
        "  └─ 2  two | main~1",
        "     ├─ 3  three | main~1~1",
        "     └─ 3  instead | main~2",
        "        4  more",
        "     3  there",
        "* 2  again",
    ]


def test_the_tree_of_an_undone_fork_is_that_of_its_family(store: Store) -> None:
    """From within a fork its own line is not indented, and the session that it was left by is a branch."""
    family(store)

    assert drawn(store, "main~1~1") == [
        "  0  (start)",
        "  1  one",
        "  └─ 2  again | main",
        "  2  two",
        "  ├─ 3  instead | main~2",
        "  │  4  more",
        "  └─ 3  there | main~1",
        "* 3  three",
    ]


def test_a_fork_from_the_start_stands_below_it(store: Store) -> None:
    """A fork that shares no turn parts at the empty start."""
    run_turns(store, "one")
    move_head_to(store, 0)
    assert drawn(store) == ["* 0  (start)", "  1  one | undone"]
    run_turns(store, "other")

    assert drawn(store) == ["  0  (start)", "  └─ 1  one | main~1", "* 1  other"]


def test_a_prompt_that_is_not_settled_is_there(store: Store) -> None:
    """The prompt that runs, or was left by a crash, is the last line."""
    run_turns(store, "one")
    begin_turn(store, "two")
    begin_expired_turn(store, "crashed", "other")

    assert drawn(store)[1:] == ["* 1  one", "  2  two | running"]
    assert drawn(store, "other") == ["* 0  (start)", "  1  crashed | interrupted"]


def test_numbers_and_long_prompts_fit_the_width(store: Store) -> None:
    """Numbers are aligned, prompts are cut, and the remarks stay at the right edge."""
    run_turns(store, *(f"prompt {number} " + "x" * 50 for number in range(1, 12)))
    move_head_to(store, 9)
    run_turns(store, "instead")
    lines = tree_text(timeline_tree(store, store.head(AGENT, "main")), 40).splitlines()

    assert lines[9] == "   9  prompt 9 xxxxxxxxxxxxxxxxxxxxxxxx…"
    assert lines[10] == "   └─ 10  prompt 10 xxxxxxxxxxxx… main~1"
    assert lines[11] == "      11  prompt 11 xxxxxxxxxxxxxxxxxxx…"
    assert lines[12] == "* 10  instead"
    for width in range(1, 20):
        text = tree_text(timeline_tree(store, store.head(AGENT, "main")), width)
        assert max(map(len, text.splitlines())) <= width


def test_text_from_elsewhere_is_made_safe(store: Store) -> None:
    """Neither a prompt nor a label can send the terminal a command."""
    head = run_turns(store, "a\x1b[31mb")
    store.set_label(head, 1, "c\x1b]0;d\x07")

    assert "\x1b" not in "".join(drawn(store))


def test_a_long_session_shows_its_newest_turns(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only so many turns are read; the start says how many are left out."""
    monkeypatch.setattr(tree, "MAX_TREE_TURNS", 2)
    run_turns(store, "one", "two", "three", "four")
    move_head_to(store, 1)
    run_turns(store, "other", "more", "last")

    assert drawn(store) == [
        "  0  (start; 2 turns not shown)",
        "  └─ 3  three | main~1",
        "     4  four",
        "  3  more",
        "* 4  last",
    ]
