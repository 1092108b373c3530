"""`flue chat` without a terminal: the session it goes on in, and the store that keeps it."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest
from support.sessions import json_document

if TYPE_CHECKING:
    from conftest import Flue


# Which session


def test_new_must_not_exist(flue: Flue) -> None:
    """--new makes a session, and refuses one that is there."""
    assert flue("chat", "greeting", "-s", "a", "--new", "hi", stdin=None).code == 0
    done = flue("chat", "greeting", "-s", "a", "--new", "hi", stdin=None)
    assert done.code == 4
    assert "exists already" in done.err


def test_lines_of_a_new_session(flue: Flue) -> None:
    """--new is about the first line only."""
    assert flue("chat", "greeting", "-s", "a", "--new", "--lines", stdin="a\nb\n").code == 0


def test_resume_must_exist(flue: Flue) -> None:
    """-r goes on with a session, and says what there is where there is none."""
    flue("chat", "greeting", "-s", "alice", "my name is Alice", stdin=None)

    assert flue("chat", "greeting", "-r", "alice", "hi", stdin=None).out.startswith("Hello again, Alice")
    assert flue("chat", "-r", "alice", stdin="hi").out.startswith("Hello again, Alice")
    missing = flue("chat", "greeting", "-r", "alicia", "hi", stdin=None)
    assert missing.code == 3
    assert "did you mean alice?" in missing.err
    other = flue("chat", "journal", "-r", "alice", "hi", stdin=None)
    assert (other.code, "of agent 'greeting'" in other.err) == (3, True)


def test_continue_takes_the_session_used_last(flue: Flue) -> None:
    """-c goes on where the last turn was made, not where the newest session was created."""
    flue("chat", "greeting", "-s", "old", "my name is Old", stdin=None)
    flue("chat", "greeting", "-s", "new", "my name is New", stdin=None)
    flue("chat", "task-planner", "-s", "tasks", "add x", stdin=None)
    flue("chat", "greeting", "-s", "old", "hi", stdin=None)

    assert flue("chat", "-c", "greeting", "hi", stdin=None).out.startswith("Hello again, Old")
    assert flue("chat", "-c", stdin="hi").out.startswith("Hello again, Old")
    assert flue("chat", "-c", "task-planner", "list tasks", stdin=None).out == "Your tasks:\n1. x\n"


def test_continue_needs_a_session(flue: Flue) -> None:
    """With nothing to continue it is 3."""
    assert flue("chat", "-c", stdin="hi").code == 3


def test_a_session_gets_a_readable_name(flue: Flue) -> None:
    """Without a name each run is a session of its own, that --json and the list name."""
    names = {
        json_document(flue("chat", "greeting", "--json", "hi", stdin=None).out)["session"] for _ in range(3)
    }

    assert len(names) == 3
    listed = flue("sessions", "list", stdin=None).out.splitlines()
    assert {line.split("\t")[1] for line in listed} == names


def test_names_are_one_however_they_are_composed(flue: Flue) -> None:
    """é is é, typed as one character or as two."""
    flue("chat", "greeting", "-s", "Zoe\u0301", "my name is Zoe", stdin=None)
    assert flue("chat", "greeting", "-r", "Zo\u00e9", "hi", stdin=None).out.startswith("Hello again, Zoe")


@pytest.mark.parametrize("name", ["", "-x", "a\nb", "a\x1b[31m", "a\u202eb", "x" * 257])
def test_unusable_names_are_refused(flue: Flue, name: str) -> None:
    """A name that could not be typed or shown is refused (2) without an escape reaching stderr."""
    done = flue("chat", "greeting", f"--session={name}", "hi", stdin=None)
    assert done.code == 2
    assert "\x1b" not in done.err
    assert "\u202e" not in done.err


def test_no_save_keeps_nothing(flue: Flue) -> None:
    """--no-save answers from an empty session and leaves no file."""
    flue("chat", "greeting", "-s", "a", "my name is Ada", stdin=None)
    before = flue.store.read_bytes()

    done = flue("chat", "greeting", "--no-save", "-s", "a", "--lines", stdin="hi\nmy name is Eve\nhi")

    assert [line[:10] for line in done.out.splitlines()] == ["I don't kn", "Nice to me", "Hello agai"]
    assert flue.store.read_bytes() == before
    assert flue("sessions", "show", "a", stdin=None).out.count("> ") == 1


@pytest.mark.parametrize(
    "flags",
    [
        ("--no-save", "-r", "a"),
        ("--no-save", "-c"),
        ("--no-save", "--pick"),
        ("-s", "a", "-r", "a"),
        ("-s", "a", "-c"),
        ("--new", "-r", "a"),
        ("--pick",),
        ("--wait", "nan"),
        ("--wait", "-1"),
        ("--wait", "inf"),
        ("--timeout", "0"),
        ("--timeout", "nan"),
        ("--timeout", "soon"),
        ("--turn-key", "", "-s", "a"),
        ("--turn-key", "k"),
        ("--store", "nosuch://x"),
        ("--store", "sqlite://x"),
        ("--store", "memory:x"),
        ("--agents", "/no/such/folder"),
    ],
)
def test_flags_that_make_no_sense_are_refused(flue: Flue, flags: tuple[str, ...]) -> None:
    """A command that cannot be meant is a usage error in one line, and nothing is created."""
    done = flue("chat", "greeting", *flags, "hi", stdin=None)

    assert (done.code, done.out) == (2, "")
    assert done.err.splitlines()[0].startswith("error: ")
    assert "Traceback" not in done.err
    assert not flue.store.exists()


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("-s", "a", "-r", "a"), "-s and -r each choose a session\nhint: use one of them"),
        (
            ("--new", "-r", "a"),
            "--new begins a session, and -r goes on with one\nhint: leave one of them out",
        ),
        (
            ("--no-save", "-c"),
            "--no-save begins with nothing, and -c goes on with a saved session\nhint: leave one of them out",
        ),
        (
            ("--json", "--output-format", "text"),
            "--json prints another format than --output-format text\nhint: use one of them",
        ),
    ],
)
def test_flags_that_exclude_each_other(flue: Flue, flags: tuple[str, ...], told: str) -> None:
    """It is said what each of the flags means, and what to do."""
    assert flue("chat", "greeting", *flags, "hi", stdin=None).err == f"error: {told}\n"


def test_an_agent_must_be_named(flue: Flue) -> None:
    """Without an AGENT, off a terminal, there is nobody to talk to; a near miss is guessed."""
    assert flue("chat", stdin="hi") == (
        2,
        "",
        "error: no agent is named\nhint: name one: flue chat AGENT; see: flue agents list\n",
    )
    done = flue("chat", "greting", "hi", stdin=None)
    assert (done.code, "did you mean greeting?" in done.err) == (3, True)


# Where sessions are kept


def test_stores_are_named_by_url_or_path(flue: Flue) -> None:
    """The same file is reached by a relative URL, an absolute URL, a path and the environment."""
    flue("chat", "greeting", "--store", "sqlite:///mine.db", "-s", "a", "my name is Ada", stdin=None)
    path = flue.folder / "mine.db"

    for store in ("mine.db", f"sqlite:///{path}", str(path)):
        assert flue("chat", "greeting", "--store", store, "-r", "a", "hi", stdin=None).out.startswith(
            "Hello again"
        )
    assert flue("chat", "greeting", "-r", "a", "hi", stdin=None, env={"FLUE_STORE": str(path)}).code == 0
    assert flue("chat", "greeting", "-r", "a", "hi", stdin=None).code == 3


def test_looking_creates_nothing(flue: Flue) -> None:
    """Commands that only look leave no file and no folder behind."""
    assert flue("sessions", "list", stdin=None) == (0, "", "")
    assert flue("sessions", "list", "--json", stdin=None).out == "[]\n"
    assert flue("sessions", "show", "x", stdin=None).code == 3
    assert not flue.home.exists()


def test_files_are_private_whatever_the_umask(flue: Flue) -> None:
    """Folder 0700; database, side files and whatever else 0600, under umask 000."""
    flue.agent(
        "peek",
        "import os\ndef agent(prompt, session, context):\n    home = os.environ['FLUE_HOME']\n    return '\\n'.join(sorted(f'{name} {os.stat(os.path.join(home, name)).st_mode & 0o777:o}' for name in os.listdir(home) if name.startswith('flue')))",
    )
    (flue.home / "agents").rename(flue.folder / "agents")
    flue.home.rmdir()

    done = subprocess.run(
        [*flue.command, "chat", "peek", "-s", "a", "x"],
        env=flue.env,
        cwd=flue.folder,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        umask=0,
        check=True,
    )

    modes = dict(line.split() for line in done.stdout.decode().splitlines())
    assert {name: modes[name] for name in ("flue.db", "flue.db-shm", "flue.db-wal", "flue.db-owners")} == {
        "flue.db": "600",
        "flue.db-shm": "600",
        "flue.db-wal": "600",
        "flue.db-owners": "700",
    }
    assert flue.home.stat().st_mode & 0o777 == 0o700
