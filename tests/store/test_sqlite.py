"""What only a store in a file can promise."""

from __future__ import annotations

import json
import os
import random
import re
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from support.old_store import copy_as_schema_1

from flue_cli.agents.api import Message, Reply
from flue_cli.agents.discovery import Agent
from flue_cli.errors import SessionBusy, SessionChanged, StoreDamaged, StoreError, StoreNewer
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Failure, SessionHead, TurnRequest
from flue_cli.stores.sqlite.database_file import BUSY_SECONDS
from flue_cli.stores.sqlite.schema import SCHEMA_VERSION
from flue_cli.stores.sqlite.store import SqliteStore
from flue_cli.testing.run_turns import (
    AGENT,
    BROKEN,
    begin,
    contents,
    edit,
    everything,
    failed_turn,
    finish,
    forgotten,
    kept_names,
    move,
    prompts,
    sleep,
    talk,
    timeline,
    turn,
)
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.runner import Runner

IMPORTS = """
import sys
from flue_cli.stores import open_store
from flue_cli.stores.records import TurnRequest
store = open_store(sys.argv[1])
"""

TALK = (
    IMPORTS
    + """
print("ready", flush=True)
sys.stdin.readline()
for number in range(4):
    begun = store.begin(TurnRequest("parrot", sys.argv[2], f"prompt {number}", wait=0), lambda *_: None)
    store.commit(begun.lease, reply="ok", messages=[], data=f'{{"n":{number}}}', meta={})
store.close()
"""
)

HOLD = (
    IMPORTS
    + """
def pause(seconds, holder):
    print("ready", flush=True)
    sys.stdin.readline()

store.begin(TurnRequest("parrot", "main", "never answered", wait=100), pause)
pause(0, None)
"""
)


@contextmanager
def process(source: str, *arguments: str) -> Iterator[subprocess.Popen[bytes]]:
    """Python in a process of its own."""
    command = [sys.executable, "-c", source, *arguments]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        try:
            yield child
        finally:
            child.kill()


def wait_until_ready(child: subprocess.Popen[bytes]) -> None:
    assert child.stdout is not None
    assert child.stdout.readline() == b"ready\n"


