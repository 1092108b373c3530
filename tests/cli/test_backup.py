"""`flue backup`: a copy of a store in use, checked; and a copy put back in its place."""

from __future__ import annotations

import errno
import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.old_store import copy_as_schema_1

from flue_cli.errors import Conflict, FileExists, StoppedBySignal, StoreError
from flue_cli.stores import open_store
from flue_cli.testing.run_turns import (
    AGENT,
    begin_turn,
    complete_turn,
    move_head_to,
    run_turn,
    run_turns,
    session_contents,
    store_contents,
    timeline_entries,
)

if TYPE_CHECKING:
    from conftest import Flue

    from flue_cli.stores.contract import Store


@pytest.fixture
def store(flue: Flue) -> Iterator[Store]:
    """The store of the command, with a session that has a kept fork."""
    flue.home.mkdir(exist_ok=True)
    opened = open_store(str(flue.store))
    run_turns(opened, "one", "two")
    move_head_to(opened, 1)
    run_turns(opened, "instead")
    yield opened
    opened.close()


def in_file(path: Path, name: str = "main") -> tuple[object, ...]:
    """Everything that the store at `path` tells about a session."""
    found = open_store(str(path))
    try:
        return store_contents(found, name)
    finally:
        found.close()


def quiet(what: str, done: int, total: int) -> None:
    """Nobody looks how far it is."""


def around(path: Path) -> list[str]:
    return sorted(file.name for file in path.parent.iterdir() if not file.name.endswith("-owners"))


def spoil(path: Path, old: bytes) -> None:
    """Overwrite something that is in a file."""
    whole = path.read_bytes()
    assert old in whole
    path.write_bytes(whole.replace(old, b"#" * len(old)))


def test_a_backup_is_a_store(flue: Flue, store: Store) -> None:
    """It has everything, is private and one file, and can be used as a store by itself."""
    before = store_contents(store)

    done = flue("backup", "b.db", stdin=None)

    path = flue.folder / "b.db"
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith(f"{flue.store} is copied to b.db (")
    assert path.stat().st_mode & 0o777 == 0o600
    assert around(path) == ["b.db"]
    assert in_file(path) == before == store_contents(store)
    assert flue("sessions", "show", "main", "--store", "b.db", stdin=None).out.endswith("> instead\nok\n")
    assert flue("doctor", "--store", "b.db", stdin=None).code == 0


def test_a_backup_replaces_nothing_by_itself(flue: Flue, store: Store) -> None:
    """A file or a link in the way is 4 without --force; what is no file is 2; no such folder is 74."""
    (flue.folder / "b.db").write_text("precious")
    (flue.folder / "link").symlink_to("nowhere")
    (flue.folder / "folder").mkdir()

    for file, code in (("b.db", 4), ("link", 4), ("folder", 2), (str(flue.store), 2), ("no/where.db", 74)):
        assert flue("backup", file, stdin=None).code == code, file
    assert flue("backup", str(flue.store), "--force", stdin=None).code == 2
    assert (flue.folder / "b.db").read_text() == "precious"
    assert flue("backup", "b.db", "--force", stdin=None).code == 0
    assert in_file(flue.folder / "b.db") == store_contents(store)
    assert around(flue.folder / "b.db") == ["b.db", "folder", "link"]


def test_there_must_be_something_to_copy(flue: Flue) -> None:
    """No store yet is 5, one in memory 2; no file is left."""
    assert flue("backup", "b.db", stdin=None).code == 5
    assert flue("backup", "b.db", "--store", "memory:", stdin=None).code == 2
    assert flue("backup", "b.db", "--restore", "--store", "memory:", stdin=None).code == 2
    assert flue("backup", "b.db", "--restore", stdin=None).code == 2
    assert list(flue.folder.iterdir()) == []


