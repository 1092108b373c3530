"""`flue sessions`: list, show, resume, export, delete."""

from __future__ import annotations

import json
import os
import subprocess
from typing import TYPE_CHECKING

import pytest
from support.sessions import FAILING_AGENT, say

if TYPE_CHECKING:
    from conftest import Flue


def test_list_is_last_used_first(flue: Flue) -> None:
    """In a pipe: tab-separated, no heading, a field never more than a line."""
    say(flue, "greeting", "one", "hello")
    say(flue, "task-planner", "two", "add x")
    say(flue, "greeting", "one", "a\tb\nc\x1b[31m")

    lines = [line.split("\t") for line in flue("sessions", "list", stdin=None).out.splitlines()]

    assert [(line[0], line[1], line[2], line[5]) for line in lines] == [
        ("greeting", "one", "2", "a b c^[[31m"),
        ("task-planner", "two", "1", "add x"),
    ]
    assert all(len(line) == 6 for line in lines)


def test_list_as_json(flue: Flue) -> None:
    """--json is a document with the fields of the manual, ISO times in UTC."""
    say(flue, "greeting", "one", "hello")

    (found,) = json.loads(flue("sessions", "list", "--json", stdin=None).out)

    assert list(found) == ["agent", "session", "turns", "created_at", "updated_at", "preview"]
    assert (found["agent"], found["session"], found["turns"], found["preview"]) == (
        "greeting",
        "one",
        1,
        "hello",
    )
    assert found["created_at"] < found["updated_at"]
    assert found["updated_at"].endswith("Z")


def test_list_is_bounded_and_filtered(flue: Flue) -> None:
    """--limit bounds the list, --agent filters it (either spelling), --all lifts the bound."""
    say(flue, "task-planner", "plan", "add x")
    for number in range(4):
        say(flue, "greeting", f"s{number}", "hello")

    def names(*options: str) -> list[str]:
        return [
            line.split("\t")[1] for line in flue("sessions", "list", *options, stdin=None).out.splitlines()
        ]

    assert names("--limit", "2") == ["s3", "s2"]
    assert names("--limit", "2", "--all") == ["s3", "s2", "s1", "s0", "plan"]
    assert names("--agent", "task_planner") == ["plan"]


def test_show_is_the_conversation(flue: Flue) -> None:
    """Turns in order, with the ones that failed marked and their reason given."""
    flue.agent("failing", FAILING_AGENT)
    say(flue, "failing", "a", "one", "fail", "two\nlines")

    done = flue("sessions", "show", "a", stdin=None)

    assert done == (
        0,
        "[1]\n> one\ndid one\n\n"
        "[2] (failed)\n> fail\n(the agent failed: ValueError: as asked)\n\n"
        "[3]\n> two\n  lines\ndid two\nlines\n",
        "",
    )
    assert (
        flue("sessions", "show", "a", "--last", "1", stdin=None).out
        == "[3]\n> two\n  lines\ndid two\nlines\n"
    )


def test_a_session_is_a_name_or_agent_and_name(flue: Flue) -> None:
    """A name that two agents have is ambiguous (4) and listed; AGENT/NAME or --agent decides."""
    say(flue, "greeting", "alice", "hello")
    say(flue, "journal", "alice", "hello")
    say(flue, "greeting", "a/b", "hello")

    both = flue("sessions", "show", "alice", stdin=None)

    assert both.code == 4
    assert "greeting/alice, journal/alice" in both.err
    assert flue("sessions", "show", "journal/alice", stdin=None).code == 0
    assert flue("sessions", "show", "alice", "--agent", "journal", stdin=None).code == 0
    assert flue("sessions", "show", "a/b", stdin=None).code == 0
    assert flue("sessions", "show", "greeting/a/b", stdin=None).code == 0
    assert flue("sessions", "show", "journal/alice", "--agent", "journal", stdin=None).code == 3


def test_a_missing_session_has_a_near_miss(flue: Flue) -> None:
    """An unknown name is 3, with what it may have been."""
    say(flue, "greeting", "alice", "hello")

    done = flue("sessions", "show", "alcie", stdin=None)

    assert (done.code, done.out) == (3, "")
    assert done.err == "error: there is no session 'alcie'\nhint: did you mean alice?\n"


