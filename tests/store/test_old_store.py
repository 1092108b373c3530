"""A store, exports and a script test that Flue 0.1.0 wrote are today's as well."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from conftest import Flue

DATA = Path(__file__).parents[1] / "data"
EXPORT = DATA / "export-0.1.0.jsonl"


@pytest.fixture
def old(flue: Flue) -> Flue:
    """A home with the old store and its agents."""
    flue.home.mkdir(exist_ok=True)
    shutil.copy(DATA / "store-0.1.0.db", flue.store)
    flue.store.chmod(0o600)
    for agent in (DATA / "agents").glob("*.py"):
        flue.agent(agent.stem, agent.read_text())
    return flue


def documents(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def lacking(recorded: list[dict[str, Any]], now: list[dict[str, Any]]) -> list[object]:
    """The fields that the old export has and the new one lacks or changed; new fields are fine."""
    assert len(recorded) == len(now)
    return [
        (before.get("session"), before.get("turn"), name)
        for before, after in zip(recorded, now, strict=True)
        for name in before
        if name not in after or before[name] != after[name]
    ]


def turns(old: Flue, session: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(old("sessions", "export", session, stdin=None).out)["turns"]
    return found


def test_every_session_reads_the_same(old: Flue) -> None:
    """Today's export of the old store has every turn, message and piece of data of the old export."""
    done = old("sessions", "export", "--all", "--format", "jsonl", stdin=None)
    assert done.code == 0, done.err
    assert lacking(documents(EXPORT.read_text()), documents(done.out)) == []


def test_the_data_reads_the_same_at_every_turn(old: Flue) -> None:
    """Data is rebuilt from old snapshots and deltas wherever somebody looks."""
    recorded = [line["data"] for line in documents(EXPORT.read_text()) if "messages" in line]
    start = next(number for number, data in enumerate(recorded) if data and data["newest"] == ["note 1"])
    for turn in (1, 2, 255, 256, 257, 258, 305):
        done = old("sessions", "data", "long", "--at", str(turn), stdin=None)
        assert json.loads(done.out) == recorded[start + turn - 1]


def test_the_doctor_finds_no_damage(old: Flue) -> None:
    """Every checksum of the old rows is still right; the crash is a note, as it was."""
    done = old("doctor", stdin=None)
    assert done.code == 0, done.out
    assert "damaged" not in done.out
    assert "turn 2 of clerk/crashed was interrupted" in done.out


def test_sessions_go_on(old: Flue) -> None:
    """Old sessions take new turns: after a long conversation, and after a crash."""
    done = old("chat", "clerk", "-s", "long", "on we go", stdin=None)
    assert (done.code, done.out) == (0, "306: on we go\n")
    assert old("chat", "clerk", "-s", "crashed", "back", stdin=None).out == "2: back\n"
    assert [turn["outcome"] for turn in turns(old, "crashed")] == ["completed", "interrupted", "completed"]
    assert old("doctor", stdin=None).code == 0


def test_an_old_key_is_answered_again(old: Flue) -> None:
    """A turn that 0.1.0 completed under a key is not run a second time."""
    before = turns(old, "clerk/main")
    done = old("chat", "clerk", "-s", "main", "--turn-key", "key-1", "record this", stdin=None)
    assert (done.code, done.out) == (0, "2: record this\n")
    assert turns(old, "clerk/main") == before


def test_undo_and_redo_go_on(old: Flue) -> None:
    """What 0.1.0 undid can be redone today, and today's undo goes back over old turns."""
    before = turns(old, "clerk/main")
    assert old("sessions", "redo", "clerk/main", stdin=None).code == 0
    redone = turns(old, "clerk/main")
    assert (redone[:-1], redone[-1]["messages"][0]["content"]) == (before, "to undo")
    assert old("sessions", "undo", "clerk/main", "2", stdin=None).code == 0
    assert old("chat", "clerk", "-s", "main", "another way", stdin=None).code == 0
    assert turns(old, "clerk/main~3") == redone


def test_an_undone_fork_can_be_deleted(old: Flue) -> None:
    """Deleting an old fork leaves what its session shares with it."""
    before = turns(old, "clerk/main")
    assert old("sessions", "delete", "clerk/main~1", "--yes", stdin=None).code == 0
    assert turns(old, "clerk/main") == before
    assert old("doctor", stdin=None).code == 0


def test_a_waiter_of_the_old_version_that_died_holds_nobody_up(old: Flue) -> None:
    """0.1.0 woke its waiters through FIFOs beside the store; what a killed one left is no hindrance."""
    folder = Path(f"{old.store}-owners")
    folder.mkdir()
    (folder / "0123456789abcdef").touch()
    os.mkfifo(folder / ".0123456789abcdef:1.bell")
    waiter = (1, f"999999 {os.uname().nodename} 0123456789abcdef:1", 2**62, 2**62)
    with closing(sqlite3.connect(old.store)) as db, db:
        db.execute("INSERT INTO waiting VALUES (NULL, ?, ?, ?, ?)", waiter)
    done = old("chat", "clerk", "-s", "long", "--wait", "0", "hello", stdin=None)
    assert (done.code, done.out) == (0, "306: hello\n")


def test_old_words_are_found(old: Flue) -> None:
    """A search finds turns that 0.1.0 recorded, and those made since."""
    assert old("chat", "clerk", "-s", "new", "note 77 again", stdin=None).code == 0
    found = old("sessions", "search", "77", stdin=None).out
    assert "note 77" in found
    assert "note 77 again" in found


@pytest.mark.parametrize("name", ["export-0.1.0.json", "export-0.1.0.jsonl"])
def test_old_exports_are_imported(flue: Flue, name: str) -> None:
    """An export of 0.1.0 becomes the sessions that it was made of, turn by turn."""
    done = flue("sessions", "import", str(DATA / name), stdin=None)
    assert done.code == 0, done.err
    again = flue("sessions", "export", "clerk/main", stdin=None).out
    recorded = json.loads((DATA / "export-0.1.0.json").read_text())
    assert lacking(recorded["turns"], json.loads(again)["turns"]) == []


def test_an_old_export_is_what_the_old_store_has(old: Flue) -> None:
    """Importing the export into the store that it came from adds nothing."""
    before = old("sessions", "list", stdin=None).out
    done = old("sessions", "import", str(DATA / "export-0.1.0.json"), stdin=None)
    assert "is here already" in done.err
    assert old("sessions", "list", stdin=None).out == before


def test_an_old_script_passes(old: Flue) -> None:
    """A script test that 0.1.0 made of a session is as expected today, recorded calls and all."""
    done = old("test", str(DATA / "script-0.1.0.flue"), stdin=None)
    assert done.code == 0, done.out + done.err