def files(folder: Path) -> dict[str, bytes]:
    """Everything below a folder, by name."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


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
        lambda: begin(store, "hello"),
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
    turn(first, "one", data='{"n":1}')
    before = everything(first)
    first.close()

    second = open_store(first.url)
    assert everything(second) == before
    second.close()
    assert (tmp_path / name).is_file()


def test_two_openings_of_a_file_are_one_store(path: Path, file_store: Store) -> None:
    """What one opening commits the other sees at once, and a turn of one keeps the other waiting."""
    other = open_store(str(path))
    turn(file_store, "one")
    lease = begin(other, "two").lease

    who = re.escape(f"another process (pid {os.getpid()} on {os.uname().nodename})")
    with pytest.raises(SessionBusy, match=who):
        begin(file_store, "three", wait=0)
    head = finish(other, lease, data='{"n":2}')
    assert file_store.head(AGENT, "main") == head
    assert begin(file_store, "three").lease.data == '{"n":2}'
    other.close()


def test_the_data_after_a_turn_is_never_far_from_a_snapshot(path: Path, file_store: Store) -> None:
    """However long a conversation, at most 256 changes are applied to find the data after a turn."""
    fields = {"padding": "x" * 600, "turns": 0}
    for number in range(1, 271):
        head = turn(file_store, "hello", data=json.dumps(fields | {"turns": number}))

    with closing(sqlite3.connect(path)) as db:
        turns = [number for (number,) in db.execute("SELECT turn FROM entry WHERE snapshot IS NOT NULL")]
        (farthest,) = db.execute("SELECT max(turn - base) FROM entry").fetchone()
    assert turns == [1, 257]
    assert farthest < 256
    for number in (255, 256, 257, 258, 270):
        assert json.loads(file_store.data_at(head, number))["turns"] == number


def test_a_store_may_be_reached_by_two_paths(tmp_path: Path, path: Path, file_store: Store) -> None:
    """A turn that runs holds the session against everybody, whatever name they know the file by."""
    turn(file_store, "one")
    link = tmp_path / "link.db"
    link.symlink_to(path)
    linked = open_store(str(link))
    lease = begin(file_store, "two").lease

    try:
        with pytest.raises(SessionBusy):
            begin(linked, "three", wait=0)
    finally:
        linked.close()
    assert finish(file_store, lease).turn == 2


def test_a_link_to_no_file_is_no_bug(tmp_path: Path) -> None:
    """Where a link leads nowhere, a store is made there or refused as StoreError."""
    link = tmp_path / "link.db"
    link.symlink_to(tmp_path / "nowhere.db")
    store = open_store(str(link))
    assert store.sessions() == []

    try:
        assert begin(store, "one").lease.turn == 1
    except StoreError as error:
        assert str(link) in error.message  # noqa: PT017 - either is fine
    store.close()


def test_a_store_is_private(tmp_path: Path) -> None:
    """Nobody else on the machine can read a store or its folder, whatever the umask."""
    path = tmp_path / "new" / "folder" / "flue.db"
    store = open_store(str(path))
    old = os.umask(0)
    try:
        begin(store, "hello")
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
    turn(file_store, "keep", "other")
    for number in range(20):
        turn(
            file_store,
            secret * (1 + 1000 * (number % 2)),
            "secret",
            reply=secret,
            data=json.dumps({"x" * number: secret}),
            messages=[Message("tool", secret)],
            meta={"m": secret},
            key=f"{secret}{number}",
        )
    file_store.abandon(begin(file_store, secret, "secret").lease, "failed", Failure("e", secret), {})
    forgotten(file_store, secret, "secret")
    assert any(secret.encode() in content for content in files(path.parent).values())
    other = open_store(str(path))
    head = other.head(AGENT, "secret")

    file_store.delete(head)

    assert [name for name, content in files(path.parent).items() if secret.encode() in content] == []
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
        assert [entry.prompt for entry in timeline(file_store, head)] == [f"prompt {n}" for n in range(4)]
        assert file_store.data_at(head, 4) == '{"n":3}'
    assert len({summary.uid for summary in file_store.sessions()}) == 8
    leftovers = [name for name in files(path.parent) if ".new" in name]
    assert leftovers == []


def test_a_killed_process_holds_nobody_up(path: Path, file_store: Store) -> None:
    """A turn whose process is killed is noticed at once: the next prompt need not wait for its lease."""
    with process(HOLD, str(path)) as child:
        wait_until_ready(child)
        with pytest.raises(SessionBusy, match=rf"pid {child.pid} "):
            begin(file_store, "hello", wait=0)
        child.send_signal(signal.SIGKILL)
        child.wait()

        begun = begin(file_store, "hello", wait=0)

    assert begun.interrupted is not None
    assert begun.interrupted.prompt == "never answered"
    head = finish(file_store, begun.lease)
    assert [entry.outcome for entry in timeline(file_store, head)] == ["interrupted", "completed"]


def test_a_killed_waiter_holds_nobody_up(path: Path, file_store: Store) -> None:
    """A process that is killed while it waits for a session keeps no place in the line."""
    lease = begin(file_store, "one").lease
    with process(HOLD, str(path)) as child:
        wait_until_ready(child)
        finish(file_store, lease)
        with pytest.raises(SessionBusy):
            begin(file_store, "two", wait=0)
        child.send_signal(signal.SIGKILL)
        child.wait()

        begun = begin(file_store, "two", wait=0)

    assert (begun.lease.turn, begun.interrupted) == (2, None)


def test_a_killed_waiter_leaves_nothing_behind(path: Path, file_store: Store) -> None:
    """Waiters that were killed are forgotten once the session is used again, and do not pile up."""
    lease = begin(file_store, "one").lease
    with process(HOLD, str(path)) as child:
        wait_until_ready(child)
        child.send_signal(signal.SIGKILL)
        child.wait()

    finish(file_store, lease)
    turn(file_store, "two")
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("SELECT count(*) FROM waiting").fetchone() == (0,)


def test_a_newer_store_is_left_alone(path: Path) -> None:
    """A store that a newer Flue made is StoreNewer, and not one byte of it changes."""
    store = open_store(str(path))
    turn(store, "hello")
    store.close()
    with closing(sqlite3.connect(path)) as db:
        db.execute("PRAGMA user_version = 99")
    before = path.read_bytes()

    for use in uses(store):
        with pytest.raises(StoreNewer, match="newer Flue"):
            use()
    store.close()
    assert files(path.parent) == {"flue.db": before}


def database_of_another_program(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE session (uid INTEGER)")


@pytest.mark.parametrize(
    ("make", "problem"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_bytes(b"x"), "is not a Flue store"),
        (lambda path: path.write_text("dear diary\n" * 1000), "is damaged"),
        (lambda path: path.write_bytes(b"SQLite format 3\0" + b"\xff" * 4096), "is damaged"),
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
    assert files(path.parent) == {"flue.db": before}


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
    turn(store, "first", data='{"n":1}')
    head = turn(
        store,
        "the marked prompt",
        reply="the marked reply",
        messages=[Message("tool", "the marked between")],
        meta={"note": "the marked meta"},
        data='{"note":"the marked data"}',
    )
    turn(store, "third", data='{"n":3}')
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
    head = turn(store, "one", data='{"note":"the marked data"}')
    turn(store, "one", "other")
    store.close()
    damage(path, b"the marked data")

    with pytest.raises(StoreDamaged, match="turn 1 of session 'main' is damaged"):
        begin(store, "two")
    assert store.head(AGENT, "main") == head
    assert store.unsettled_prompt(head) is None
    assert turn(store, "two", "other").turn == 2
    store.close()


@pytest.mark.parametrize("replaced", [False, True], ids=["removed", "replaced"])
def test_a_store_that_is_gone_takes_no_more_writes(tmp_path: Path, path: Path, replaced: bool) -> None:
    """If its file is removed or replaced while it is open, the next write is StoreError, not a loss."""
    store = open_store(str(path))
    lease = begin(store, "one").lease
    other = open_store(str(tmp_path / "other.db"))
    turn(other, "somebody else's")
    other.close()
    if replaced:
        (tmp_path / "other.db").replace(path)
    else:
        path.unlink()

    with pytest.raises(StoreError, match="removed or replaced"):
        finish(store, lease)
    with pytest.raises(StoreError, match="removed or replaced"):
        begin(store, "two", "other")
    store.close()
    assert path.exists() == replaced


@pytest.mark.parametrize("changes", [False, True])
def test_a_turn_costs_the_same_however_long_nothing_changed(tmp_path: Path, changes: bool) -> None:
    """Neither constant data nor a run of failures makes finding the data read more and more turns."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    turn(store, "first", data='{"n":1}')
    for number in range(600):
        if changes:
            turn(store, "same", data='{"n":1}')
        else:
            failed_turn(store, f"fails {number}")

    with sqlite3.connect(store.path) as db:
        assert db.execute("SELECT max(turn - base) FROM entry").fetchone()[0] < 256
    db.close()
    head = store.head(AGENT, "main")
    assert {store.data_at(head, number) for number in range(1, head.turn + 1)} == {'{"n":1}'}
    store.close()