def test_a_store_in_use_is_copied_as_of_one_moment(flue: Flue, store: Store, tmp_path: Path) -> None:
    """While another thread makes turns, every copy has whole turns up to one of them, and no turn has to fail."""
    over = threading.Event()
    made: list[int] = []

    def write() -> None:
        while not over.is_set():
            number = len(made)
            for name in ("left", "right"):
                run_turn(store, f"{name} {number}", name, reply="x" * 5000, wait=30)
            made.append(number)
        store.disconnect()

    run_turn(store, "large", "large", reply="x" * 3_000_000)  # several steps of copying
    steps: list[int] = []
    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(5):
            at_least, before = len(made), len(steps)
            store.back_up(str(tmp_path / f"{number}.db"), lambda what, done, total: steps.append(done))
            assert len(steps) > before + 2
            copy = open_store(str(tmp_path / f"{number}.db"))
            left, right = copy.head(AGENT, "left"), copy.head(AGENT, "right")
            assert left.turn - right.turn in (0, 1)
            assert right.turn >= at_least
            for head in (left, right):
                assert [entry.prompt for entry in timeline_entries(copy, head)] == [
                    f"{head.name} {turn}" for turn in range(head.turn)
                ]
            copy.close()
    finally:
        over.set()
        writer.join()
    assert len(made) > 0


def test_a_damaged_store_makes_no_backup(flue: Flue, store: Store) -> None:
    """A row whose checksum is wrong is 5 and named, and there is no file."""
    store.close()
    spoil(flue.store, b"instead")

    done = flue("backup", "b.db", stdin=None)

    assert done.code == 5
    assert f"the store {flue.store} is damaged: parrot/main: turn 2 of session 'main' is damaged" in done.err
    assert list(flue.folder.iterdir()) == []


def test_a_backup_that_is_stopped_leaves_nothing(flue: Flue, store: Store, tmp_path: Path) -> None:
    """A signal ends it at once; the store goes on."""

    def stop(at: str, what: str, done: int, total: int) -> None:
        if what == at:
            raise StoppedBySignal(signal.SIGINT)

    for what in ("copying", "checking"):
        with pytest.raises(StoppedBySignal):
            store.back_up(
                str(tmp_path / "b.db"),
                partial(stop, what),
            )
    assert not [file for file in tmp_path.iterdir() if "b.db" in file.name]
    run_turns(store, "more")
    store.back_up(str(tmp_path / "b.db"), quiet)
    assert in_file(tmp_path / "b.db") == store_contents(store)


def test_what_came_after_the_backup_is_kept_beside(flue: Flue, store: Store) -> None:
    """Without --force the store stays (4); with it the backup is in its place, and the other can be used too."""
    flue("backup", "b.db", stdin=None)
    before = store_contents(store)
    run_turns(store, "later")
    after = store_contents(store)
    store.close()

    refused = flue("backup", "b.db", "--restore", stdin=None)
    assert (refused.code, in_file(flue.store)) == (4, after)
    assert "--force" in refused.err
    done = flue("backup", "b.db", "--restore", "--force", stdin=None)

    kept = Path(done.err.splitlines()[-1].removeprefix("the store that was there is now "))
    assert (done.code, done.out) == (0, "")
    assert kept.name.startswith("flue.db.before-20")
    assert in_file(flue.store) == before
    assert in_file(kept) == after
    assert around(flue.store) == ["flue.db", kept.name]
    assert {flue.store.stat().st_mode & 0o777, kept.stat().st_mode & 0o777} == {0o600}
    for path in (flue.store, kept):
        db = sqlite3.connect(path)
        assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
        db.close()
    run_turns(store, "anew")
    assert [entry.prompt for entry in timeline_entries(store, store.head(AGENT, "main"))] == [
        "one",
        "instead",
        "anew",
    ]
    assert flue("doctor", stdin=None).code == 0
    store.close()
    again = flue("backup", str(kept), "--restore", "--force", stdin=None)
    assert (again.code, in_file(flue.store)) == (0, after)


def test_a_lost_store_is_put_back(flue: Flue, store: Store) -> None:
    """Where no store is, none is kept; the log of the one that was lost does no harm and is kept."""
    flue("backup", "b.db", stdin=None)
    before = store_contents(store)
    run_turns(store, "only in the log", name="other")
    log = flue.home / "flue.db-wal"
    left = log.read_bytes()
    store.close()
    flue.store.unlink()
    log.write_bytes(left)

    assert flue("backup", "b.db", "--restore", stdin=None).code == 0

    assert in_file(flue.store) == before
    assert [path.read_bytes() for path in flue.home.glob("flue.db.before-*-wal")] == [left]
    assert flue("backup", "b.db", "--restore", stdin=None).code == 4


