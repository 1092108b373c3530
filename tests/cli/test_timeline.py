"""`flue sessions undo`, `redo`, `rewind`, `fork`, and what the other commands show of a timeline."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import time
from typing import TYPE_CHECKING, Any

import pytest
from support.real_terminal import Terminal

if TYPE_CHECKING:
    from conftest import Done, Flue

COUNTING = """
import os, time

def agent(prompt, session, context):
    if prompt == "fail":
        raise ValueError("as asked")
    if prompt == "wait":
        yield "waiting\\n"
        while not os.path.exists("gate"):
            time.sleep(0.01)
    session.data["said"] = [*session.data.get("said", []), prompt]
    yield f"{len(session.data['said'])} {len(session.history)}"
"""


@pytest.fixture
def counting(flue: Flue) -> Flue:
    """With an agent that counts, by its data and by its history."""
    flue.agent("counting", COUNTING)
    return flue


def say(flue: Flue, session: str, *prompts: str) -> Done:
    """A turn of each prompt."""
    return flue("chat", "counting", "-s", session, "--lines", stdin="".join(f"{line}\n" for line in prompts))


def sessions(flue: Flue, *arguments: str, stdin: str | None = None) -> Done:
    return flue("sessions", *arguments, stdin=stdin)


def document(flue: Flue, session: str, *options: str) -> dict[str, Any]:
    """The session's export."""
    found: dict[str, Any] = json.loads(sessions(flue, "export", session, *options).out)
    return found


def said(flue: Flue, session: str) -> list[str]:
    """What was said in the session, as the agent remembers it."""
    words: list[str] = document(flue, session)["data"].get("said", [])
    return words


def names(flue: Flue, *options: str) -> list[str]:
    return [line.split("\t")[1] for line in sessions(flue, "list", *options).out.splitlines()]


def test_undo_and_redo(counting: Flue) -> None:
    """The newest turn is taken back, N turns are, and they come again: for the agent it never was otherwise."""
    say(counting, "a", "one", "two", "three")
    before = document(counting, "a")

    assert sessions(counting, "undo", "a") == (0, "", "turn 3 undone: counting/a is at turn 2\n")
    assert said(counting, "a") == ["one", "two"]
    assert sessions(counting, "undo", "a", "2").err == "turns 1 to 2 undone: counting/a is at turn 0\n"
    assert sessions(counting, "show", "a") == (0, "", "")
    assert sessions(counting, "redo", "a").err == "turn 1 redone: counting/a is at turn 1\n"
    assert sessions(counting, "redo", "a", "2").err == "turns 2 to 3 redone: counting/a is at turn 3\n"
    after = document(counting, "a")
    assert after["version"] > before["version"]
    assert after | {"version": 0, "updated_at": ""} == before | {"version": 0, "updated_at": ""}

    sessions(counting, "undo", "a")
    assert say(counting, "a", "instead").out == "3 4\n"
    assert said(counting, "a") == ["one", "two", "instead"]


def test_turns_that_failed_are_not_counted(counting: Flue) -> None:
    """Undo goes back completed turns and edits, over those that failed; redo brings both back."""
    for prompts in (["one", "fail"], ["fail"], ["two", "fail"]):
        say(counting, "a", *prompts)
    sessions(counting, "set", "a", "n", "1")

    assert sessions(counting, "undo", "a").err == "turn 6 undone: counting/a is at turn 5\n"
    assert sessions(counting, "undo", "a").err == "turns 4 to 5 undone: counting/a is at turn 3\n"
    assert said(counting, "a") == ["one"]
    assert sessions(counting, "undo", "a").err == "turns 1 to 3 undone: counting/a is at turn 0\n"
    assert sessions(counting, "redo", "a").err == "turns 1 to 3 redone: counting/a is at turn 3\n"
    assert sessions(counting, "redo", "a", "2").err == "turns 4 to 6 redone: counting/a is at turn 6\n"
    assert document(counting, "a")["data"] == {"said": ["one", "two"], "n": 1}


