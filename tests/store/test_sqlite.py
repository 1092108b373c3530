"""What only a store in a file can promise."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import stat
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from support.store_processes import HOLD, TALK, files_below, process, wait_until_ready

from flue_cli.agents.api import Message
from flue_cli.errors import SessionBusy, StoreDamaged, StoreError, StoreLocked, StoreNewer
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Failure, SessionHead, TurnFailure
from flue_cli.stores.sqlite.store import SqliteStore
from flue_cli.testing.run_turns import (
    AGENT,
    begin_expired_turn,
    begin_turn,
    complete_turn,
    run_failed_turn,
    run_turn,
    store_contents,
    timeline_entries,
)


def damage(path: Path, old: bytes, bit: int = 0x01) -> None:
    """Flip one bit in the middle of `old`, wherever it is in the file."""
    new = bytearray(old)
    new[len(new) // 2] ^= bit
    content = path.read_bytes()
    assert old in content
    path.write_bytes(content.replace(old, bytes(new)))


def uses(store: Store) -> list[Callable[[], object]]:
    """The ways to begin using a store."""
    return [
        lambda: store.head(AGENT, "main"),
        store.sessions,
        lambda: begin_turn(store, "hello"),
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a store may be made: its folder has nothing else in it."""
    folder = tmp_path / "stores"
    folder.mkdir()
    return folder / "flue.db"


@pytest.fixture
def file_store(path: Path) -> Iterator[Store]:
    opened = open_store(str(path))
    yield opened
    opened.close()


def test_reading_makes_no_file(path: Path, file_store: Store) -> None:
    """Looking for sessions where there is no store leaves the disk as it was."""
    head = file_store.head(AGENT, "main")
    file_store.sessions()
    file_store.resolve("main")
    file_store.unsettled_prompt(head)
    file_store.messages(head, 0, 10)
    file_store.data_at(head, 0)
    list(file_store.entries(head, 1, 10, with_data=True))
    file_store.close()

    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("name", ["flue.db", "ü 🦜 %20?x=1#y&mode=ro.db", "new/folders/flue.db"])
def test_a_file_keeps_its_sessions(tmp_path: Path, name: str) -> None:
    """Whatever its path, a store that is opened again by its URL has all that was committed."""
    first = open_store(str(tmp_path / name))
    run_turn(first, "one", data='{"n":1}')
    before = store_contents(first)
    first.close()

    second = open_store(first.url)
    assert store_contents(second) == before
    second.close()
    assert (tmp_path / name).is_file()


def test_two_openings_of_a_file_are_one_store(path: Path, file_store: Store) -> None:
    """What one opening commits the other sees at once, and a turn of one keeps the other waiting."""
    other = open_store(str(path))
    run_turn(file_store, "one")
    lease = begin_turn(other, "two").lease

    who = re.escape(f"another process (pid {os.getpid()} on {os.uname().nodename})")
    with pytest.raises(SessionBusy, match=who):
        begin_turn(file_store, "three", wait=0)
    head = complete_turn(other, lease, data='{"n":2}')
    assert file_store.head(AGENT, "main") == head
    assert begin_turn(file_store, "three").lease.data == '{"n":2}'
    other.close()


def test_the_data_after_a_turn_is_never_far_from_a_snapshot(path: Path, file_store: Store) -> None:
    """However long a conversation, at most 256 changes are applied to find the data after a turn."""
    fields = {"padding": "x" * 600, "turns": 0}
    for number in range(1, 271):
        head = run_turn(file_store, "hello", data=json.dumps(fields | {"turns": number}))

    with closing(sqlite3.connect(path)) as db:
        turns = [number for (number,) in db.execute("SELECT turn FROM entry WHERE snapshot IS NOT NULL")]
        (farthest,) = db.execute("SELECT max(turn - base) FROM entry").fetchone()
    assert turns == [1, 257]
    assert farthest < 256
    for number in (255, 256, 257, 258, 270):
        assert json.loads(file_store.data_at(head, number))["turns"] == number