def test_a_lost_head_is_no_empty_session(tmp_path: Path) -> None:
    """When the newest turn's row is gone, that is said; the session does not begin anew."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    turn(store, "first")
    store.close()
    with sqlite3.connect(store.path) as db:
        db.execute("UPDATE session SET head = 999")
    db.close()

    with pytest.raises(StoreDamaged, match="newest turn"):
        store.head(AGENT, "main")
    with pytest.raises(StoreDamaged, match="newest turn"):
        turn(store, "second")
    store.close()


def test_a_turn_whose_end_could_not_be_written_is_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a commit that failed, the same process is not waited for until its lease runs out."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    lease = begin(store, "first").lease

    def full(*arguments: object) -> SessionHead:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("flue_cli.stores.sqlite.store.release", full)
        with pytest.raises(StoreError):
            finish(store, lease)
    again = begin(store, "second", wait=0)

    assert again.interrupted is not None
    assert again.interrupted.prompt == "first"
    store.close()


def test_renewing_does_not_bring_a_store_back(tmp_path: Path) -> None:
    """A store that was removed during a turn stays removed, whichever thread notices first."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    lease = begin(store, "first").lease
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
        finish(store, lease)
    store.close()


def test_a_program_that_keeps_writing_is_waited_for_within_bounds(tmp_path: Path) -> None:
    """While another program holds the file, a wait is bounded as behind a turn, and can be given up."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    turn(store, "first")
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    started = time.monotonic()

    with pytest.raises(SessionBusy):
        begin(store, "second", wait=0.5)

    assert time.monotonic() - started < 2
    other.execute("ROLLBACK")
    other.close()
    begin(store, "second", wait=0.5)
    store.close()


# Two processes, each with an opening of its own


def test_a_store_made_anew_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    """Where the file was replaced while nobody had it open, a turn starts from what is in it now."""
    path = tmp_path / "flue.db"
    ours = SqliteStore(str(path))
    talk(ours, "x", "y", "z")
    ours.disconnect()
    for file in tmp_path.glob("flue.db*"):
        if file.is_file():
            file.unlink()
    theirs = SqliteStore(str(path))
    head = talk(theirs, "one", "two", "three")

    lease = begin(ours, "four").lease
    assert lease.head == head
    assert lease.data == theirs.data_at(head, 3)
    assert [message.content for message in ours.messages(head, 4, 6)] == ["three", "ok"]
    ours.close()
    theirs.close()


def test_what_another_process_deleted_is_not_read(tmp_path: Path) -> None:
    """Nobody is shown a conversation that was deleted elsewhere, also not the process that held it."""
    ours, theirs = (SqliteStore(str(tmp_path / "flue.db")) for _ in range(2))
    head = talk(ours, "secret")
    theirs.delete(head)
    with pytest.raises(SessionChanged):
        ours.messages(head, 0, 2)
    ours.close()
    theirs.close()


@pytest.mark.parametrize("between", [[], [{"role": "tool", "content": ["one"], "name": "clock"}]])
def test_what_an_agent_does_to_its_messages_is_its_own(tmp_path: Path, between: list[dict[str, Any]]) -> None:
    """Messages that an agent changes in memory are told as they were said in the next turn."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    runner = Runner(store)
    seen: list[list[dict[str, Any]]] = []
    held: list[Message] = []

    def vandal(prompt: str, session: Any, context: Any) -> Reply:
        found = session.history.last(10)
        seen.append(deepcopy([message.as_dict() for message in found]))
        held.extend(session.history.last(10))
        for message in [one for one in found if one.role == "tool"] or found:
            message.extra["spoilt"] = True
            if isinstance(message.content, list):
                message.content.append("spoilt")
        found.clear()
        return Reply("ok", between)

    for _ in range(4):
        done = runner.run(
            Agent(AGENT, vandal, "test"), TurnRequest(AGENT, "main", "hi"), cancellation=Cancellation()
        )
        assert done.outcome == "completed"
    one_turn = [{"role": "user", "content": "hi"}, *between, {"role": "assistant", "content": "ok"}]
    assert seen == [[], one_turn, one_turn * 2, one_turn * 3]
    assert not any("spoilt" in message.extra for message in held)
    runner.close()
    store.close()