def test_more_than_there_are_moves_nothing(counting: Flue) -> None:
    """Too many, or none to undo or redo, is 3 and says how many there are."""
    say(counting, "a", "one", "two", "three")
    sessions(counting, "undo", "a")
    before = document(counting, "a")

    for command, words in (
        (("undo", "a", "3"), "error: session 'a' has only 2 turns and edits that can be undone\n"),
        (("redo", "a", "2"), "error: session 'a' has only one turn or edit that can be redone\n"),
        (
            ("rewind", "a", "--to", "4"),
            "error: session 'a' has no turn 4\nhint: it has turns 1 to 3; 0 is the start\n",
        ),
    ):
        assert sessions(counting, *command) == (3, "", words)
    assert document(counting, "a") == before

    sessions(counting, "rewind", "a", "--to", "0")
    nothing = "error: session 'a' has nothing to {}\n"
    assert sessions(counting, "undo", "a") == (3, "", nothing.format("undo"))
    say(counting, "a", "new")
    assert sessions(counting, "redo", "a") == (3, "", nothing.format("redo"))


def test_rewind_goes_to_any_turn(counting: Flue) -> None:
    """Back, forward to what was undone, to where it stands already, and to the empty start."""
    say(counting, "a", "one", "two", "three")

    for to, words, remembered in (
        (1, "turns 2 to 3 undone: counting/a is at turn 1\n", ["one"]),
        (2, "turn 2 redone: counting/a is at turn 2\n", ["one", "two"]),
        (2, "counting/a is at turn 2\n", ["one", "two"]),
        (0, "turns 1 to 2 undone: counting/a is at turn 0\n", []),
        (3, "turns 1 to 3 redone: counting/a is at turn 3\n", ["one", "two", "three"]),
    ):
        assert sessions(counting, "rewind", "a", "--to", str(to)) == (0, "", words)
        assert said(counting, "a") == remembered


def test_what_cannot_be_is_refused(counting: Flue) -> None:
    """A session or turn that is not there is 3, what cannot be used is 2, a taken name 4; nothing changes."""
    say(counting, "a", "one")
    for code, *arguments in (
        (3, "undo", "nobody"),
        (3, "fork", "nobody", "new"),
        (3, "rewind", "nobody", "--to", "0"),
        (2, "undo", "a", "0"),
        (2, "redo", "a", "x"),
        (2, "rewind", "a"),
        (2, "rewind", "a", "--to", "-1"),
        (2, "undo", "a", "--wait", "-1"),
        (2, "fork", "a", ""),
        (2, "fork", "a", "x" * 257),
        (2, "fork", "a", "two\nlines"),
        (2, "fork", "a", "--", "-x"),
        (3, "fork", "a", "new", "--at", "2"),
        (2, "fork", "a", "new", "--at", "-1"),
        (4, "fork", "a", "a"),
        (3, "show", "a", "--at", "2"),
        (3, "export", "a", "--at", "2"),
    ):
        done = sessions(counting, *map(str, arguments))
        assert (done.code, done.out) == (code, ""), arguments
        assert done.err.startswith("error: ")
    assert names(counting, "--all") == ["a"]


def test_a_fork_goes_its_own_way(counting: Flue) -> None:
    """It has what its parent had as of that turn, knows where it came from, and outlives it."""
    say(counting, "a", "one", "two")

    done = sessions(counting, "fork", "a", "b", "--at", "1")
    assert done == (0, "", "counting/b is a copy of counting/a as of turn 1\n")
    assert (
        sessions(counting, "fork", "counting/a", "c").err
        == "counting/c is a copy of counting/a as of turn 2\n"
    )
    assert say(counting, "b", "here").out == "2 2\n"
    assert say(counting, "a", "there").out == "3 4\n"
    assert said(counting, "b") == ["one", "here"]
    assert document(counting, "b")["forked_from"] == {"agent": "counting", "session": "a", "turn": 1}
    assert sessions(counting, "redo", "b").code == 3

    sessions(counting, "rename", "a", "renamed")
    assert document(counting, "b")["forked_from"]["session"] == "renamed"
    sessions(counting, "delete", "renamed", "-y")
    assert document(counting, "b")["forked_from"]["session"] == "renamed"
    assert said(counting, "c") == ["one", "two"]