def test_resume_goes_on(flue: Flue) -> None:
    """The agent is known from the session; a prompt or a pipe is answered."""
    say(flue, "greeting", "alice", "my name is Alice")

    assert flue("sessions", "resume", "alice", "hi", stdin=None).out.startswith("Hello again, Alice")
    assert flue("sessions", "resume", "alice", stdin="hi").out.startswith("Hello again, Alice")
    assert flue("sessions", "resume", "alice", "--lines", "--json", stdin="a\nb").out.count("\n") == 2
    assert flue("sessions", "resume", "nobody", "hi", stdin=None).code == 3


def test_sessions_need_no_agent_file(flue: Flue) -> None:
    """A session whose agent is gone can still be shown, exported and deleted; only resuming fails."""
    path = flue.agent("failing", FAILING_AGENT)
    say(flue, "failing", "a", "one")
    path.unlink()

    assert flue("sessions", "show", "a", stdin=None).code == 0
    assert flue("sessions", "export", "a", stdin=None).code == 0
    assert flue("sessions", "resume", "a", "hi", stdin=None).code == 3
    assert flue("sessions", "delete", "a", "-y", stdin=None).code == 0


def test_export_loses_nothing(flue: Flue) -> None:
    """The JSON document has every turn with messages, outcome, error and the data after it."""
    flue.agent("failing", FAILING_AGENT)
    say(flue, "failing", "ä", "one", "fail", "två")

    done = flue("sessions", "export", "ä", stdin=None)
    found = json.loads(done.out)

    assert done.out.isascii()
    assert list(found) == [
        "flue",
        "agent",
        "session",
        "created_at",
        "updated_at",
        "version",
        "forked_from",
        "data",
        "turns",
    ]
    assert (found["flue"], found["agent"], found["session"], found["version"]) == (1, "failing", "ä", 3)
    assert found["forked_from"] is None
    assert found["data"] == {"last": "två"}
    assert [turn["outcome"] for turn in found["turns"]] == ["completed", "failed", "completed"]
    assert [turn["data"] for turn in found["turns"]] == [{"last": "one"}, {"last": "one"}, {"last": "två"}]
    assert found["turns"][0]["messages"] == [
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": "did one"},
    ]
    assert found["turns"][1]["messages"] == [{"role": "user", "content": "fail"}]
    assert found["turns"][1]["error"] == {
        "type": "exception",
        "message": "the agent failed: ValueError: as asked",
    }
    assert list(found["turns"][0]) == [
        "turn",
        "kind",
        "outcome",
        "key",
        "started_at",
        "finished_at",
        "messages",
        "data",
        "error",
        "meta",
    ]
    assert set(found["turns"][0]["meta"]) == {"source", "seed"}


def test_jsonl_is_the_same_in_lines(flue: Flue) -> None:
    """A header line and a line a turn, equal to the document; --show --json agrees."""
    flue.agent("failing", FAILING_AGENT)
    say(flue, "failing", "a", "one", "fail")

    document = json.loads(flue("sessions", "export", "a", stdin=None).out)
    header, *turns = [
        json.loads(line)
        for line in flue("sessions", "export", "a", "--format", "jsonl", stdin=None).out.splitlines()
    ]

    assert header | {"turns": turns} == document
    assert json.loads(flue("sessions", "show", "a", "--json", stdin=None).out) == document
    last = json.loads(flue("sessions", "show", "a", "--json", "--last", "1", stdin=None).out)
    assert [turn["turn"] for turn in last["turns"]] == [2]


def test_markdown_interprets_nothing(flue: Flue) -> None:
    """What was said stands in fences that it cannot leave; names and errors are escaped."""
    flue.agent("failing", FAILING_AGENT)
    say(flue, "failing", "*a* <b>", "````\n# no heading\n````\x1b[31m", "fail")

    text = flue("sessions", "export", "*a* <b>", "--format", "md", stdin=None).out

    assert text.startswith("# failing/\\*a\\* \\<b\\>\n\n## 1 · 20")
    assert "**user**\n\n`````text\n````\n# no heading\n````^[[31m\n`````\n" in text
    assert "UTC · failed\n" in text
    assert "*the agent failed: ValueError: as asked*\n" in text