@pytest.mark.parametrize("seed", range(8))
def test_two_processes_see_one_conversation(tmp_path: Path, seed: int) -> None:
    """Whatever two processes do to a session, also under its name, each sees the same conversation and data."""
    chance = random.Random(seed)
    path = str(tmp_path / "flue.db")
    stores: list[Store] = [open_store(path) for _ in range(2)]
    talk(stores[0], "first")
    for number in range(60):
        store = chance.choice(stores)
        what = chance.choice(["turn"] * 6 + ["fail", "undo", "redo", "edit", "rename", "delete"])
        with closing(open_store(path)) as fresh:
            head = fresh.head(AGENT, "main")
            data = fresh.data_at(head, head.turn)
            messages = fresh.messages(head, 0, head.messages)
        start = chance.randrange(head.messages + 1)
        for each in stores:
            assert each.head(AGENT, "main") == head
            assert each.messages(head, start, head.messages) == messages[start:]
        if what in ("turn", "fail"):
            lease = begin(store, f"prompt {number}").lease
            assert lease.data == data
            if what == "fail":
                store.abandon(lease, "failed", BROKEN, {})
            else:
                between = [Message("tool", str(number))] * chance.randrange(3)
                finish(store, lease, reply=f"reply {number}", messages=between, data=f'{{"n":{number}}}')
        elif what == "edit":
            edit(store, f'{{"edited":{number}}}')
        elif what == "rename":
            store.rename(head, f"away {number}", wait=0, pause=sleep)
            talk(store, f"anew {number}")
        elif what == "delete":
            store.delete(head)
            talk(store, f"anew {number}")
        else:
            move(store, chance.randrange(max(head.turn, 1)) if what == "undo" else store.redo_head(head).turn)
    for store in stores:
        store.close()


