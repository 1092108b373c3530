"""/label: names that a person gives to turns, in the chat and wherever the turns are read."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from support.fake_terminal import ChatDriver, echo, without_colours
from support.real_terminal import CTRL_D, ENTER

from flue_cli.stores import open_store

if TYPE_CHECKING:
    from conftest import Flue


def labels(driver: ChatDriver) -> list[str]:
    head = driver.store.redo_head(driver.store.head("tester", "work"))
    return [entry.label for entry in driver.store.entries(head, 1, head.turn)]


def test_the_last_turn_is_labelled(driver: ChatDriver) -> None:
    """/label TEXT labels the last turn, replaces its label, and /history shows it."""
    page = driver.chat(
        echo,
        *("one" + ENTER, "two" + ENTER, "/label a first  try" + ENTER, "/label good place" + ENTER),
        *("three" + ENTER, "/history" + ENTER, CTRL_D),
    )

    assert "turn 2: [a first try]\n" in page
    assert labels(driver) == ["", "good place", ""]
    heading = next(line for line in without_colours(page).splitlines() if line.startswith("[2]"))
    assert heading.endswith("  [good place]")


def test_labels_are_shown_and_taken_off(driver: ChatDriver) -> None:
    """/label alone shows the labels; /label - takes the last turn's label off."""
    page = driver.chat(
        echo,
        *("one" + ENTER, "/label start" + ENTER, "two" + ENTER, "/label end" + ENTER, "/label" + ENTER),
        *("/label -" + ENTER, "/label" + ENTER, CTRL_D),
    )

    assert "turn 1: [start]\nturn 2: [end]\nturn 2 has no label now\nturn 1: [start]\n" in page
    assert labels(driver) == ["start", ""]


def test_a_label_needs_a_turn(driver: ChatDriver) -> None:
    """Before the first prompt, and at the start of the session, there is nothing to label."""
    page = driver.chat(
        echo, "/label" + ENTER, "/label x" + ENTER, "one" + ENTER, "/undo" + ENTER, "/label x" + ENTER, CTRL_D
    )

    assert "no turn has a label; /label TEXT gives the last one a label" in page
    assert "error: nothing has been said yet" in page
    assert "error: there is no turn to label: the session is at its start" in page
    assert labels(driver) == [""]


@pytest.mark.parametrize(
    ("text", "problem"),
    [("x" * 101, "a label has at most 100 characters, this one has 101"), ("a\u202eb", "control characters")],
)
def test_a_label_is_a_short_text(driver: ChatDriver, text: str, problem: str) -> None:
    """A label that is too long, or would turn the text around, is refused."""
    page = driver.chat(echo, "one" + ENTER, f"/label {text}" + ENTER, CTRL_D)

    assert problem in page
    assert labels(driver) == [""]


@pytest.fixture
def labelled(flue: Flue) -> Flue:
    """With a session of two turns, the first of which has a label."""
    flue("chat", "greeting", "-s", "alice", "--lines", stdin="one\ntwo\n")
    store = open_store(str(flue.store))
    store.set_label(store.head("greeting", "alice"), 1, "good\u2028place")
    store.close()
    return flue


def test_labels_are_shown_with_their_turns(labelled: Flue) -> None:
    """`sessions show` has the label in the turn's heading, made safe."""
    assert labelled("sessions", "show", "alice").out.startswith("[1] [good<U+2028>place]\n> one\n")


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_labels_are_exported_and_imported(labelled: Flue, form: str) -> None:
    """An export has a label where there is one, and an import gives it back."""
    file = f"alice.{form}"
    labelled("sessions", "export", "alice", "-o", file)
    labelled("sessions", "delete", "alice", "--yes")
    labelled("sessions", "import", file)

    turns = json.loads(labelled("sessions", "export", "alice").out)["turns"]
    assert [turn.get("label") for turn in turns] == ["good\u2028place", None]


def test_a_label_given_since_is_no_other_content(labelled: Flue) -> None:
    """An export whose turns have other labels now is still the same conversation: the import skips it."""
    labelled("sessions", "export", "alice", "-o", "alice.json")
    store = open_store(str(labelled.store))
    store.set_label(store.head("greeting", "alice"), 2, "later")
    store.close()

    assert labelled("sessions", "import", "alice.json").code == 0


def test_labels_are_redacted(labelled: Flue) -> None:
    """--redact takes its matches out of labels too."""
    out = labelled("sessions", "export", "alice", "--redact", "pl.ce").out
    assert json.loads(out)["turns"][0]["label"] == "good\u2028[redacted]"


def test_a_label_that_is_not_text_is_refused(labelled: Flue) -> None:
    """An import whose label is a number says so, and imports nothing."""
    document = json.loads(labelled("sessions", "export", "alice").out)
    document["turns"][0]["label"] = 7
    done = labelled("sessions", "import", "-", "--session", "bob", stdin=json.dumps(document))

    assert done.code == 2
    assert '"label" is not text' in done.err
