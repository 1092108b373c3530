"""`flue doctor` finds what is wrong, says what to do, and changes nothing."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.terminal_output import on_a_terminal

from flue_cli.installation import upgrade_hint
from flue_cli.stores import open_store
from flue_cli.stores.sqlite.maintenance import checkup

if TYPE_CHECKING:
    from conftest import Flue


def examined(
    flue: Flue, *options: str, env: dict[str, str] | None = None
) -> tuple[int, list[dict[str, str]]]:
    """The exit code, and all that was found that is not "ok"."""
    done = flue("doctor", "--json", *options, stdin=None, env=env)
    assert done.err == ""
    return done.code, [finding for finding in json.loads(done.out) if finding["level"] != "ok"]


def problems(flue: Flue, *options: str) -> list[str]:
    """What the problems are."""
    code, found = examined(flue, *options)
    words = [finding["what"] for finding in found if finding["level"] == "problem"]
    assert code == (1 if words else 0)
    assert all(finding["advice"] for finding in found if finding["level"] == "problem")
    return words


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_a_new_installation_is_sound(flue: Flue) -> None:
    """Before the first prompt nothing is wrong, and the doctor creates nothing."""
    assert problems(flue) == []
    assert not flue.home.exists()


def test_a_used_installation_is_sound(flue: Flue) -> None:
    """After turns, completed and failed, nothing is wrong and no byte is changed."""
    flue.agent("fails", "def agent(prompt, session, context):\n    raise ValueError(prompt)")
    for number in range(3):
        flue("chat", "greeting", "-s", f"s{number}", f"my name is N{number}", stdin=None)
        flue("chat", "fails", "-s", "f", "x", stdin=None)
    before = files(flue.home)

    assert problems(flue) == []
    assert files(flue.home) == before
    assert "4 sessions, 6 turns" in flue("doctor", stdin=None).out


def test_what_is_said_to_a_person_and_to_a_program(flue: Flue) -> None:
    """On a terminal by topic, in a pipe four fields a line, with --json a list of findings."""
    flue.agent("broken", "def agent(")
    done = flue("doctor", stdin=None)
    lines = [line.split("\t") for line in done.out.splitlines()]
    assert {len(line) for line in lines} == {4}
    assert [line[:2] for line in lines if line[0] == "problem"] == [["problem", "agents"]]
    assert "\x1b" not in done.out

    (broken,) = [finding for finding in examined(flue)[1] if finding["level"] == "problem"]
    assert broken.keys() == {"topic", "level", "what", "advice"}
    assert broken["advice"] == "mend it, then: flue agents check broken"

    seen = on_a_terminal(flue, "doctor")
    assert "versions\n" in seen.replace("\x1b[1m", "").replace("\x1b[0m", "")
    assert "-> mend it, then: flue agents check broken" in seen


@pytest.mark.parametrize("what", ["flue.db", "log", "."])
def test_what_is_open_to_others(flue: Flue, what: str) -> None:
    """A file or folder that others can get at is named, and the advice mends it."""
    flue("chat", "greeting", "-s", "a", "hi", stdin=None)
    place = flue.home / what
    place.chmod(0o777)

    found = [finding for finding in examined(flue)[1] if finding["level"] == "problem"]
    assert found
    assert {str(place) in finding["what"] for finding in found} == {True}
    for finding in found:
        subprocess.run(["sh", "-c", finding["advice"]], check=True)
    assert problems(flue) == []


def test_a_bad_configuration(flue: Flue) -> None:
    """A config.toml that stops every other command is told by the doctor, who goes on."""
    file = Path(flue("config", "path", stdin=None).out.strip())
    file.parent.mkdir(parents=True)
    file.write_text("wayt = 3")

    assert problems(flue) == [f"{file}: there is no key 'wayt'"]


def test_agents_are_not_called_sound_unloaded(flue: Flue) -> None:
    """Agents are said to be found and not loaded, with the command that loads them; helper modules are left out."""
    flue.agent("broken", "from .helpers import x\nraise ValueError\ndef agent(a, b, c): ...")
    flue.agent("helpers", "x = 1")
    done = flue("doctor", stdin=None)

    (line,) = [line for line in done.out.splitlines() if line.split("\t")[1] == "agents"]
    assert line.split("\t") == [
        "ok",
        "agents",
        "4 agents found, not loaded: broken, greeting, journal, task-planner",
        "to load them: flue agents check",
    ]


def test_agents_that_are_broken_or_missing(flue: Flue) -> None:
    """Broken agents and folders that are not there are named; no agent is run."""
    flue.agent("broken", "def agent(")
    flue.agent("ghost", "import pathlib\npathlib.Path('ran').touch()\ndef agent(a, b, c): ...")
    code, found = examined(flue, env={"FLUE_AGENTS": "/no/such/folder"})

    assert code == 1
    assert [(finding["level"], finding["topic"]) for finding in found if finding["topic"] == "agents"] == [
        ("problem", "agents"),
        ("note", "agents"),
    ]
    assert not (flue.folder / "ran").exists()
    assert problems(flue, "--agents", "/no/such/folder") == ["--agents: there is no folder /no/such/folder"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [(b"", "the store {} is empty (0 bytes)"), (b"dear diary\n" * 999, "the file {} is not a Flue store")],
    ids=["empty", "garbage"],
)
def test_a_store_that_cannot_be_opened_is_a_problem(flue: Flue, content: bytes, problem: str) -> None:
    """A store that cannot be opened is a problem, and its bytes stay."""
    flue.home.mkdir(parents=True, mode=0o700)
    flue.store.write_bytes(content)
    flue.store.chmod(0o600)

    assert problems(flue) == [problem.format(flue.store)]
    assert flue.store.read_bytes() == content


def test_a_newer_store(flue: Flue) -> None:
    """A store of a newer Flue is a problem, with what to do."""
    flue("chat", "greeting", "-s", "a", "hi", stdin=None)
    with closing(sqlite3.connect(flue.store)) as db:
        db.execute("PRAGMA user_version = 99")

    (found,) = [finding for finding in examined(flue)[1] if finding["level"] == "problem"]
    assert "made by a newer Flue" in found["what"]
    assert found["advice"] == upgrade_hint()


def test_a_store_that_nobody_has(flue: Flue) -> None:
    """A URL that names no store, and one in memory, are told apart."""
    assert "no store is called 'redis'" in problems(flue, "--store", "redis://x")
    assert problems(flue, "--store", "memory:") == []


def spoil(path: Path, *changes: str) -> None:
    """Change rows behind Flue's back."""
    with closing(sqlite3.connect(path)) as db:
        for change in changes:
            db.execute(change)
        db.commit()