def test_what_is_used_last_is_listed_first(tmp_path: Path) -> None:
    """A turn in one process makes its session the newest, whatever another process did in between."""
    path = str(tmp_path / "flue.db")
    ours, theirs = open_store(path), open_store(path)
    talk(ours, "hello", name="a")
    talk(theirs, "hello", name="b")
    talk(ours, "again", name="a")
    assert [found.name for found in ours.sessions()] == ["a", "b"]
    ours.close()
    theirs.close()


# The timeline


def whole(store: Store) -> list[tuple[object, ...]]:
    """All that there is in a store, with what was undone."""
    return [
        contents(store, store.head(one.agent, one.name)) for one in store.sessions(with_undone_forks=True)
    ]


@pytest.fixture
def old_store(tmp_path: Path, path: Path) -> tuple[Store, list[tuple[object, ...]]]:
    """A store at `path` that an older Flue made, not opened yet, and what is in it."""
    made = open_store(str(tmp_path / "made.db"))
    for number in range(300):
        turn(made, "hello", data=json.dumps({"n": number, "padding": "x" * 600}), key=str(number))
    failed_turn(made, "fails")
    talk(made, "one", "two", name="other")
    before = whole(made)
    made.close()
    copy_as_schema_1(path, tmp_path / "made.db")
    return open_store(str(path)), before


def test_an_older_store_goes_on(old_store: tuple[Store, list[tuple[object, ...]]], path: Path) -> None:
    """A store that a Flue before undo made is opened as it is, and can do what is new."""
    store, before = old_store

    assert whole(store) == before
    with closing(sqlite3.connect(path)) as db:
        assert db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    move(store, 270)
    assert begin(store, "hello", "other").lease.turn == 3
    assert json.loads(begin(store, "next").lease.data)["n"] == 269
    assert prompts(store, "main~1") == ["hello"] * 300 + ["fails"]
    assert [finding for finding in store.health() if finding.level == "problem"] == []
    store.close()


