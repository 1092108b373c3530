"""`flue sessions data`, `set`, `unset`, `edit`: a session's data, shown and changed by hand."""

from __future__ import annotations

import json
import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.hostile_texts import HOSTILE, OBEYED
from support.terminal_output import on_a_terminal

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Done, Flue, Process

KEEPS = """
import json
def agent(prompt, session, context):
    session.data.update(json.loads(prompt))
    return "kept"
"""
SLOW = """
import pathlib, time
def agent(prompt, session, context):
    yield "begun\\n"
    while not pathlib.Path(prompt).exists():
        time.sleep(0.01)
    session.data["answered"] = session.data.get("answered", 0) + 1
"""


def keep(flue: Flue, *values: Any) -> None:
    """Make session `a` of an agent whose data has these values, a turn each."""
    flue.agent("keeps", KEEPS)
    text = "\n".join(json.dumps(value) for value in values)
    done = flue("chat", "keeps", "-s", "a", "--lines", stdin=text)
    assert done.code == 0, done.err


def data_of(flue: Flue, *arguments: str) -> Any:
    done = flue("sessions", "data", "a", *arguments, stdin=None)
    assert (done.code, done.err) == (0, "")
    return json.loads(done.out)


def edit(flue: Flue, script: str, *arguments: str) -> Done:
    """`flue sessions edit` with an editor that is a shell script; $1 is the file."""
    editor = flue.folder / "editor"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o700)
    return flue("sessions", "edit", "a", *arguments, stdin=None, env={"EDITOR": str(editor)})


def drafts(flue: Flue) -> list[Path]:
    return list((flue.home / "drafts").glob("*"))


def turns(flue: Flue) -> list[tuple[str, str]]:
    document = json.loads(flue("sessions", "export", "a", stdin=None).out)
    return [(turn["kind"], turn["outcome"]) for turn in document["turns"]]


def test_data_is_json_whole_or_in_part(flue: Flue) -> None:
    """The whole in the order that it is kept in, a part by its path, as of now or of an earlier turn; ASCII."""
    keep(flue, {"z": 1, "tasks": [{"title": "Käse"}]}, {"user name": True})

    done = flue("sessions", "data", "a", stdin=None)

    assert done == (
        0,
        '{\n  "z": 1,\n  "tasks": [\n    {\n      "title": "K\\u00e4se"\n    }\n  ],\n  "user name": true\n}\n',
        "",
    )
    assert flue("sessions", "data", "keeps/a", "tasks[0].title", stdin=None).out == '"K\\u00e4se"\n'
    assert data_of(flue, '["user name"]') is True
    assert data_of(flue, "tasks[-1]") == {"title": "Käse"}
    assert data_of(flue, "--at", "1") == {"z": 1, "tasks": [{"title": "Käse"}]}
    assert data_of(flue, "--at", "0") == {}


def test_data_that_is_not_there(flue: Flue) -> None:
    """No such place or turn is 3 and says what there is; a path that cannot be read is 2, whatever the session."""
    keep(flue, {"tasks": ["milk"]})

    missing = flue("sessions", "data", "a", "tsks", stdin=None)
    assert (missing.code, missing.out) == (3, "")
    assert missing.err == "error: there is no tsks: the data has tasks\nhint: did you mean tasks?\n"
    assert flue("sessions", "data", "a", "tasks[1]", stdin=None).code == 3
    assert flue("sessions", "data", "a", "--at", "2", stdin=None).code == 3
    assert flue("sessions", "data", "a", "tasks", "--at", "0", stdin=None).code == 3
    assert flue("sessions", "data", "nobody", "a..b", stdin=None).code == 2
    assert flue("sessions", "data", "nobody", stdin=None).code == 3


def test_set_is_a_turn_of_its_own(flue: Flue) -> None:
    """The value is put where the path says, the turn is told, the history stays, and undo takes it back."""
    keep(flue, {"tasks": [{"title": "milk"}]})

    done = flue("sessions", "set", "a", "tasks[0].done", "true", stdin=None)

    assert done == (0, "", "keeps/a: tasks[0].done is true (turn 2)\n")
    assert flue("sessions", "set", "a", "tasks[1].title", '"Käse"', stdin=None).err.endswith(
        '"Käse" (turn 3)\n'
    )
    assert flue("sessions", "set", "a", "user.name.first", "null", stdin=None).code == 0
    assert data_of(flue) == {
        "tasks": [{"title": "milk", "done": True}, {"title": "Käse"}],
        "user": {"name": {"first": None}},
    }
    assert turns(flue) == [("prompt", "completed"), *[("edit", "completed")] * 3]
    assert flue("sessions", "undo", "a", stdin=None).code == 0
    assert list(data_of(flue)) == ["tasks"]


def test_an_agent_finds_what_was_set(flue: Flue) -> None:
    """The next turn starts from edited data, and its history has no trace of the edit."""
    flue("chat", "greeting", "-s", "a", "my name is Alice", stdin=None)
    flue("sessions", "set", "a", "userName", '"Zoë"', stdin=None)

    assert flue("chat", "greeting", "-r", "a", "hi", stdin=None).out.startswith("Hello again, Zoë!")