def test_a_store_may_be_reached_by_two_paths(tmp_path: Path, path: Path, file_store: Store) -> None:
    """A turn that runs holds the session against everybody, whatever name they know the file by."""
    run_turn(file_store, "one")
    link = tmp_path / "link.db"
    link.symlink_to(path)
    linked = open_store(str(link))
    lease = begin_turn(file_store, "two").lease

    try:
        with pytest.raises(SessionBusy):
            begin_turn(linked, "three", wait=0)
    finally:
        linked.close()
    assert complete_turn(file_store, lease).turn == 2


def test_a_link_to_no_file_is_no_bug(tmp_path: Path) -> None:
    """Where a link leads nowhere, a store is made there or refused as StoreError."""
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "nowhere.db")
    store = open_store(str(link))
    assert store.sessions() == []

    try:
        assert begin_turn(store, "one").lease.turn == 1
    except StoreError as error:
        assert str(link) in error.message  # noqa: PT017 - either is fine
    store.close()


def test_a_store_is_private(tmp_path: Path) -> None:
    """Nobody else on the machine can read a store or its folder, whatever the umask."""
    path = tmp_path / "new" / "folder" / "flue.db"
    store = open_store(str(path))
    old = os.umask(0)
    try:
        begin_turn(store, "hello")
        made = [path.parent.parent, *path.parent.parent.rglob("*")]
        modes = {str(item): stat.S_IMODE(item.stat().st_mode) for item in made}
    finally:
        os.umask(old)
        store.close()

    assert modes[str(path)] == 0o600
    assert {mode & 0o077 for mode in modes.values()} == {0}


def test_a_deleted_session_leaves_no_trace_in_the_files(path: Path, file_store: Store) -> None:
    """Nothing that was said in a deleted session can be found in the store's files."""
    secret = "hunter2-"
    run_turn(file_store, "keep", "other")
    for number in range(20):
        run_turn(
            file_store,
            secret * (1 + 1000 * (number % 2)),
            "secret",
            reply=secret,
            data=json.dumps({"x" * number: secret}),
            messages=[Message("tool", secret)],
            meta={"m": secret},
            key=f"{secret}{number}",
        )
    file_store.abandon(
        begin_turn(file_store, secret, "secret").lease, TurnFailure("failed", Failure("e", secret), {})
    )
    begin_expired_turn(file_store, secret, "secret")
    assert any(secret.encode() in content for content in files_below(path.parent).values())
    other = open_store(str(path))
    head = other.head(AGENT, "secret")

    file_store.delete(head)

    assert [name for name, content in files_below(path.parent).items() if secret.encode() in content] == []
    other.close()


def test_eight_processes_can_make_the_store_at_once(path: Path, file_store: Store) -> None:
    """Processes that all find no store and make it at the same time lose none of their turns."""
    names = [f"session {number}" for number in range(8)]
    with ExitStack() as stack:
        children = [stack.enter_context(process(TALK, str(path), name)) for name in names]
        for child in children:
            wait_until_ready(child)
        assert not path.exists()
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.flush()
        assert [child.wait(20) for child in children] == [0] * 8

    for name in names:
        head = file_store.head(AGENT, name)
        assert [entry.prompt for entry in timeline_entries(file_store, head)] == [
            f"prompt {n}" for n in range(4)
        ]
        assert file_store.data_at(head, 4) == '{"n":3}'
    assert len({summary.uid for summary in file_store.sessions()}) == 8
    leftovers = [name for name in files_below(path.parent) if ".new" in name]
    assert leftovers == []


def test_a_killed_process_holds_nobody_up(path: Path, file_store: Store) -> None:
    """A turn whose process is killed is noticed at once: the next prompt need not wait for its lease."""
    with process(HOLD, str(path)) as child:
        wait_until_ready(child)
        with pytest.raises(SessionBusy, match=rf"pid {child.pid} "):
            begin_turn(file_store, "hello", wait=0)
        child.send_signal(signal.SIGKILL)
        child.wait()

        begun = begin_turn(file_store, "hello", wait=0)

    assert begun.interrupted is not None
    assert begun.interrupted.prompt == "never answered"
    head = complete_turn(file_store, begun.lease)
    assert [entry.outcome for entry in timeline_entries(file_store, head)] == ["interrupted", "completed"]