def test_an_older_store_is_made_newer_once(
    old_store: tuple[Store, list[tuple[object, ...]]], path: Path
) -> None:
    """Processes that all open it for the first time at once lose no turn and no session."""
    store, before = old_store
    with ExitStack() as stack:
        children = [stack.enter_context(process(TALK, str(path), f"new {number}")) for number in range(8)]
        for child in children:
            wait_until_ready(child)
        for child in children:
            assert child.stdin is not None
            child.stdin.write(b"\n")
            child.stdin.flush()
        assert [child.wait(20) for child in children] == [0] * 8

    assert whole(store)[8:] == before
    assert [prompts(store, f"new {number}") for number in range(8)] == [
        [f"prompt {number}" for number in range(4)]
    ] * 8
    with closing(sqlite3.connect(path)) as db:
        applied = [name for (name,) in db.execute("SELECT name FROM _sqlite_migrations ORDER BY id")]
    assert applied[:2] == ["sessions_and_entries", "undo_and_forks"]
    assert len(applied) == len(set(applied)) == SCHEMA_VERSION
    store.close()


def test_an_older_store_opens_once_a_long_migration_is_done(
    old_store: tuple[Store, list[tuple[object, ...]]], path: Path
) -> None:
    """Whoever opens an older store while another program holds it for long waits, and then goes on."""
    store, before = old_store
    with closing(sqlite3.connect(path, isolation_level=None, check_same_thread=False)) as busy:
        busy.execute("BEGIN IMMEDIATE")
        threading.Timer(4 * BUSY_SECONDS, busy.execute, ["COMMIT"]).start()
        assert whole(store) == before
    store.close()