def test_a_damaged_store_is_replaced_and_kept_as_it_is(flue: Flue, store: Store) -> None:
    """What made the backup necessary does not make it useless."""
    flue("backup", "b.db", stdin=None)
    before = store_contents(store)
    store.close()
    flue.store.write_bytes(b"no database" * 1000)

    done = flue("backup", "b.db", "--restore", "--force", stdin=None)

    assert (done.code, in_file(flue.store)) == (0, before)
    (kept,) = flue.home.glob("flue.db.before-*")
    assert kept.read_bytes() == b"no database" * 1000


@pytest.mark.parametrize(
    "what", ["nothing", "rubbish", "other program's", "newer", "damaged", "empty", "cut off"]
)
def test_only_a_sound_backup_is_put_back(flue: Flue, store: Store, what: str) -> None:
    """A file that is none, is damaged or newer is refused with its name, and the store stays as it is."""
    path = flue.folder / "b.db"
    store.back_up(str(path), quiet)
    if what == "nothing":
        path.unlink()
    elif what == "rubbish":
        path.write_text("rubbish" * 1000)
    elif what == "empty":
        path.write_bytes(b"")
    elif what == "cut off":
        path.write_bytes(path.read_bytes()[:20_000])
    elif what == "damaged":
        spoil(path, b"instead")
    else:
        db = sqlite3.connect(path)
        db.execute("PRAGMA user_version = 99" if what == "newer" else "PRAGMA application_id = 5")
        db.close()
    before, files = store_contents(store), around(flue.store)
    store.close()

    done = flue("backup", "b.db", "--restore", "--force", stdin=None)

    assert done.code == (2 if what == "nothing" else 5)
    assert str(path) in done.err
    assert in_file(flue.store) == before
    assert around(flue.store) == [file for file in files if file == "flue.db"]


def test_an_older_backup_is_made_newer(flue: Flue, store: Store, tmp_path: Path) -> None:
    """A backup by an earlier Flue is put back as a store of today's; the file itself stays as it was."""
    other = open_store(str(tmp_path / "source.db"))
    run_turns(other, "one", "two", name="older")
    whole = session_contents(other, other.head(AGENT, "older"))
    other.close()
    copy_as_schema_1(tmp_path / "old.db", tmp_path / "source.db")
    old = (tmp_path / "old.db").read_bytes()
    store.close()

    done = flue("backup", str(tmp_path / "old.db"), "--restore", "--force", stdin=None)

    assert done.code == 0, done.err
    assert session_contents(store, store.head(AGENT, "older"))[1:] == whole[1:]
    assert (tmp_path / "old.db").read_bytes() == old
    assert prompts_after(store, "older") == ["one", "two", "three"]


def prompts_after(store: Store, name: str) -> list[str]:
    """What was said in a session, after one more turn."""
    return [entry.prompt for entry in timeline_entries(store, run_turns(store, "three", name=name))]


def test_a_store_in_use_is_not_replaced(flue: Flue, store: Store) -> None:
    """Any process that has it open keeps it: one that answers, one that only looks; 4, and nothing happens."""
    store.back_up(str(flue.folder / "b.db"), quiet)
    run_turns(store, "later")
    lease = begin_turn(store, "runs").lease
    before = store_contents(store)

    done = flue("backup", "b.db", "--restore", "--force", stdin=None)
    assert (done.code, store_contents(store)) == (4, before)
    assert "is in use by another process" in done.err
    complete_turn(store, lease)
    store.close()

    reader = sqlite3.connect(flue.store)
    reader.execute("SELECT count(*) FROM session").fetchone()
    assert flue("backup", "b.db", "--restore", "--force", stdin=None).code == 4
    reader.close()
    watching = flue.start("sessions", "watch", "main", "--json")
    lease = begin_turn(store, "runs").lease
    assert watching.stdout.readline()
    complete_turn(store, lease)
    store.close()
    assert flue("backup", "b.db", "--restore", "--force", stdin=None).code == 4
    watching.kill()
    watching.wait()
    assert flue("backup", "b.db", "--restore", "--force", stdin=None).code == 0


