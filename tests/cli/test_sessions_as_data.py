"""Sessions as data under attack: odd files, odd figures, names that collide, places that must not be replaced."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.foreign_databases import LLM_NEW, LLM_OLD, agents_database, make_database

from flue_cli.stores import open_store
from flue_cli.stores.memory.store import MemoryStore
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.testing.run_turns import run_turns
from flue_cli.times import format_iso, parse_iso
from flue_cli.transcripts.file_names import file_names

if TYPE_CHECKING:
    from conftest import Flue

KILLED_RESTORE = """
import os, signal, sys
def die(event, arguments):
    if event == "os.link" and ".before-" in str(arguments[1]):
        os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(die)
from flue_cli.cli import run
run()
"""


def header(name: str, **more: object) -> str:
    return json.dumps({"flue": 1, "agent": "a", "session": name} | more)


def turn(prompt: str = "hi", **more: object) -> str:
    said = [{"role": "user", "content": prompt}, {"role": "assistant", "content": "yo"}]
    times = {"started_at": "2026-01-01T00:00:00Z", "finished_at": "2026-01-01T00:00:01Z"}
    return json.dumps({"turn": 1, "outcome": "completed", **times, "messages": said, "data": {}} | more)


def imported(flue: Flue, *lines: str, name: str = "in.jsonl") -> tuple[int, str]:
    (flue.folder / name).write_text("\n".join(lines) + "\n")
    done = flue("sessions", "import", name, stdin=None)
    return done.code, done.err


def names(flue: Flue) -> set[str]:
    return {one["session"] for one in json.loads(flue("sessions", "list", "--json", stdin=None).out)}


# What must not be replaced


@pytest.mark.parametrize("place", ["pipe", "link to it", "log"])
def test_a_backup_replaces_no_device_and_no_part_of_the_store(flue: Flue, place: str) -> None:
    """Not even with --force: a file in the place of /dev/null would break the machine."""
    flue("chat", "greeting", "-s", "s", "hello", stdin=None)
    os.mkfifo(flue.folder / "pipe")
    (flue.folder / "link").symlink_to("pipe")
    target = {"pipe": "pipe", "link to it": "link", "log": f"{flue.store}-wal"}[place]

    done = flue("backup", target, "--force", stdin=None)

    assert (done.code, done.out) == (2, "")
    assert stat.S_ISFIFO((flue.folder / "pipe").stat().st_mode)
    assert (flue.folder / "link").is_symlink()
    assert names(flue) == {"s"}


def test_a_backup_is_a_file(flue: Flue) -> None:
    """`-` is not standard output here, and no file of that name appears."""
    flue("chat", "greeting", "-s", "s", "hello", stdin=None)

    assert flue("backup", "-", stdin=None).code == 2
    assert not (flue.folder / "-").exists()


@pytest.mark.parametrize("way", ["by name", "through a link", "its log"])
def test_an_export_never_replaces_the_store(flue: Flue, way: str) -> None:
    """--force replaces files, but not the one in which all sessions are."""
    flue("chat", "greeting", "-s", "s", "hello", stdin=None)
    (flue.folder / "link").symlink_to(flue.store)
    file = {"by name": str(flue.store), "through a link": "link", "its log": f"{flue.store}-wal"}[way]

    done = flue("sessions", "export", "--all", "-o", file, "--force", stdin=None)

    assert done.code == 2
    assert "is the store itself" in done.err
    assert names(flue) == {"s"}


def test_dev_stdout_is_standard_output(flue: Flue) -> None:
    """Also where the shell has made a file of it: it gets the text, and stays what it is."""
    flue("chat", "greeting", "-s", "s", "hello", stdin=None)
    with (flue.folder / "out").open("wb") as out:
        done = flue.start(
            "sessions", "export", "s", "-o", "/dev/stdout", stdin=subprocess.DEVNULL, stdout=out
        )
        assert done.wait(60) == 0

    assert json.loads((flue.folder / "out").read_text())["session"] == "s"


def test_dev_stderr_is_no_file_to_replace(flue: Flue) -> None:
    """What is called so in /dev is written to, also where it leads to a file."""
    flue("chat", "greeting", "-s", "s", "hello", stdin=None)
    with (flue.folder / "err").open("wb") as err:
        done = flue.start(
            "sessions", "export", "s", "-o", "/dev/stderr", stdin=subprocess.DEVNULL, stderr=err
        )
        assert done.wait(60) == 0

    assert json.loads((flue.folder / "err").read_text())["session"] == "s"


# What redaction makes alike


def test_redacted_sessions_do_not_overwrite_each_other(flue: Flue) -> None:
    """Sessions whose names show the same get files of their own, with --force too."""
    imported(flue, header("ann-1"), turn("one"), header("ann-2"), turn("two"), header("ann-3"), turn("three"))

    done = flue("sessions", "export", "--all", "-o", "out/", "--redact", r"ann-\d", "--force", stdin=None)

    assert done.code == 0
    files = list((flue.folder / "out").iterdir())
    said = {json.loads(file.read_text())["turns"][0]["messages"][0]["content"] for file in files}
    assert said == {"one", "two", "three"}


def test_a_redacted_session_can_be_imported(flue: Flue) -> None:
    """Keys that were taken out do not become one key of two turns."""
    imported(flue, header("s"), turn("one", key="id-1"), turn("two", key="id-2"), turn("three", key="plain"))
    flue("sessions", "export", "s", "-o", "red.json", "--redact", r"id-\d", stdin=None)

    assert flue("sessions", "import", "red.json", "--session", "again", stdin=None).code == 0
    turns = json.loads((flue.folder / "red.json").read_text())["turns"]
    assert [one["key"] for one in turns] == [None, None, "plain"]


@given(st.lists(st.sampled_from(["x", "x-2", "X", "x-3", "[x]", "é", "é"]), max_size=9))
def test_names_of_files_are_apart_even_where_sessions_show_the_same(shown: list[str]) -> None:
    """Whatever a redaction has made of the names."""
    found = file_names([SessionHead(number, "a", name) for number, name in enumerate(shown)], "json")

    assert len({name.casefold() for name in found}) == len(shown)


# One bad session among good ones


def test_a_broken_line_keeps_out_its_session_alone(flue: Flue) -> None:
    """Those before it and behind it are imported, and everything that was not is named with its place."""
    code, said = imported(
        flue,
        *(
            header("first"),
            turn(),
            header("broken"),
            turn(),
            '{"turn": oops',
            turn(),
            header("second"),
            turn(),
        ),
        *('{"flue": 1, "agent": 3, "session": "odd"}', turn(), header("third"), turn()),
    )

    assert code == 2
    assert names(flue) == {"first", "second", "third"}
    assert "line 5 is not JSON" in said
    assert 'line 9: "agent" is not text' in said
    assert "3 imported, 2 not imported" in said


def test_an_earlier_problem_is_told_whatever_comes_later(flue: Flue) -> None:
    """A session that is in the way is named, though a later header cannot be read."""
    imported(flue, header("s"), turn("here"))

    code, said = imported(flue, header("s"), turn("other"), '{"flue": 1, "agent": 3}', turn())

    assert code == 2
    assert "session 's' of agent 'a' exists already" in said
    assert 'line 3: "agent" is not text' in said


def test_bytes_that_are_no_text_keep_out_their_session_alone(flue: Flue) -> None:
    """A line that is not UTF-8 is a broken line like any other."""
    lines = [header("first"), turn(), "OOPS", header("second"), turn()]
    (flue.folder / "in.jsonl").write_bytes("\n".join(lines).encode().replace(b"OOPS", b"\xff\xfe"))

    done = flue("sessions", "import", "in.jsonl", stdin=None)

    assert (done.code, names(flue)) == (2, {"second"})
    assert "line 3 of in.jsonl is not UTF-8" in done.err


def test_a_bad_list_keeps_no_other_list_out(flue: Flue) -> None:
    """A line a list: each is a session of its own, called by its number, and the bad ones are named."""
    asked = '{"messages": [{"role": "user", "content": "x"}]}'
    code, said = imported(
        flue, asked, '{"messages": [{"role": "assistant", "content": "x"}]}', "{", '{"messages": 3}', asked
    )

    assert (code, names(flue)) == (2, {"in-1", "in-5"})
    assert "in-2: there is no message by the user" in said
    assert "line 3 is not JSON" in said
    assert "line 4 is not a list of messages" in said


def test_one_message_is_a_list_of_one(flue: Flue) -> None:
    """A file of lines may have a single line."""
    assert imported(flue, '{"role": "user", "content": "alone"}')[0] == 0
    assert names(flue) == {"in"}


@pytest.mark.parametrize(
    ("kind", "change", "complaint"),
    [
        ("old", "UPDATE conversations SET name = x'ff00'", "column name holds bytes"),
        ("old", "UPDATE responses SET prompt = x'ff00'", "column prompt holds bytes"),
        ("old", "UPDATE fragments SET content = x'ff00'", "a fragment is not text"),
        ("new", "UPDATE parts SET payload = '{\"text_ref\": 3}'", "text_ref is not a list of pieces"),
        ("new", "UPDATE messages SET provider_metadata = '{'", "provider_metadata is not JSON"),
        ("agents", "UPDATE agent_messages SET message_data = x'ff00'", "holds bytes where a text must be"),
    ],
)
def test_a_foreign_database_with_odd_values(flue: Flue, kind: str, change: str, complaint: str) -> None:
    """What is wrong with it is told, and it is no bug of ours."""
    path = flue.folder / "odd.db"
    if kind == "agents":
        agents_database(path).close()
    else:
        make_database(path, LLM_OLD if kind == "old" else LLM_NEW)
    db = sqlite3.connect(path)
    with db:
        assert db.execute(change).rowcount > 0
    db.close()

    done = flue("sessions", "import", "odd.db", stdin=None)

    assert done.code == 2
    assert complaint in done.err


def test_a_response_that_took_no_number_of_milliseconds(flue: Flue) -> None:
    """An unusable length of time costs nothing else of the conversation."""
    make_database(flue.folder / "odd.db", LLM_OLD + "UPDATE responses SET duration_ms = 'long';")

    assert flue("sessions", "import", "odd.db", stdin=None).code == 0
    assert names(flue) == {"the weather", "the weather-2"}


# Odd figures


def test_a_turn_that_has_no_end_is_counted(flue: Flue) -> None:
    """A turn whose end nobody wrote down has taken no known time, and the figures are told."""
    assert imported(flue, header("s"), turn(finished_at=None))[0] == 0

    done = flue("sessions", "stats", "--json", stdin=None)

    assert done.code == 0
    assert (json.loads(done.out)["completed"], json.loads(done.out)["slowest"]) == (1, [])


@pytest.mark.parametrize("kind", ["file", "memory"])
def test_figures_of_odd_times_are_the_same_everywhere(tmp_path: Path, kind: str) -> None:
    """Turns without an end or before 1970 count on their day, whatever the store."""
    store = MemoryStore() if kind == "memory" else open_store(str(tmp_path / "s.db"))
    told = Entry(0, "prompt", "completed", None, "hi", "yo", (), -1, None, None, {}, "{}")
    store.import_session("a", "s", [told, told._replace(started_at=5, finished_at=9)])

    found = store.statistics()

    assert found.days == ((-1, 1), (0, 1))
    assert [(slow.turn, slow.took) for slow in found.slowest] == [(2, 4)]
    store.close()


@pytest.mark.parametrize("meta", ["", [], 0, False, "text", [1]])
def test_meta_that_is_not_an_object_is_refused(flue: Flue, meta: object) -> None:
    """A turn whose meta is something other than an object or null is refused, also an empty one."""
    code, said = imported(flue, header("s"), turn(meta=meta))

    assert (code, names(flue)) == (2, set())
    assert '"meta" is not an object' in said


@pytest.mark.parametrize("time", ["9999-12-31T23:59:59-23:59", "0001-01-01T00:00:00+23:59"])
def test_times_outside_of_the_calendar_are_refused(flue: Flue, time: str) -> None:
    """They could be imported, and then no page with them be written."""
    code, said = imported(flue, header("s"), turn(started_at=time))

    assert (code, names(flue)) == (2, set())
    assert '"started_at" is not a time' in said


@given(st.integers(-62_000_000_000_000_000, 253_000_000_000_000_000))
def test_a_time_that_is_written_is_read_again(moment: int) -> None:
    """To the microsecond, in the year 900 too."""
    assert parse_iso(format_iso(moment)) == moment


def test_a_fork_of_an_impossible_turn_is_refused(flue: Flue) -> None:
    """A number that no store can hold is unusable input."""
    code, said = imported(flue, header("s", forked_from={"session": "x", "turn": 10**30}), turn())

    assert code == 2
    assert "does not name a session and a turn" in said


@pytest.mark.parametrize(
    "arguments",
    [
        ("list", "--limit", "9" * 30),
        ("list", "--since", "9" * 20 + "d"),
        ("search", "--limit", "9" * 30, "hello"),
        ("export", "s", "--last", "9" * 30),
        ("prune", "--older-than", "9" * 30 + "w", "--dry-run"),
    ],
)
def test_a_limit_may_be_as_large_as_it_likes(flue: Flue, arguments: tuple[str, ...]) -> None:
    """It then limits nothing."""
    flue("chat", "greeting", "-s", "s", "hello", stdin=None)

    done = flue("sessions", *arguments, stdin=None)

    assert done.code == 0
    assert ("hello" in done.out) == (arguments[0] != "prune")


@pytest.mark.parametrize("query", ["$[?@.a == 1e400]", "$[1e400]", "$.a[0:1e400]"])
def test_a_query_of_endless_numbers(flue: Flue, query: str) -> None:
    """What the library stumbles over is a query that cannot be used."""
    done = flue("sessions", "query", query, stdin=None)

    assert (done.code, done.out) == (2, "")
    assert "is not valid JSONPath" in done.err


# As of a turn, and after a crash


def test_as_of_a_turn_there_is_nothing_later(flue: Flue) -> None:
    """A prompt that a crash left unanswered belongs to no earlier turn, in any form."""
    flue.agent(
        "slow",
        "import time\ndef agent(p, s, c):\n    print('runs', flush=True)\n    time.sleep(p == 'hang' and 60)\n    return 'ok'",
    )
    flue("chat", "slow", "-s", "s", "one", stdin=None)
    running = flue.start("chat", "slow", "-s", "s", "hang", stdin=subprocess.DEVNULL)
    assert running.stderr.readline() == b"runs\n"
    running.kill()
    running.wait()

    whole = flue("sessions", "export", "s", stdin=None).out
    exported = flue("sessions", "export", "s", "--at", "1", "--redact", "zzz", stdin=None).out
    shown = flue("sessions", "show", "s", "--at", "1", "--json", stdin=None).out

    assert [one["turn"] for one in json.loads(whole)["turns"]] == [1, 2]
    assert [one["turn"] for one in json.loads(exported)["turns"]] == [1]
    assert [one["turn"] for one in json.loads(shown)["turns"]] == [1]


def test_a_killed_restore_leaves_a_store_that_many_can_use(flue: Flue) -> None:
    """It is in write-ahead mode again once somebody opens it: whoever reads keeps no one from writing."""
    flue("chat", "greeting", "-s", "s", "hello", stdin=None)
    flue("backup", "b.db", stdin=None)
    command = [sys.executable, "-c", KILLED_RESTORE, "backup", "b.db", "--restore", "--force"]
    done = subprocess.run(command, cwd=flue.folder, env=flue.env, capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert _mode(flue.store) == "delete"

    assert names(flue) == {"s"}

    assert _mode(flue.store) == "wal"


def test_a_damaged_backup_is_not_called_the_store(flue: Flue) -> None:
    """The file is named as what it is, and nobody is told to restore it from a backup."""
    flue("chat", "greeting", "-s", "s", "hello", stdin=None)
    flue("backup", "b.db", stdin=None)
    file = flue.folder / "b.db"
    file.write_bytes(file.read_bytes()[:30_000])

    done = flue("backup", "b.db", "--restore", "--force", stdin=None)

    assert done.code == 5
    assert f"the backup {file} is damaged" in done.err
    assert "restore it" not in done.err
    assert names(flue) == {"s"}


def test_no_draft_on_a_read_only_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written, and nothing removed, it is the disk that is named."""
    from flue_cli.errors import OutputFailed

    store = open_store(str(tmp_path / "s.db"))
    run_turns(store, "hello")

    def read_only(*_: object, **__: object) -> int:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("flue_cli.stores.sqlite.maintenance.backup.os.open", read_only)
    monkeypatch.setattr("flue_cli.stores.sqlite.maintenance.backup.os.unlink", read_only)
    with pytest.raises(OutputFailed, match="Read-only file system"):
        store.back_up(str(tmp_path / "b.db"), lambda *_: None)
    monkeypatch.undo()
    store.close()


def _mode(path: Path) -> str:
    db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    try:
        return str(db.execute("PRAGMA journal_mode").fetchone()[0])
    finally:
        db.close()
