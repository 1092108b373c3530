"""Which names there can be."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flue_cli.errors import BadName
from flue_cli.names import MAX_NAME_CHARACTERS, bare_name, check_agent_name, check_session_name, generate_name


@pytest.mark.parametrize(
    "name",
    [
        "work",
        "my-unique-session-123",
        "two words",
        " ",
        "notes/2026/may",
        "/",
        "../../etc/passwd",
        "a:b?c*d",
        "🙂👩‍👩‍👧",
        "日本語",
        "[bold]",
        "%s {x}",
        "x-",
        "\u2013dash",
        "n" * MAX_NAME_CHARACTERS,
        "🙂" * MAX_NAME_CHARACTERS,
    ],
)
def test_a_session_may_be_called_almost_anything(name: str) -> None:
    """Spaces, slashes, emoji, every script, and up to 256 characters make a name."""
    assert check_session_name(name) == name


def test_a_name_is_the_same_however_it_was_typed() -> None:
    """An accent typed as a character of its own makes the same name as the composed letter."""
    assert check_session_name("cafe\u0301") == check_session_name("caf\u00e9") == "caf\u00e9"
    assert check_session_name("\u1112\u1161\u11ab") == "한"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "cannot be empty"),
        ("n" * (MAX_NAME_CHARACTERS + 1), "at most 256 characters, this one has 257"),
        ("-s", "cannot start with a hyphen: '-s'"),
        ("-", "cannot start with a hyphen"),
        ("--new", "cannot start with a hyphen"),
        ("a\nb", "cannot hold control characters: 'a b'"),
        ("a\tb", "cannot hold control characters"),
        ("a\rb", r"cannot hold control characters: 'a\^Mb'"),
        ("a\0b", "cannot hold control characters: 'a\\^@b'"),
        ("\x1b[31mred", "cannot hold control characters"),
        ("a\x7f", "cannot hold control characters"),
        ("a\x85", "cannot hold control characters"),
        ("a\u2028b", "cannot hold control characters"),
        ("a\u200eb", "cannot hold control characters"),
        ("a\u061cb", "cannot hold control characters"),
        ("invoice\u202efdp.exe", r"cannot hold control characters: 'invoice<U\+202E>fdp\.exe'"),
        ("a\u2069", "cannot hold control characters"),
        ("a\ud800", r"cannot hold control characters: 'a<U\+D800>'"),
        ("\udcff", "cannot hold control characters"),
    ],
)
def test_what_cannot_be_typed_back_is_no_name(name: str, reason: str) -> None:
    """Nothing, too much, a leading hyphen and what no eye can see are refused with the reason."""
    with pytest.raises(BadName, match=reason) as refused:
        check_session_name(name)

    assert refused.value.exit_code == 2


def test_a_name_is_measured_as_it_is_kept() -> None:
    """The limit counts characters after composing them, whichever way that changes the length."""
    assert check_session_name("e\u0301" * MAX_NAME_CHARACTERS) == "é" * MAX_NAME_CHARACTERS
    with pytest.raises(BadName, match="this one has 512"):
        check_session_name("\u0958" * MAX_NAME_CHARACTERS)  # composed, it is two characters each


@given(st.text(min_size=1, max_size=20))
def test_an_accepted_name_is_accepted_as_itself(name: str) -> None:
    """A name that was accepted names the same session when it is given again."""
    try:
        kept = check_session_name(name)
    except BadName:
        return

    assert check_session_name(kept) == kept == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("greeting", "greeting"),
        ("task_planner", "task-planner"),
        ("task-planner", "task-planner"),
        ("a__b", "a--b"),
        ("gpt-4.1", "gpt-4.1"),
        ("7", "7"),
        ("a" * 64, "a" * 64),
    ],
)
def test_an_agent_answers_to_both_spellings(name: str, kept: str) -> None:
    """Underscores and hyphens are the same in an agent's name."""
    assert check_agent_name(name) == kept


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a" * 65,
        "Greeting",
        "_private",
        "-x",
        ".x",
        "a b",
        "a/b",
        "../x",
        "a\n",
        "grüße",
        "a\x1b[0m",
        "a:b",
    ],
)
def test_an_agent_has_a_plain_name(name: str) -> None:
    """An agent's name that no file would have is refused, with what such names are made of."""
    with pytest.raises(BadName, match="cannot be an agent's name") as refused:
        check_agent_name(name)

    assert "\x1b" not in refused.value.message
    assert refused.value.hint == "agent names have 1 to 64 lower-case letters, digits, '.', '_' or '-'"
    assert refused.value.exit_code == 2


def test_a_session_without_a_name_is_given_a_readable_one() -> None:
    """Names that were made up are valid, can be typed, and hardly ever meet."""
    names = [generate_name() for _ in range(200)]

    assert all(check_session_name(name) == name for name in names)
    assert all(name.replace("-", "").isalnum() and name.isascii() and len(name) < 30 for name in names)
    assert len(set(names)) > 190


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("work", "work"),
        ("task-planner/work", "work"),
        ("task_planner/work", "work"),
        ("task-planner/a/b", "a/b"),
        ("other/work", "other/work"),
        ("task-planner", "task-planner"),
    ],
)
def test_a_session_named_with_its_own_agent_has_the_bare_name(text: str, name: str) -> None:
    assert bare_name(text, "task-planner") == name


@pytest.mark.parametrize(
    "text", ["task-planner/", "task-planner/-x", "task-planner/" + "x" * (MAX_NAME_CHARACTERS + 1)]
)
def test_the_bare_name_must_be_one(text: str) -> None:
    with pytest.raises(BadName):
        bare_name(text, "task-planner")