def test_a_turn_that_ran_during_the_backup_is_interrupted(flue: Flue, store: Store) -> None:
    """What was half done in the copy is told as such, and the session takes the next prompt at once."""
    lease = begin_turn(store, "half").lease
    store.back_up(str(flue.folder / "b.db"), quiet)
    complete_turn(store, lease)
    store.close()

    assert flue("backup", "b.db", "--restore", "--force", stdin=None).code == 0

    assert "[3] (interrupted)\n> half\n" in flue("sessions", "show", "main", stdin=None).out
    interrupted = begin_turn(store, "next").interrupted
    assert interrupted
    assert interrupted.prompt == "half"


def test_a_restore_that_fails_last_leaves_the_store(
    flue: Flue, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the very last step fails, the store is where it was, as it was."""
    file = flue.folder / "b.db"
    store.back_up(str(file), quiet)
    run_turns(store, "later")
    before = store_contents(store)
    store.close()

    def fail(old: str, new: str) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("flue_cli.stores.sqlite.maintenance.backup.os.replace", fail)
    with pytest.raises(StoreError, match="No space left"):
        store.restore(str(file), quiet, force=True)
    with pytest.raises(FileExists):
        store.restore(str(file), quiet)
    monkeypatch.undo()
    assert around(flue.store) == ["flue.db"]
    db = sqlite3.connect(flue.store)
    assert db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    db.close()
    assert store_contents(store) == before
    run_turns(store, "goes on")


def test_one_process_restores_at_a_time(flue: Flue, store: Store) -> None:
    """A store of our own process that is open elsewhere is in use too."""
    file = flue.folder / "b.db"
    store.back_up(str(file), quiet)
    other = open_store(str(flue.store))
    begin_turn(other, "runs", "other")

    with pytest.raises(Conflict):
        store.restore(str(file), quiet, force=True)

    other.close()
    kept = store.restore(str(file), quiet, force=True)
    assert os.path.exists(kept)


@pytest.mark.parametrize("code", [errno.EPERM, errno.EACCES, errno.ENOTSUP])
def test_a_file_system_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """A store is made, backed up and restored there too, and nothing is replaced unasked."""

    def no_links(old: str, new: str) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.link", no_links)
    path, copy = tmp_path / "s.db", tmp_path / "b.db"
    store = open_store(str(path))
    run_turns(store, "one")
    store.back_up(str(copy), quiet)
    with pytest.raises(FileExists):
        store.back_up(str(copy), quiet)
    before = store_contents(store)
    run_turns(store, "two")
    store.close()

    kept = store.restore(str(copy), quiet, force=True)

    assert store_contents(store) == before
    store.close()
    other = open_store(kept)
    assert [entry.prompt for entry in other.entries(other.head(AGENT, "main"), 1, 2)] == ["one", "two"]
    other.close()


def test_the_first_to_write_wins_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What came into the way while a file was written is not replaced."""
    from flue_cli.files import atomic_write

    file = tmp_path / "out"

    def no_links(old: str, new: str) -> None:
        file.write_text("first")
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    with pytest.raises(FileExistsError):
        atomic_write(str(file), [b"second"], replace=False)

    assert file.read_text() == "first"
    assert os.listdir(tmp_path) == ["out"]


def test_a_restore_that_fails_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the very last step fails there, the store gets its place back."""

    def no_links(old: str, new: str) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    def fail(old: str, new: str) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path, copy = tmp_path / "s.db", tmp_path / "b.db"
    store = open_store(str(path))
    run_turns(store, "one")
    store.back_up(str(copy), quiet)
    run_turns(store, "two")
    before = store_contents(store)
    store.close()

    monkeypatch.setattr("os.link", no_links)
    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(StoreError, match="No space left"):
        store.restore(str(copy), quiet, force=True)
    monkeypatch.undo()

    assert store_contents(store) == before
    store.close()


def test_a_file_whose_name_is_as_long_as_can_be(tmp_path: Path) -> None:
    """The name of a draft is short, whatever the file is called."""
    from flue_cli.files import write_whole

    file = tmp_path / ("🙂" * 63)
    write_whole(str(file), ["text"], force=False)
    assert file.read_text() == "text"
