"""Paths into data: how they are written, what is found there, what can be put there."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flue_cli.errors import NotFound
from flue_cli.jsondata.path import (
    BadPath,
    Path,
    describe_kind,
    format_path,
    get_value,
    parse_path,
    put_value,
    remove_value,
)

KEYS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(["a", "b", "tasks"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=12,
)
PATHS = st.lists(st.sampled_from("abc") | st.integers(-3, 3), max_size=4).map(tuple)
TASKS: dict[str, Any] = {"tasks": [{"title": "milk"}, {"title": "mom"}], "user name": "Ada", "done": True}


def copied(value: Any) -> Any:
    return json.loads(json.dumps(value))


@given(st.lists(KEYS | st.integers(-(10**14), 10**14)).map(tuple))
def test_a_path_that_is_shown_is_read_back(path: Path) -> None:
    """Whatever keys there are, their path can be written on a command line, and means the same."""
    assert format_path(path).isprintable()
    assert parse_path(format_path(path)) == path


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("", ()),
        ("tasks", ("tasks",)),
        ("tasks[0].title", ("tasks", 0, "title")),
        ("tasks[-1]", ("tasks", -1)),
        ('["user name"].x', ("user name", "x")),
        ('a["b.c"][0]', ("a", "b.c", 0)),
        ('["]\\"["]', (']"[',)),
        ('[""]', ("",)),
        ("first-name.größe.7", ("first-name", "größe", "7")),
        ("cafe\u0301", ("café",)),
        ("$", ()),
        ("$['tasks'][0]['it\\'s \"x\" \\\\ \\n']", ("tasks", 0, 'it\'s "x" \\ \n')),
        ("$.tasks[0]['']", ("tasks", 0, "")),
    ],
)
def test_paths_as_people_write_them(text: str, path: Path) -> None:
    """Plain words by dots, hyphens and other letters included, indexes and any key in brackets."""
    assert parse_path(text) == path


@pytest.mark.parametrize(
    ("text", "at"),
    [
        (".a", 1), ("a.", 2), ("a..b", 2), ("a b", 2), ("a[", 2), ("a[x]", 2), ("a[1.0]", 2), ("$a", 2), ("a.$", 2), ("['\\x']", 1), ("a[]", 2),
        ("a]", 2), ("[0]a", 4), ('["a]', 1), ('["\\x"]', 1), ('["\\ud800"]', 1), ("a\n", 2),
        ('a["\n"]', 2), ("[٣]", 1), ("\udcff", 1),
    ],
)  # fmt: skip
def test_a_path_that_cannot_be_read_says_where(text: str, at: int) -> None:
    """The error names the character at which reading ended."""
    with pytest.raises(BadPath, match=rf"at character {at}$") as caught:
        parse_path(text)
    assert caught.value.exit_code == 2


@given(VALUES, PATHS)
def test_what_is_put_is_there(value: Any, path: Path) -> None:
    """After put, get finds it; what was not on the way is as it was, and the value given is untouched."""
    before = copied(value)
    try:
        new = put_value(value, path, "new")
    except BadPath:
        return
    finally:
        assert value == before
    assert get_value(new, path) == "new"
    if path and isinstance(value, dict) and isinstance(path[0], str):
        assert {key: one for key, one in new.items() if key != path[0]} == {
            key: one for key, one in value.items() if key != path[0]
        }


@given(VALUES, PATHS)
def test_what_is_found_can_be_removed_and_put_again(value: Any, path: Path) -> None:
    """get, put and remove agree on what is there: what one finds, the others can replace and remove."""
    before = copied(value)
    try:
        found = get_value(value, path)
    except NotFound:
        with pytest.raises(NotFound):
            remove_value(value, path)
        return
    assert put_value(value, path, found) == value
    if path:
        rest, holder = remove_value(value, path), get_value(value, path[:-1])
        assert len(get_value(rest, path[:-1])) == len(holder) - 1
    assert value == before


@pytest.mark.parametrize(
    ("text", "words", "hint"),
    [
        ("taks", "there is no taks: the data has tasks, [\"user name\"], done", "did you mean tasks?"),
        ("tasks[2].title", "there is no tasks[2].title: tasks is a list of 2", ""),
        ("tasks[-3]", "there is no tasks[-3]: tasks is a list of 2", ""),
        ("tasks.title", "there is no tasks.title: tasks is a list of 2", ""),
        ("tasks[0].titel", "there is no tasks[0].titel: tasks[0] has title", "did you mean tasks[0].title?"),
        ('["user name"].x', 'there is no ["user name"].x: ["user name"] is text', ""),
        ("done[0]", "there is no done[0]: done is true", ""),
        ("[0]", "there is no [0]: the data is an object", ""),
    ],
)  # fmt: skip
def test_what_is_not_there_is_told_from_what_is(text: str, words: str, hint: str) -> None:
    """The longest part that is there is named, with what it is or has, and what may have been meant."""
    for ask in (get_value, remove_value):
        with pytest.raises(NotFound) as caught:
            ask(TASKS, parse_path(text))
        assert (caught.value.message, caught.value.hint, caught.value.exit_code) == (words, hint, 3)


def test_put_makes_objects_and_appends() -> None:
    """Missing objects are made on the way, the place just past a list's end appends, keys keep their order."""
    assert put_value({}, parse_path("a.b.c"), 1) == {"a": {"b": {"c": 1}}}
    assert put_value(TASKS, parse_path("tasks[2].title"), "dad")["tasks"][2] == {"title": "dad"}
    assert put_value({"a": [1]}, parse_path("a[1]"), 2) == {"a": [1, 2]}
    assert list(put_value(TASKS, parse_path("tasks"), 0)) == list(TASKS)
    assert put_value(TASKS, (), 5) == 5


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("tasks[3]", "tasks is a list of 2: it has no entry [3]"),
        ("tasks[-3]", "tasks is a list of 2: it has no entry [-3]"),
        ("tasks.x", 'tasks is a list of 2: it has no key "x"'),
        ("new[0]", "new is not a list: it has no entry [0]"),
        ("done.x", 'done is true: it has no key "x"'),
        ('["user name"][0]', '["user name"] is text: it has no entry [0]'),
        ("[0]", "the data is an object: it has no entry [0]"),
    ],
)
def test_put_where_nothing_can_be_put(text: str, words: str) -> None:
    """No list is made or gets a gap, nothing that is there is replaced by a container unasked."""
    with pytest.raises(BadPath) as caught:
        put_value(TASKS, parse_path(text), 1)
    assert (caught.value.message, caught.value.exit_code) == (words, 2)


def test_the_whole_is_not_removed() -> None:
    """An empty path names all of the data, which stays."""
    with pytest.raises(BadPath, match="name a part"):
        remove_value(TASKS, ())


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (None, "null"), ([], "an empty list"), ([1], "a list of 1"), ({}, "an empty object"),
        ({"a": 1}, "an object"), (True, "true"), (False, "false"), (1, "a number"), (1.5, "a number"), ("", "text"),
    ],
)  # fmt: skip
def test_kinds_have_words(value: Any, words: str) -> None:
    """Every JSON value is named in words of JSON, not of Python."""
    assert describe_kind(value) == words