def test_a_killed_waiter_holds_nobody_up(path: Path, file_store: Store) -> None:
    """A process that is killed while it waits for a session keeps no place in the line."""
    lease = begin_turn(file_store, "one").lease
    with process(HOLD, str(path)) as child:
        wait_until_ready(child)
        complete_turn(file_store, lease)
        with pytest.raises(SessionBusy):
            begin_turn(file_store, "two", wait=0)
        child.send_signal(signal.SIGKILL)
        child.wait()

        begun = begin_turn(file_store, "two", wait=0)

    assert (begun.lease.turn, begun.interrupted) == (2, None)


def test_a_killed_waiter_leaves_nothing_behind(path: Path, file_store: Store) -> None:
    """Waiters that were killed are forgotten once the session is used again, and do not pile up."""
    lease = begin_turn(file_store, "one").lease
    with process(HOLD, str(path)) as child:
        wait_until_ready(child)
        child.send_signal(signal.SIGKILL)
        child.wait()

    complete_turn(file_store, lease)
    run_turn(file_store, "two")
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM waiting").fetchone() == (0,)


def test_a_newer_store_is_left_alone(path: Path) -> None:
    """A store that a newer Flue made is StoreNewer, and not one byte of it changes."""
    store = open_store(str(path))
    run_turn(store, "hello")
    store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()

    for use in uses(store):
        with pytest.raises(StoreNewer, match="newer Flue"):
            use()
    store.close()
    assert files_below(path.parent) == {"flue.db": before}


def database_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE session (uid INTEGER)")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"x"), "is not a Flue store"),
        (lambda path: path.write_text("dear diary\n" * 1000), "is not a Flue store"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096), "is not a Flue store"),
        (database_of_another_program, "is not a Flue store"),
    ],
    ids=["empty", "one byte", "text", "header only", "another program's"],
)
def test_a_file_that_is_no_store_is_left_alone(
    path: Path, make: Callable[[Path], object], problem: str
) -> None:
    """A file that is not a store of Flue's is StoreDamaged, and not one byte of it changes."""
    make(path)
    before = path.read_bytes()
    store = open_store(str(path))

    for use in uses(store):
        with pytest.raises(StoreDamaged, match=f"{re.escape(str(path))} {problem}"):
            use()
    store.close()
    assert files_below(path.parent) == {"flue.db": before}