def test_threads_make_an_older_store_newer_once(old_store: tuple[Store, list[tuple[object, ...]]]) -> None:
    """Threads that use an older store for the first time at once all see what is in it."""
    store, before = old_store
    seen: list[list[tuple[object, ...]]] = []
    threads = [threading.Thread(target=lambda: seen.append(whole(store))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [before] * 8
    store.close()


def test_an_older_flue_that_still_runs_loses_nothing(
    path: Path, file_store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A turn made after an undo by a process that does not know of undo stays, and what was undone is kept."""
    talk(file_store, "one", "two", "three")
    move(file_store, 1)
    with monkeypatch.context() as older:
        older.setattr("flue_cli.stores.sqlite.forks.fork_undone_branch", lambda db, state: None)
        head = talk(file_store, "instead")

    assert file_store.redo_head(head) == head
    talk(file_store, "on")
    assert (prompts(file_store), prompts(file_store, "main~1")) == (
        ["one", "instead", "on"],
        ["one", "two", "three"],
    )


CHANGES: dict[str, Callable[[Store], object]] = {
    "undo": lambda store: move(store, 1),
    "redo": lambda store: move(store, 3),
    "edit": lambda store: edit(store, '{"by":"hand"}'),
    "prompt": lambda store: begin(store, "instead"),
    "fork": lambda store: store.fork(store.head(AGENT, "main"), "fork"),
    "fork of a kept one": lambda store: store.fork(store.head(AGENT, "main~1"), "fork"),
    "bring": lambda store: store.import_session(
        AGENT, "copy", store.entries(store.head(AGENT, "main~1"), 1, 9, with_data=True)
    ),
    "rename": lambda store: store.rename(store.head(AGENT, "main"), "new", wait=0, pause=sleep),
    "delete": lambda store: store.delete(store.head(AGENT, "main")),
    "delete a kept one": lambda store: store.delete(store.head(AGENT, "main~1")),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_that_is_killed_is_whole_or_none(
    tmp_path: Path, path: Path, change: Callable[[Store], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever statement a process dies at, all of the change is there or nothing, and turns go on."""
    made = open_store(str(path))
    talk(made, "one", "two", "three")
    move(made, 2)
    talk(made, "again")
    talk(made, "on", name="main~1")
    talk(made, "somebody else's", name="other")
    move(made, 2)
    before = whole(made)
    made.close()
    deaths: list[Path] = []

    def dies_here(statement: str) -> None:
        # What kill -9 leaves is what is in the files; the shared memory beside them goes with the process.
        place = tmp_path / f"death {len(deaths)}"
        place.mkdir()
        for file in (path, path.with_name(f"{path.name}-wal")):
            if file.exists():
                shutil.copy(file, place)
        deaths.append(place)

    connect = sqlite3.connect

    def traced(*arguments: Any, **options: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **options)
        connection.set_trace_callback(dies_here)
        return connection

    store = open_store(str(path))
    with monkeypatch.context() as watched:
        watched.setattr(sqlite3, "connect", traced)
        change(store)
    store.disconnect()
    after = whole(store)
    store.close()

    found = []
    for place in deaths:
        left = open_store(str(place / path.name))
        found.append(whole(left))
        assert found[-1] in (before, after)
        assert [finding for finding in left.health() if finding.level == "problem"] == []
        for session in left.sessions(with_undone_forks=True):
            turn(left, "next", session.name)
        left.close()
    assert len(found) > 5
    assert found[0] == before != after
    assert found == sorted(found, key=lambda one: one == after)


def test_a_kept_fork_that_is_deleted_leaves_no_trace(path: Path, file_store: Store) -> None:
    """What only it could reach is in no file any more; what its session has too is all there."""
    secret = "hunter2-"
    talk(file_store, "both have this")
    for number in range(10):
        turn(
            file_store,
            secret * (1 + 1000 * (number % 2)),
            reply=secret,
            data=json.dumps({"x" * number: secret}),
        )
    move(file_store, 1)
    talk(file_store, "instead")
    turn(file_store, secret, "main~1", key=secret, messages=[Message("tool", secret)], meta={"m": secret})
    move(file_store, 5, "main~1")
    edit(file_store, json.dumps({"edit": secret}), "main~1")
    assert kept_names(file_store) == ["main~1", "main~1~1"]

    def is_left() -> list[str]:
        file_store.disconnect()
        return [name for name, content in files(path.parent).items() if secret.encode() in content]

    file_store.delete(file_store.head(AGENT, "main~1~1"))
    assert is_left()
    file_store.delete(file_store.head(AGENT, "main~1"))
    assert is_left() == []
    assert prompts(file_store) == ["both have this", "instead"]


def test_a_deleted_session_takes_its_kept_forks_out_of_the_files(path: Path, file_store: Store) -> None:
    """Nothing that was said in a session or in forks that were kept of it can be found in the files."""
    secret = "hunter2-"
    talk(file_store, "keep", name="other")
    for number in range(6):
        turn(file_store, f"{secret}{number}" * 500, data=json.dumps({"n": [secret] * number}))
        move(file_store, number // 2)
    edit(file_store, json.dumps({"edit": secret}))
    assert len(kept_names(file_store)) > 3

    file_store.delete(file_store.head(AGENT, "main"))

    assert [name for name, content in files(path.parent).items() if secret.encode() in content] == []
    assert [summary.name for summary in file_store.sessions(with_undone_forks=True)] == ["other"]


def test_nobody_reads_what_took_the_place_of_a_deleted_session(file_store: Store) -> None:
    """Whoever still has a session that was deleted does not get to see another one's turns for it."""
    gone = talk(file_store, "one", "two")
    file_store.delete(gone)
    talk(file_store, "private", "secret", name="other")

    with pytest.raises(SessionChanged):
        list(file_store.entries(gone, 1, 2))
    with pytest.raises(SessionChanged):
        file_store.messages(gone, 0, 4)
    with pytest.raises(SessionChanged):
        file_store.data_at(gone, 2)


def test_a_fork_of_a_damaged_session_is_no_fork(path: Path) -> None:
    """Where a turn is missing, forking is StoreDamaged and makes nothing; a check-up finds what was undone too."""
    store = open_store(str(path))
    talk(store, "one", "two", "three")
    move(store, 1)
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DELETE FROM entry WHERE turn = 2")

    with pytest.raises(StoreDamaged):
        store.fork(store.redo_head(store.head(AGENT, "main")), "fork")
    assert [summary.name for summary in store.sessions()] == ["main"]
    assert [finding.level for finding in store.health()].count("problem") == 1
    store.close()