def test_every_damaged_turn_is_named(flue: Flue) -> None:
    """All damaged turns are listed with agent, session and number, and so is damaged data."""
    for name in ("a", "b"):
        flue("chat", "task-planner", "-s", name, "--lines", stdin="add one\nadd two\nadd three\nlist tasks\n")
    spoil(
        flue.store,
        "UPDATE entry SET prompt = 'add none' WHERE session = 1 AND turn IN (1, 3)",
        "UPDATE entry SET data_checksum = 1 WHERE session = 2 AND turn = 2",
    )

    named = [words.partition(" is damaged")[0] for words in problems(flue)]
    assert named == [
        "task-planner/a: turn 1 of session 'a'",
        "task-planner/a: turn 3 of session 'a'",
        "task-planner/b: turn 2 of session 'b'",
    ]


def test_missing_rows_are_noticed(flue: Flue) -> None:
    """Turns and sessions whose rows are gone are named."""
    for name in ("a", "b", "c"):
        flue("chat", "greeting", "-s", name, "--lines", stdin="1\n2\n3\n")
    spoil(
        flue.store,
        "DELETE FROM entry WHERE session = 1 AND turn = 2",
        "DELETE FROM entry WHERE session = 2 AND turn = 3",
        "DELETE FROM session WHERE uid = 3",  # without foreign keys, the turns stay
    )

    found = problems(flue)
    assert "greeting/a: session 'a' lacks a turn between 1 and 3" in found
    assert "the newest turn of session 'b' is missing" in found
    assert sum("belongs to no session" in words for words in found) == 3