def test_show_and_export_as_of_a_turn(counting: Flue) -> None:
    """--at shows the session as it was then, --last the newest turns of that; nothing is moved."""
    say(counting, "a", "one", "two", "three", "fail")
    flat = sessions(counting, "show", "a").out
    assert flat.count("\n> ") == 4

    assert sessions(counting, "show", "a", "--at", "2").out == "[1]\n> one\n1 0\n\n[2]\n> two\n2 2\n"
    assert sessions(counting, "show", "a", "--at", "2", "--last", "1").out == "[2]\n> two\n2 2\n"
    assert sessions(counting, "show", "a", "--at", "0") == (0, "", "")
    then = document(counting, "a", "--at", "2")
    assert (then["data"], [turn["turn"] for turn in then["turns"]]) == ({"said": ["one", "two"]}, [1, 2])
    assert document(counting, "a", "--at", "0")["data"] == {}
    assert json.loads(sessions(counting, "show", "a", "--at", "2", "--json").out) == then
    last = document(counting, "a", "--at", "3", "--last", "2")
    assert [turn["messages"][0]["content"] for turn in last["turns"]] == ["two", "three"]
    assert sessions(counting, "show", "a").out == flat

    sessions(counting, "undo", "a", "2")
    assert (
        sessions(counting, "show", "a", "--at", "2").code == 3
    )  # it is not on the line, though redo would find it
    assert sessions(counting, "show", "a").out == "[1]\n> one\n1 0\n"


def test_what_was_undone_is_kept(counting: Flue) -> None:
    """A new turn after an undo keeps the old line as NAME~1: hidden unless asked for, found by its name."""
    say(counting, "other", "hello")
    say(counting, "a", "one", "two", "three")
    sessions(counting, "undo", "a", "2")
    say(counting, "a", "instead")

    assert names(counting) == ["a", "other"]
    assert names(counting, "--tree") == ["a", "other"]
    assert names(counting, "--all") == ["a", "a~1", "other"]
    assert said(counting, "a~1") == ["one", "two", "three"]
    assert counting("chat", "counting", "-c", "on", stdin=None).out == "3 4\n"
    assert said(counting, "a") == ["one", "instead", "on"]
    assert sessions(counting, "resume", "a~1", "on").out == "4 6\n"
    assert counting("chat", "-c", stdin="still a").out == "4 6\n"
    assert said(counting, "a") == ["one", "instead", "on", "still a"]


def test_a_list_tells_where_forks_came_from(counting: Flue) -> None:
    """In a pipe --tree adds session and turn to each line; as JSON it adds forked_from, or null."""
    say(counting, "a b", "one", "two")
    sessions(counting, "fork", "a b", "fork", "--at", "1")
    sessions(counting, "undo", "a b")
    say(counting, "a b", "instead")

    lines = [line.split("\t") for line in sessions(counting, "list", "--tree", "--all").out.splitlines()]
    assert [(line[1], line[2], line[5:]) for line in lines] == [
        ("a b", "2", ["instead", "", ""]),
        ("fork", "1", ["one", "a b", "1"]),
        ("a b~1", "2", ["two", "a b", "1"]),
    ]
    found = json.loads(sessions(counting, "list", "--tree", "--json").out)
    assert [(one["session"], one["forked_from"]) for one in found] == [
        ("a b", None),
        ("fork", {"agent": "counting", "session": "a b", "turn": 1}),
    ]
    assert "forked_from" not in json.loads(sessions(counting, "list", "--json").out)[0]


@pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")
def test_forks_are_drawn_below_their_parent(counting: Flue) -> None:
    """On a terminal --tree is a tree, forks in the order in which they leave their parent."""
    say(counting, "main", "one", "two", "three")
    sessions(counting, "fork", "main", "late", "--at", "2")
    sessions(counting, "fork", "main", "early", "--at", "1")
    sessions(counting, "fork", "early", "grandchild")
    say(counting, "alone", "hello")

    command = [*counting.command, "sessions", "list", "--tree"]
    terminal = Terminal(command, cwd=counting.folder, env=counting.env, columns=120)
    code = terminal.ended()
    heading, _, *lines = terminal.lines
    drawn = [line[heading.index("session") : heading.index("turns")].rstrip() for line in lines]
    terminal.close()

    assert code == 0
    assert drawn == [
        "alone",
        "main",
        "├─ early (from turn 1)",
        "│  └─ grandchild (from turn 1)",
        "└─ late (from turn 2)",
    ]