def test_set_what_is_so_already(flue: Flue) -> None:
    """The same value again makes no turn; 1.0 is not 1, and true is neither."""
    keep(flue, {"n": 1})

    done = flue("sessions", "set", "a", "n", "1", stdin=None)

    assert done == (0, "", "nothing was changed: keeps/a: n is already 1\n")
    assert len(turns(flue)) == 1
    assert flue("sessions", "set", "a", "n", "1.0", stdin=None).err == "keeps/a: n is 1.0 (turn 2)\n"
    assert flue("sessions", "set", "a", "n", "true", stdin=None).err == "keeps/a: n is true (turn 3)\n"


UNUSABLE = [
    ("n", "Bob", "VALUE is not JSON: expecting value at line 1 column 1\nhint: text needs quotes of its own: '\"Bob\"'"),
    ("n", '{"a":\n1,}', "VALUE is not JSON: expecting property name enclosed in double quotes at line 2 column 3"),
    ("n", '["NaN", NaN]', "VALUE is not JSON: NaN at line 1 column 9"),
    ("n", '{"a": 1, "a": 2}', 'VALUE is not JSON: an object has the key "a" twice'),
    ("n", '{"a": ["\\ud800"]}', "VALUE cannot be kept: a[0]: lone surrogate in text"),
    ("n", "1e999", "VALUE cannot be kept: inf"),
    ("n", "[" * 201 + "]" * 201, "VALUE cannot be kept: " + "[0]" * 13 + "[" + "…" + "0][0][0][0][0][0][0]: nested more than 200 levels deep"),
    ("n", "[" * 2000, "VALUE is not JSON: it is nested too deeply"),
    ("", "[1]", "VALUE is a list of 1: a session's data is an object, {…}"),
    ("tasks[5]", "1", "tasks is a list of 1: it has no entry [5]\nhint: the next one is tasks[1]"),
    ("n.x", "1", 'n is a number: it has no key "x"'),
    ("a b", "1", "'a b' is not a valid path: expected .key or [ at character 2\nhint: a path is written tasks[0].title, other keys as [\"any key\"]"),
]  # fmt: skip


def test_what_cannot_be_set(flue: Flue) -> None:
    """It is 2 with the place of the fault, and the session stays as it is."""
    keep(flue, {"n": 1, "tasks": [1]})

    for path, value, words in UNUSABLE:
        assert flue("sessions", "set", "a", path, value, stdin=None) == (2, "", f"error: {words}\n")
    assert data_of(flue) == {"n": 1, "tasks": [1]}


def test_a_change_that_makes_the_data_too_large(flue: Flue) -> None:
    """A value that fits by itself and not below what is there is refused, with its place."""
    keep(flue, {"a": {"b": {}}})

    done = flue("sessions", "set", "a", "a.b.c", "[" * 199 + "]" * 199, stdin=None)

    assert done.code == 2
    assert "the data cannot be kept like this: data.a.b.c[0]" in done.err
    assert "nested more than 200 levels deep" in done.err


def test_the_whole_is_set_with_an_empty_path(flue: Flue) -> None:
    """An empty PATH is all of the data."""
    keep(flue, {"n": 1})

    assert flue("sessions", "set", "a", "", '{"m": 2}', stdin=None).code == 0
    assert data_of(flue) == {"m": 2}


def test_unset(flue: Flue) -> None:
    """A key or an entry is taken out; what is not there is 3, all of it is 2."""
    keep(flue, {"n": 1, "tasks": ["a", "b", "c"]})

    assert flue("sessions", "unset", "a", "tasks[1]", stdin=None) == (
        0, "", "keeps/a: tasks[1] is removed (turn 2)\n",
    )  # fmt: skip
    assert flue("sessions", "unset", "a", "n", stdin=None).code == 0
    assert data_of(flue) == {"tasks": ["a", "c"]}
    assert flue("sessions", "unset", "a", "n", stdin=None).code == 3
    assert flue("sessions", "unset", "a", "", stdin=None).code == 2
    assert data_of(flue, "--at", "1") == {"n": 1, "tasks": ["a", "b", "c"]}


def begun(flue: Flue) -> Process:
    """A turn of session `a` that runs until the file `done` is there."""
    flue.agent("slow", SLOW)
    process = flue.start("chat", "slow", "-s", "a", "done")
    assert process.stdin
    assert process.stdout
    process.stdin.close()
    assert process.stdout.readline() == b"begun\n"
    return process


def test_set_waits_for_a_running_turn(flue: Flue) -> None:
    """Busy past --wait is 4; within it, what the turn left is kept and the value is put into that."""
    turn = begun(flue)

    busy = flue("sessions", "set", "a", "n", "1", "--wait", "0", stdin=None)
    assert (busy.code, "is busy" in busy.err) == (4, True)
    waiting = flue.start("sessions", "set", "a", "n", "1", "--wait", "30")
    time.sleep(0.2)
    (flue.folder / "done").touch()

    assert waiting.wait(30) == 0
    assert turn.wait(30) == 0
    assert data_of(flue) == {"answered": 1, "n": 1}