def test_a_file_that_is_no_store_is_let_go_of(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever was refused has no file open any more."""
    path.write_text("dear diary\n" * 1000)
    store = open_store(str(path))
    opened = []
    connect = sqlite3.connect

    def recorded(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        opened.append(connection)
        return connection

    monkeypatch.setattr(sqlite3, "connect", recorded)
    for use in uses(store):
        with pytest.raises(StoreDamaged):
            use()
    store.close()

    assert opened
    for connection in opened:
        with closing(connection), pytest.raises(sqlite3.ProgrammingError, match="closed"):
            connection.execute("SELECT 1")


@pytest.mark.parametrize("part", ["prompt", "reply", "between", "meta", "data"])
@pytest.mark.parametrize("bit", [0x01, 0x80], ids=["another letter", "no letter at all"])
def test_a_flipped_bit_is_noticed(path: Path, part: str, bit: int) -> None:
    """If what the file holds is not what was written, reading it is StoreDamaged and names the turn."""
    store = open_store(str(path))
    run_turn(store, "first", data='{"n":1}')
    head = run_turn(
        store,
        "the marked prompt",
        reply="the marked reply",
        messages=[Message("tool", "the marked between")],
        meta={"note": "the marked meta"},
        data='{"note":"the marked data"}',
    )
    run_turn(store, "third", data='{"n":3}')
    store.close()
    damage(path, f"the marked {part}".encode(), bit)

    assert [entry.prompt for entry in store.entries(head, 1, 1, with_data=True)] == ["first"]
    named = "turn 2 of session 'main' is damaged"
    with pytest.raises(StoreDamaged, match=named):
        list(store.entries(head, 1, 2, with_data=True))
    with pytest.raises(StoreDamaged, match=named):
        store.data_at(head, 2) if part == "data" else store.messages(head, 0, 10)
    store.close()


def test_no_turn_starts_from_damaged_data(path: Path) -> None:
    """A prompt for a session whose data is damaged is StoreDamaged, and is not recorded."""
    store = open_store(str(path))
    head = run_turn(store, "one", data='{"note":"the marked data"}')
    run_turn(store, "one", "other")
    store.close()
    damage(path, b"the marked data")

    with pytest.raises(StoreDamaged, match="turn 1 of session 'main' is damaged"):
        begin_turn(store, "two")
    assert store.head(AGENT, "main") == head
    assert store.unsettled_prompt(head) is None
    assert run_turn(store, "two", "other").turn == 2
    store.close()


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_store_that_is_gone_takes_no_more_writes(tmp_path: Path, path: Path, replaced: bool) -> None:
    """If its file is removed or replaced while it is open, the next write is StoreError, not a loss."""
    store = open_store(str(path))
    lease = begin_turn(store, "one").lease
    other = open_store(str(tmp_path / "other.db"))
    run_turn(other, "somebody else's")
    other.close()
    if replaced:
        (tmp_path / "other.db").replace(path)
    else:
        path.unlink()

    with pytest.raises(StoreError, match="removed or replaced"):
        complete_turn(store, lease)
    with pytest.raises(StoreError, match="removed or replaced"):
        begin_turn(store, "two", "other")
    store.close()
    assert path.exists() == replaced


@pytest.mark.parametrize("changes", [False, True])
def test_a_turn_costs_the_same_however_long_nothing_changed(tmp_path: Path, changes: bool) -> None:
    """Neither constant data nor a run of failures makes finding the data read more and more turns."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    run_turn(store, "first", data='{"n":1}')
    for number in range(600):
        if changes:
            run_turn(store, "same", data='{"n":1}')
        else:
            run_failed_turn(store, f"fails {number}")

    with sqlite3.connect(store.path) as db:
        assert db.execute("SELECT max(turn - base) FROM entry").fetchone()[0] < 256
    db.close()
    head = store.head(AGENT, "main")
    assert {store.data_at(head, number) for number in range(1, head.turn + 1)} == {'{"n":1}'}
    store.close()


def test_a_lost_head_is_no_empty_session(tmp_path: Path) -> None:
    """When the newest turn's row is gone, that is said; the session does not begin anew."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    run_turn(store, "first")
    store.close()
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE session SET head = 999")
    db.close()

    with pytest.raises(StoreDamaged, match="newest turn"):
        store.head(AGENT, "main")
    with pytest.raises(StoreDamaged, match="newest turn"):
        run_turn(store, "second")
    store.close()


def test_a_turn_whose_end_could_not_be_written_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a commit that failed, the same process is not waited for until its lease runs out."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    lease = begin_turn(store, "first").lease

    def full(*arguments: object) -> SessionHead:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("flue_cli.stores.sqlite.store.release_lease", full)
        with pytest.raises(StoreError):
            complete_turn(store, lease)
    again = begin_turn(store, "second", wait=0)

    assert again.interrupted is not None
    assert again.interrupted.prompt == "first"
    store.close()


def test_renewing_does_not_bring_a_store_back(tmp_path: Path) -> None:
    """A store that was removed during a turn stays removed, whichever thread notices first."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    lease = begin_turn(store, "first").lease
    for path in tmp_path.glob("flue.db*"):
        if path.is_file():
            path.unlink()
    failures: list[BaseException] = []

    def renew() -> None:
        try:
            store.renew(lease)
        except StoreError as error:
            failures.append(error)

    thread = threading.Thread(target=renew)
    thread.start()
    thread.join()

    assert len(failures) == 1
    assert not (tmp_path / "flue.db").exists()
    with pytest.raises(StoreError):
        complete_turn(store, lease)
    store.close()


def test_a_program_that_keeps_writing_is_waited_for_within_bounds(tmp_path: Path) -> None:
    """While another program holds the file, a wait is bounded as behind a turn, and names the cause."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    run_turn(store, "first")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()

    with pytest.raises(StoreLocked, match="locked by another program"):
        begin_turn(store, "second", wait=0.5)

    assert time.monotonic() - started < 2
    other.execute("ROLLBACK")
    other.close()
    begin_turn(store, "second", wait=0.5)
    store.close()