def test_delete_names_the_undone_forks(counting: Flue) -> None:
    """The question lists what goes along; a person's own fork stays, and what was said is in no file."""
    say(counting, "a", "one", "xyzzy-secret")
    sessions(counting, "fork", "a", "mine", "--at", "1")
    sessions(counting, "undo", "a")
    say(counting, "a", "instead")

    refused = sessions(counting, "delete", "a", stdin="n\n")
    assert refused.code == 0
    assert "Delete counting/a (2 turns), counting/a~1 (2 turns) for good? [y/N]" in refused.err
    assert names(counting, "--all") == ["a", "a~1", "mine"]
    done = sessions(counting, "delete", "a~1", "a", stdin="y\n")
    assert done.code == 0
    assert done.err.endswith("deleted counting/a\ndeleted counting/a~1\n")
    assert names(counting, "--all") == ["mine"]
    assert said(counting, "mine") == ["one"]
    left = [path.read_bytes() for path in counting.home.glob("flue.db*") if path.is_file()]
    assert not any(b"xyzzy" in content for content in left)


def test_an_undone_fork_is_renamed_with_its_session(counting: Flue) -> None:
    """It is named after its session, and renamed with it; by itself it is 2, with a hint that works."""
    say(counting, "it's", "one", "two")
    sessions(counting, "undo", "it's")
    say(counting, "it's", "instead")

    done = sessions(counting, "rename", "it's~1", "mine")
    assert done.code == 2
    assert done.err.startswith(
        "error: session 'it's~1' has undone turns of 'it's', and is named after it\nhint: "
    )
    command = shlex.split(done.err.partition(": flue ")[2].replace("NEW", "mine"))
    assert counting(*command, stdin=None).code == 0
    assert said(counting, "mine") == ["one", "two"]

    sessions(counting, "rename", "it's", "b")
    assert names(counting, "--all") == ["mine", "b", "b~1"]
    assert said(counting, "b~1") == ["one", "two"]


def test_a_key_is_answered_though_its_turn_was_undone(counting: Flue) -> None:
    """A retry gets the reply it would have got, and undoes nothing of the undo."""
    command = ("chat", "counting", "-s", "a", "--turn-key", "k", "--json")
    first = json.loads(counting(*command, "one", stdin=None).out)
    sessions(counting, "undo", "a")

    again = json.loads(counting(*command, "one", stdin=None).out)

    assert again["replayed"] is True
    assert (again["reply"], again["data"], again["turn"]) == (first["reply"], first["data"], 1)
    assert sessions(counting, "show", "a").out == ""
    assert counting(*command, "other", stdin=None).code == 4
    assert sessions(counting, "redo", "a").code == 0


def test_a_running_turn_comes_first(counting: Flue) -> None:
    """Undo is busy (4) at once with --wait 0; if it waits, it takes back the turn that it waited for."""
    say(counting, "a", "one", "two")
    chat = counting.start("chat", "counting", "-s", "a", "wait", stdin=subprocess.DEVNULL)
    assert chat.stdout.readline() == b"waiting\n"

    for command in (("undo", "a"), ("rewind", "a", "--to", "0"), ("set", "a", "n", "1")):
        done = sessions(counting, *command, "--wait", "0")
        assert (done.code, done.out) == (4, "")
        assert "session 'a' is busy" in done.err
    assert sessions(counting, "fork", "a", "b").code == 0  # which waits for nobody
    waiting = counting.start("sessions", "undo", "a")
    time.sleep(0.5)
    assert waiting.poll() is None
    (counting.folder / "gate").touch()
    _, err = waiting.communicate(timeout=20)

    assert (waiting.returncode, err) == (0, b"turn 3 undone: counting/a is at turn 2\n")
    assert chat.wait(20) == 0
    assert said(counting, "a") == ["one", "two"]
    assert said(counting, "b") == ["one", "two"]