def test_edit_opens_the_data(flue: Flue) -> None:
    """Readable, private, with the ending that editors know; what is saved is the data of a new turn."""
    keep(flue, {"name": "Käse\x9b31m", "n": 1})

    done = edit(flue, 'cp "$1" seen.json; ls -l "$1" > mode; sed -i s/Käse/Milch/ "$1"')

    assert done == (0, "", "the data of keeps/a is changed (turn 2)\n")
    seen = (flue.folder / "seen.json").read_text()
    assert seen == '{\n  "name": "Käse\\u009b31m",\n  "n": 1\n}\n'
    assert (flue.folder / "mode").read_text().startswith("-rw-------")
    assert (flue.folder / "mode").read_text().strip().endswith(".json")
    assert data_of(flue) == {"name": "Milch\x9b31m", "n": 1}
    assert turns(flue)[1:] == [("edit", "completed")]
    assert drafts(flue) == []


@pytest.mark.parametrize("script", ["true", 'touch "$1"', 'echo \'{"n":    1}\' > "$1"'])
def test_edit_that_changes_nothing(flue: Flue, script: str) -> None:
    """The same data, however they are written, make no turn."""
    keep(flue, {"n": 1})

    assert edit(flue, script) == (0, "", "nothing was changed\n")
    assert len(turns(flue)) == 1
    assert drafts(flue) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"n": 1,\n}', "is not JSON: expecting property name enclosed in double quotes at line 2 column 1"),
        ('{\n  "n": Infinity}', "is not JSON: Infinity at line 2 column 8"),
        ("[]", "is an empty list: a session's data is an object, {…}"),
        ("", "is not JSON: expecting value at line 1 column 1"),
        ('{"n": 1, "n": 2}', 'is not JSON: an object has the key "n" twice'),
    ],
)
def test_edited_text_that_cannot_be_kept(flue: Flue, text: str, words: str) -> None:
    """It is refused with the place of the fault, and stays in a file that is named with what to do."""
    keep(flue, {"n": 1})

    done = edit(flue, f'printf %s {shlex.quote(text)} > "$1"')

    assert (done.code, done.out) == (2, "")
    (draft,) = drafts(flue)
    assert done.err == (
        f"nothing was saved; your text is kept in {draft}\n"
        f"when it is right: flue sessions set keeps/a '' \"$(cat {draft})\"\n"
        f"error: what you wrote {words}\n"
    )
    assert draft.read_text() == text
    assert data_of(flue) == {"n": 1}


def test_the_kept_text_can_be_taken_as_it_says(flue: Flue) -> None:
    """The command that is named takes the text, once it was put right."""
    keep(flue, {"n": 1})
    done = edit(flue, 'echo \'{"n": 2\' > "$1"')
    (draft,) = drafts(flue)
    draft.write_text('{"n": 2}')

    command = done.err.splitlines()[1].partition(": flue ")[2]
    subprocess.run(["sh", "-c", f"{shlex.join(flue.command)} {command}"], env=flue.env, check=True)

    assert data_of(flue) == {"n": 2}


def test_edit_of_a_session_that_changed_meanwhile(flue: Flue) -> None:
    """The editor holds nothing; if somebody else was faster it is 4, nothing is overwritten, the text is kept."""
    keep(flue, {"n": 1})

    done = edit(flue, f'{shlex.join(flue.command)} sessions set a m 2\necho \'{{"n": 5}}\' > "$1"')

    assert done.code == 4
    assert "session 'a' was changed meanwhile: it is at turn 2 now" in done.err
    assert data_of(flue) == {"n": 1, "m": 2}
    (draft,) = drafts(flue)
    assert str(draft) in done.err
    assert json.loads(draft.read_text()) == {"n": 5}


@pytest.mark.parametrize("script", ["exit 3", 'rm "$1"'])
def test_data_survive_an_editor_that_fails(flue: Flue, script: str) -> None:
    """It is 2, nothing is changed, and no file is left of what was not written."""
    keep(flue, {"n": 1})

    done = edit(flue, script)

    assert (done.code, data_of(flue), drafts(flue)) == (2, {"n": 1}, [])


def test_hostile_data_is_harmless(flue: Flue) -> None:
    """On a terminal nothing of the data, nor of a path or value that is not there, is obeyed."""
    keep(flue, {f"key {text}": text for text in HOSTILE.values()} | {"del": "\x7f"})
    hostile = "".join(HOSTILE[name] for name in ("colour", "c1", "clear"))

    for command in (
        ("data", "a"),
        ("data", "a", json.dumps([f"key {HOSTILE['colour']}"])),
        ("data", "a", hostile),
        ("set", "a", "n", hostile),
        ("set", "a", "n", json.dumps(hostile)),
    ):
        shown = on_a_terminal(flue, "sessions", *command).replace("\x1b[1;31merror:\x1b[0m", "error:")
        assert shown
        assert not OBEYED & set(shown), command
    assert data_of(flue)["del"] == "\x7f"
    assert '"del": "\\u007f"' in flue("sessions", "data", "a", stdin=None).out