def test_a_damaged_page_is_noticed(flue: Flue) -> None:
    """A page of the file that holds nonsense is a problem, wherever it is, and nothing crashes."""
    flue(
        "chat",
        "greeting",
        "-s",
        "a",
        "--lines",
        stdin="".join(f"prompt {n} {'x' * 500}\n" for n in range(60)),
    )
    sound = flue.store.read_bytes()
    page = int.from_bytes(sound[16:18], "big")
    seen = 0
    for start in range(page, len(sound), page * 3):
        flue.store.write_bytes(sound[:start] + b"\xa5" * page + sound[start + page :])
        seen += bool(problems(flue))
        for side in ("-wal", "-shm"):
            Path(f"{flue.store}{side}").unlink(missing_ok=True)
    assert seen >= len(range(page, len(sound), page * 3)) - 1  # a page that is free may hold anything


def test_what_a_crash_left_is_a_note(flue: Flue) -> None:
    """A turn that was killed is told, and is no problem; a turn that runs is not even told."""
    flue.agent(
        "slow", "import time\ndef agent(prompt, session, context):\n    yield 'begun\\n'\n    time.sleep(60)"
    )
    process = flue.start("chat", "slow", "-s", "a", "x", stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"begun\n"

    def told() -> list[str]:
        return [finding["what"] for finding in examined(flue)[1] if "interrupted" in finding["what"]]

    assert told() == []
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert told() == ["turn 1 of slow/a was interrupted"]
    assert problems(flue) == []


@pytest.mark.parametrize(
    ("version", "is_affected"),
    [
        ((3, 40, 1), True),
        ((3, 44, 5), True),
        ((3, 44, 6), False),
        ((3, 45, 0), True),
        ((3, 50, 6), True),
        ((3, 50, 7), False),
        ((3, 51, 2), True),
        ((3, 51, 3), False),
        ((3, 52, 0), False),
    ],
)
def test_an_sqlite_with_the_wal_reset_bug(version: tuple[int, int, int], is_affected: bool) -> None:
    """Any SQLite is fine, and the person is told how Flue avoids the bug that some versions have."""
    finding = checkup.check_sqlite_version(version)
    assert finding.level == "ok"
    assert ("WAL-reset bug" in finding.message) == is_affected


def test_a_network_file_system(flue: Flue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A store on a disk of another machine is a problem."""
    store: Any = open_store(str(tmp_path / "flue.db"))
    (tmp_path / "flue.db").touch()
    monkeypatch.setattr(checkup, "file_system_type", lambda folder: "nfs4")

    assert any("network file system (nfs4)" in finding.message for finding in store.health())
    store.close()


@pytest.mark.skipif(not os.path.exists("/proc/self/mountinfo"), reason="Linux tells its mounts there")
def test_the_kind_of_a_file_system() -> None:
    """The nearest mount tells on what kind of disk a folder is."""
    assert checkup.file_system_type("/proc/self") == "proc"
    assert checkup.file_system_type("/") not in ("", "proc")


def test_a_disk_that_is_nearly_full(flue: Flue, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A disk with too little room for comfort is told before it is full."""
    monkeypatch.setattr(checkup, "LOW_SPACE", 2**62)
    (finding,) = [
        finding for finding in checkup.check_disk(str(tmp_path / "flue.db")) if "left" in finding.message
    ]
    assert (finding.level, finding.advice) == ("problem", "free some space")