def test_a_turn_that_a_crash_left_is_settled(counting: Flue) -> None:
    """After kill -9, undo takes back the last turn that was completed, and nothing is in its way."""
    say(counting, "a", "one", "two")
    chat = counting.start("chat", "counting", "-s", "a", "wait", stdin=subprocess.DEVNULL)
    assert chat.stdout.readline() == b"waiting\n"
    chat.kill()
    chat.wait()

    done = sessions(counting, "undo", "a", "--wait", "0")

    assert done == (0, "", "turn 2 undone: counting/a is at turn 1\n")
    assert sessions(counting, "rewind", "a", "--to", "3").code == 0
    assert [turn["outcome"] for turn in document(counting, "a")["turns"]] == ["completed"] * 2 + [
        "interrupted"
    ]
    assert say(counting, "a", "three") == (0, "3 4\n", "")


def test_a_prompt_that_dies_while_an_undo_waits_is_reported(counting: Flue) -> None:
    """An undo that waits for a turn whose process dies has nothing to undo, and does not drop its prompt."""
    chat = counting.start("chat", "counting", "-s", "a", "wait", stdin=subprocess.DEVNULL)
    assert chat.stdout.readline() == b"waiting\n"
    waiting = counting.start("sessions", "undo", "a", "--wait", "30")
    time.sleep(0.5)
    assert waiting.poll() is None
    chat.kill()
    chat.wait()
    _, err = waiting.communicate(timeout=20)

    assert (waiting.returncode, err[:6]) == (3, b"error:")
    assert "turn 1 was interrupted" in say(counting, "a", "next").err


def test_two_processes_undo_no_turn_twice(counting: Flue) -> None:
    """Of undos at the same time each takes back a turn of its own, or finds that another was first (4)."""
    say(counting, "a", *(f"turn {number}" for number in range(8)))
    processes = [counting.start("sessions", "undo", "a") for _ in range(5)]
    ended = [(process.communicate(timeout=30)[1], process.returncode) for process in processes]

    assert {code for _, code in ended} <= {0, 4}
    undone = [err for err, code in ended if code == 0]
    assert undone
    assert len(set(undone)) == len(undone)
    assert len(said(counting, "a")) == 8 - len(undone)
    assert sessions(counting, "redo", "a", str(len(undone))).code == 0
    assert len(said(counting, "a")) == 8


def test_what_is_said_of_a_session_cannot_harm_a_terminal(counting: Flue) -> None:
    """A name that another program put into the store is made harmless wherever it is shown."""
    from flue_cli.stores import open_store

    store = open_store(os.fspath(counting.store))
    store.fork(store.import_session("counting", "a\x1b[31m", []), "fork")
    store.close()

    shown = sessions(counting, "list", "--tree", "--all")

    assert "\x1b" not in shown.out
    assert shown.out.count("a^[[31m") == 2


def test_a_deletion_tells_of_what_was_undone(flue: Flue) -> None:
    """The question counts the turns that can still be redone: they would be gone too."""
    flue("chat", "greeting", "-s", "a", "--lines", stdin="one\ntwo\nthree\n")
    flue("sessions", "rewind", "a", "--to", "1", stdin=None)

    asked = flue("sessions", "delete", "a", stdin="n\n")

    assert "Delete greeting/a (1 turn, 2 undone) for good?" in asked.err
    assert asked.code == 0


@pytest.mark.parametrize(
    "added", [["chat", "counting", "-s", "a", "three"], ["sessions", "set", "a", "n", "1"]]
)
def test_what_is_added_after_an_undo_names_the_fork(counting: Flue, added: list[str]) -> None:
    """A prompt, or a change of the data, says which session has what was undone before it."""
    say(counting, "a", "one", "two")
    sessions(counting, "undo", "a")

    done = counting(*added)
    again = counting(*added[:-1], "4")

    assert "the undone turns are kept in session a~1\n" in done.err
    assert "undone" not in again.err
    assert said(counting, "a~1") == ["one", "two"]
