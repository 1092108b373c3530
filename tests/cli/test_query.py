"""`flue sessions query`: JSONPath over the data of all sessions."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st
from jsonpath import JSONPathEnvironment
from support.hostile_texts import HOSTILE, OBEYED
from support.real_terminal import Terminal

from flue_cli.installation import install_extra_command
from flue_cli.jsondata.path import get_value, parse_path

if TYPE_CHECKING:
    from conftest import Flue

KEEPS = """
import json
def agent(prompt, session, context):
    session.data.update(json.loads(prompt))
    return "kept"
"""
VALUES = st.recursive(
    st.integers(0, 3) | st.none(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"]), max_size=4), inner, max_size=3)
    ),
    max_leaves=10,
)


def keep(flue: Flue, session: str, data: object, agent: str = "keeps") -> None:
    flue.agent(agent, KEEPS)
    assert flue("chat", agent, "-s", session, "--", json.dumps(data), stdin=None).code == 0


def query(flue: Flue, *arguments: str) -> list[list[str]]:
    done = flue("sessions", "query", *arguments, stdin=None)
    assert (done.code, done.err) == (0, "")
    return [line.split("\t") for line in done.out.splitlines()]


def test_matches_of_all_sessions(flue: Flue) -> None:
    """Last used first, a line each: agent, session, normalized path, value as JSON; --agent filters."""
    keep(
        flue, "one", {"tasks": [{"title": "milk\tand\nbread", "done": False}, {"title": "mom", "done": True}]}
    )
    keep(flue, "two", {"tasks": []})
    keep(flue, "three", {"tasks": [{"title": "Käse", "done": False, "n": 1.0}]}, agent="other")

    assert query(flue, "$.tasks[?@.done == false].title") == [
        ["other", "three", "$['tasks'][0]['title']", '"K\\u00e4se"'],
        ["keeps", "one", "$['tasks'][0]['title']", '"milk\\tand\\nbread"'],
    ]
    assert query(flue, "$..n") == [["other", "three", "$['tasks'][0]['n']", "1.0"]]
    assert query(flue, "$", "--agent", "keeps")[0] == ["keeps", "two", "$", '{"tasks": []}']
    assert query(flue, "$.nothing") == []


def test_matches_as_json(flue: Flue) -> None:
    """--json is a list of documents, empty if nothing matches."""
    keep(flue, "ä", {"n": [1, None]})

    done = flue("sessions", "query", "$.n[*]", "--json", stdin=None)

    assert done.out.isascii()
    assert json.loads(done.out) == [
        {"agent": "keeps", "session": "ä", "path": "$['n'][0]", "value": 1},
        {"agent": "keeps", "session": "ä", "path": "$['n'][1]", "value": None},
    ]
    assert flue("sessions", "query", "$.x", "--json", stdin=None).out == "[]\n"


def test_what_was_undone_or_overwritten_is_not_found(flue: Flue) -> None:
    """A query sees the data as they are: not those of earlier turns, nor of what undo keeps aside."""
    keep(flue, "a", {"n": 1})
    keep(flue, "a", {"n": 2})
    flue("sessions", "undo", "a", stdin=None)
    keep(flue, "a", {"n": 3})

    assert query(flue, "$.n") == [["keeps", "a", "$['n']", "3"]]


@given(VALUES)
def test_a_path_that_is_printed_names_its_place(value: object) -> None:
    """The normalized paths of a query are paths for data, set and unset too, whatever the keys are."""
    matches = [
        (match.path, match.obj)
        for match in JSONPathEnvironment(strict=True).compile("$..*").finditer([value])
    ]
    for path, found in matches:
        assert get_value([value], parse_path(path)) == found


def test_a_printed_path_can_be_set(flue: Flue) -> None:
    """What a query prints goes into set as it is."""
    keep(flue, "a", {"it's": [{"x\\": 1}]})
    ((agent, session, path, _),) = query(flue, "$..*[?@ == 1]")

    assert flue("sessions", "set", f"{agent}/{session}", path, "2", stdin=None).code == 0
    assert json.loads(flue("sessions", "data", "a", stdin=None).out) == {"it's": [{"x\\": 2}]}


def test_an_empty_query(flue: Flue) -> None:
    """Nothing is no query."""
    assert flue("sessions", "query", " ", stdin=None).err.startswith("error: the query is empty\n")


def test_a_query_that_cannot_be_used(flue: Flue) -> None:
    """It is 2, with the place of the fault, before any session is looked at."""
    keep(flue, "a", {"tasks": []})

    for bad, words in (
        ("tasks", ": it does not begin with $"),
        ("a.b", ": it does not begin with $"),
        ("$.a b", " at character 5: 'b' is not expected"),
        ("$.a[1:2:0:3]", " at character 10: ':' is not expected"),
        ("$.tasks[", ": it ends too early"),
        ("$.a[*", ": it ends too early"),
        ("$.*.", ": a name or * is expected after a dot"),
        ("$[1e400]", ": an index is a whole number, not '1e400'"),
        ("$.a[?length(@.*)<3]", " at character 6: length() takes a single value"),
        ("$[?nope(@)]", " at character 4: function 'nope' is not defined"),
        ("$" + "[?@" * 500, ": it is too long or nested too deeply"),
        ("$" + ".a" * 3000, ": it is too long or nested too deeply"),
    ):
        done = flue("sessions", "query", bad, stdin=None)
        assert (done.code, done.out) == (2, "")
        assert done.err.startswith(f"error: '{bad}' is not valid JSONPath{words}\nhint: a query looks like ")


def test_data_as_deep_as_can_be(flue: Flue) -> None:
    """Two hundred levels are searched to the ground."""
    flue.agent(
        "deep",
        "def agent(prompt, session, context):\n    inner = 'found'\n"
        "    for _ in range(199):\n        inner = {'a': inner}\n"
        "    session.data['a'] = inner\n    return 'dug'",
    )
    assert flue("chat", "deep", "-s", "a", "x", stdin=None).code == 0

    assert query(flue, "$..[?@ == 'found']")[0][3] == '"found"'


def test_damaged_data_hide_no_others(flue: Flue) -> None:
    """The session is named on stderr, the others' matches are there, and the exit code is 5."""
    for name in ("one", "two", "three"):
        keep(flue, name, {"n": f"marked {name}"})
    content = flue.store.read_bytes()
    assert b"marked one" in content
    flue.store.write_bytes(
        content.replace(b"marked one", b"marked ane").replace(b"marked two", b"marked twa")
    )

    done = flue("sessions", "query", "$.n", stdin=None)

    assert done.code == 5
    assert done.out == "keeps\tthree\t$['n']\t\"marked three\"\n"
    assert [line.partition(":")[0] for line in done.err.splitlines() if "'one'" in line] == ["error"]
    assert [line.partition(":")[0] for line in done.err.splitlines() if "'two'" in line] == ["error"]