def test_plain_text_is_readable(flue: Flue) -> None:
    """Who said what, with lines after the first indented."""
    flue.agent("failing", FAILING_AGENT)
    say(flue, "failing", "a", "one\ntwo", "fail")

    flue("sessions", "export", "a", "-o", "a.txt", stdin=None)

    lines = [line for line in (flue.folder / "a.txt").read_text().splitlines() if not line.startswith("[")]
    assert lines == [
        "failing/a", "", "user: one", "  two", "assistant: did one", "  two", "",
        "user: fail", "error: the agent failed: ValueError: as asked",
    ]  # fmt: skip


def test_export_of_tool_messages_and_usage(flue: Flue) -> None:
    """What a Reply brings besides its text is part of the history and of the export."""
    flue.agent(
        "tools",
        "from flue_cli import Reply\ndef agent(prompt, session, context):\n"
        '    calls = [{"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}, {"role": "tool", "content": "42", "tool_call_id": "1"}]\n'
        '    return Reply(f"seen {[m.role for m in session.history]}", messages=calls, meta={"usage": {"tokens": 7}})',
    )
    say(flue, "tools", "a", "one", "two")

    first, second = json.loads(flue("sessions", "export", "a", stdin=None).out)["turns"]

    assert [message["role"] for message in first["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert first["messages"][2] == {"role": "tool", "content": "42", "tool_call_id": "1"}
    assert first["meta"]["usage"] == {"tokens": 7}
    assert second["messages"][-1]["content"] == "seen ['user', 'assistant', 'tool', 'assistant']"


def test_export_to_a_file(flue: Flue) -> None:
    """Private, whole, in the format of its ending; what is in the way stays unless --force."""
    say(flue, "greeting", "a", "hello")
    path = flue.folder / "out.jsonl"

    assert flue("sessions", "export", "a", "-o", "out.jsonl", stdin=None) == (0, "", "")
    assert path.stat().st_mode & 0o777 == 0o600
    assert len(path.read_text().splitlines()) == 2
    path.write_text("precious")
    again = flue("sessions", "export", "a", "-o", "out.jsonl", stdin=None)
    assert (again.code, path.read_text()) == (4, "precious")
    assert flue("sessions", "export", "a", "-o", "out.jsonl", "--force", stdin=None).code == 0
    assert len(path.read_text().splitlines()) == 2
    (flue.folder / "link.json").symlink_to(path)
    assert flue("sessions", "export", "a", "-o", "link.json", stdin=None).code == 4
    assert [entry.name for entry in sorted(flue.folder.iterdir())] == ["link.json", "out.jsonl"]


def test_export_never_replaces_a_device(flue: Flue) -> None:
    """A device, a pipe or what /dev/stdout stands for is written to; --force does not put a file there."""
    say(flue, "greeting", "a", "hello")
    pipe = flue.folder / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE)

    assert flue("sessions", "export", "a", "-o", "pipe", "--force", stdin=None).code == 0
    assert json.loads(reader.communicate()[0])["session"] == "a"
    assert pipe.is_fifo()
    assert json.loads(flue("sessions", "export", "a", "-o", "/dev/stdout", stdin=None).out)["session"] == "a"
    assert flue("sessions", "export", "a", "-o", str(flue.folder), "--force", stdin=None).code == 74


def test_export_that_cannot_be_written(flue: Flue) -> None:
    """A folder that is not there is 74 for the file, an unknown format is 2."""
    say(flue, "greeting", "a", "hello")

    assert flue("sessions", "export", "a", "-o", "no/such/folder.json", stdin=None).code == 74
    assert flue("sessions", "export", "a", "--format", "word", stdin=None).code == 2


@pytest.mark.parametrize(
    ("answer", "code", "left"), [("y\n", 0, 0), ("yes", 0, 0), ("n\n", 0, 1), ("\n", 0, 1), ("", 2, 1)]
)
def test_delete_asks(flue: Flue, answer: str, code: int, left: int) -> None:
    """The answer may come from a pipe; no answer at all is no, and names --yes."""
    say(flue, "greeting", "a", "hello")

    done = flue("sessions", "delete", "a", stdin=answer)

    assert done.code == code
    assert "Delete greeting/a (1 turn) for good?" in done.err
    assert ("--yes" in done.err) == (code == 2)
    assert flue("sessions", "list", stdin=None).out.count("\n") == left


def test_delete_leaves_no_trace(flue: Flue) -> None:
    """What was said is not in the file any more; other sessions are untouched."""
    say(flue, "greeting", "a", "my name is Rumpelstiltskin")
    say(flue, "greeting", "b", "my name is Ada")

    flue("sessions", "delete", "a", "-y", stdin=None)

    assert b"Rumpel" not in b"".join(
        path.read_bytes() for path in flue.home.glob("flue.db*") if path.is_file()
    )
    assert flue("chat", "greeting", "-r", "b", "hi", stdin=None).out.startswith("Hello again, Ada")


def test_delete_takes_several_or_none(flue: Flue) -> None:
    """If one of the names is wrong, none of them is deleted."""
    say(flue, "greeting", "a", "hello")
    say(flue, "greeting", "b", "hello")

    assert flue("sessions", "delete", "a", "nobody", "-y", stdin=None).code == 3
    assert flue("sessions", "list", stdin=None).out.count("\n") == 2
    assert flue("sessions", "delete", "a", "b", "a", "-y", stdin=None).code == 0
    assert flue("sessions", "list", stdin=None).out == ""


def test_delete_refuses_a_session_that_is_running(flue: Flue) -> None:
    """While a turn runs, delete refuses at once (4)."""
    flue.agent(
        "slow", "import time\ndef agent(prompt, session, context):\n    yield 'begun\\n'\n    time.sleep(60)"
    )
    process = flue.start("chat", "slow", "-s", "a", "x")
    process.stdin.close()
    assert process.stdout.readline() == b"begun\n"

    done = flue("sessions", "delete", "a", "-y", stdin=None)

    assert done.code == 4
    assert "is busy" in done.err


@pytest.mark.parametrize(
    "command",
    [
        ["sessions", "rename", "old", "greeting/new"],
        ["sessions", "rename", "greeting/old", "greeting/new"],
        ["sessions", "fork", "old", "greeting/new"],
        ["replay", "old", "--accept", "greeting/new"],
        ["chat", "greeting", "-s", "greeting/new", "hello"],
        ["chat", "greeting", "-r", "greeting/old", "hello"],
        ["sessions", "import", "old.json", "--session", "greeting/new", "--again"],
    ],
)
def test_a_new_name_may_be_given_with_its_agent(flue: Flue, command: list[str]) -> None:
    """AGENT/NAME is taken for NAME where a session of that agent gets its name, or is named."""
    flue("chat", "greeting", "-s", "old", "hello")
    flue("sessions", "export", "old", "-o", "old.json")

    done = flue(*command)

    assert done.code == 0, done.err
    found = {(one["agent"], one["session"]) for one in json.loads(flue("sessions", "list", "--json").out)}
    assert found <= {("greeting", "old"), ("greeting", "new")}
    assert (("greeting", "new") in found) == any("new" in word for word in command)


def test_a_session_that_is_called_like_another_is_still_found(flue: Flue) -> None:
    """A session whose name begins with its agent's keeps it: -s and -r mean the whole name first."""
    flue("chat", "greeting", "-s", "old", "hello")
    document = json.loads(flue("sessions", "export", "old").out)
    document["session"] = "greeting/old"
    flue("sessions", "import", "-", stdin=json.dumps(document))

    flue("chat", "greeting", "-s", "greeting/old", "again")
    flue("chat", "greeting", "-r", "greeting/old", "and again")

    turns = {one["session"]: one["turns"] for one in json.loads(flue("sessions", "list", "--json").out)}
    assert turns == {"old": 1, "greeting/old": 3}