def test_without_the_library(flue: Flue) -> None:
    """It is 2 and says what to install; a fault inside of it is not taken for that, and help needs nothing."""
    keep(flue, "a", {"n": 1})
    blocker = flue.folder / "blocked"
    blocker.mkdir()
    (blocker / "sitecustomize.py").write_text("import sys\nsys.modules['jsonpath'] = None\n")

    done = flue("sessions", "query", "$.n", stdin=None, env={"PYTHONPATH": str(blocker)})

    assert done == (
        2,
        "",
        f"error: a query needs a library that is not installed\nhint: {install_extra_command('query')}\n",
    )
    assert flue("sessions", "query", "--help", stdin=None, env={"PYTHONPATH": str(blocker)}).code == 0
    (blocker / "sitecustomize.py").unlink()
    (blocker / "jsonpath.py").write_text("import flue_cli.nowhere\n")
    assert flue("sessions", "query", "$.n", stdin=None, env={"PYTHONPATH": str(blocker)}).code == 70


def test_rows_on_a_terminal_are_a_table(flue: Flue) -> None:
    """A table, in which letters are letters and nothing hostile is obeyed; where nothing is found it says so."""
    hostile = {f"key {text}": text for name, text in HOSTILE.items() if name != "long"}
    keep(flue, "a", {"name": "Käse"} | hostile)

    def shown(path: str) -> Terminal:
        command = [*flue.command, "sessions", "query", path]
        terminal = Terminal(command, cwd=flue.folder, env=flue.env | {"PAGER": "cat"}, rows=60)
        terminal.ended()
        return terminal

    assert [line.split() for line in shown("$.name").lines if "keeps" in line] == [
        ["keeps", "a", "$['name']", '"Käse"']
    ]
    assert shown("$.nothing").lines == ["nothing was found"]
    for path in ("$..*", f"$['{''.join(HOSTILE[name] for name in ('colour', 'c1'))}"):
        seen = shown(path).raw.decode().replace("\r\n", "\n")
        for colour in ("\x1b[0m", "\x1b[1;31m", "\x1b[1m", "\x1b[2m", "\x1b[36m"):
            seen = seen.replace(colour, "")
        assert not OBEYED & set(seen)
