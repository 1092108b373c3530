"""A store in a file, used by two processes at once, and one that an older Flue left."""

from __future__ import annotations

import json
import random
import shutil
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
from support.old_store import copy_as_schema_1
from support.store_processes import TALK, files_below, process, wait_until_ready

from flue_cli.agents.api import Message, Reply
from flue_cli.agents.discovery import Agent
from flue_cli.errors import SessionChanged, StoreDamaged
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import TurnFailure, TurnRequest
from flue_cli.stores.sqlite.database_file import BUSY_SECONDS
from flue_cli.stores.sqlite.schema import SCHEMA_VERSION
from flue_cli.stores.sqlite.store import SqliteStore
from flue_cli.testing.run_turns import (
    AGENT,
    BROKEN,
    begin_turn,
    complete_turn,
    edit_data,
    move_head_to,
    run_failed_turn,
    run_turn,
    run_turns,
    session_contents,
    sleep,
    timeline_prompts,
    undone_fork_names,
)
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.runner import Runner


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


# Two processes, each with an opening of its own


def test_a_store_made_anew_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    """Where the file was replaced while nobody had it open, a turn starts from what is in it now."""
    path = tmp_path / "flue.db"
    ours = SqliteStore(str(path))
    run_turns(ours, "x", "y", "z")
    ours.disconnect()
    for file in tmp_path.glob("flue.db*"):
        if file.is_file():
            file.unlink()
    theirs = SqliteStore(str(path))
    head = run_turns(theirs, "one", "two", "three")

    lease = begin_turn(ours, "four").lease
    assert lease.head == head
    assert lease.data == theirs.data_at(head, 3)
    assert [message.content for message in ours.messages(head, 4, 6)] == ["three", "ok"]
    ours.close()
    theirs.close()


def test_what_another_process_deleted_is_not_read(tmp_path: Path) -> None:
    """Nobody is shown a conversation that was deleted elsewhere, also not the process that held it."""
    ours, theirs = (SqliteStore(str(tmp_path / "flue.db")) for _ in range(2))
    head = run_turns(ours, "secret")
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
    run_turns(stores[0], "first")
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
            lease = begin_turn(store, f"prompt {number}").lease
            assert lease.data == data
            if what == "fail":
                store.abandon(lease, TurnFailure("failed", BROKEN, {}))
            else:
                between = [Message("tool", str(number))] * chance.randrange(3)
                complete_turn(
                    store, lease, reply=f"reply {number}", messages=between, data=f'{{"n":{number}}}'
                )
        elif what == "edit":
            edit_data(store, f'{{"edited":{number}}}')
        elif what == "rename":
            store.rename(head, f"away {number}", wait=0, pause=sleep)
            run_turns(store, f"anew {number}")
        elif what == "delete":
            store.delete(head)
            run_turns(store, f"anew {number}")
        else:
            move_head_to(
                store, chance.randrange(max(head.turn, 1)) if what == "undo" else store.redo_head(head).turn
            )
    for store in stores:
        store.close()


def test_what_is_used_last_is_listed_first(tmp_path: Path) -> None:
    """A turn in one process makes its session the newest, whatever another process did in between."""
    path = str(tmp_path / "flue.db")
    ours, theirs = open_store(path), open_store(path)
    run_turns(ours, "hello", name="a")
    run_turns(theirs, "hello", name="b")
    run_turns(ours, "again", name="a")
    assert [found.name for found in ours.sessions()] == ["a", "b"]
    ours.close()
    theirs.close()


# The timeline


def whole(store: Store) -> list[tuple[object, ...]]:
    """All that there is in a store, with what was undone."""
    return [
        session_contents(store, store.head(one.agent, one.name))
        for one in store.sessions(with_undone_forks=True)
    ]


@pytest.fixture
def old_store(tmp_path: Path, path: Path) -> tuple[Store, list[tuple[object, ...]]]:
    """A store at `path` that an older Flue made, not opened yet, and what is in it."""
    made = open_store(str(tmp_path / "made.db"))
    for number in range(300):
        run_turn(made, "hello", data=json.dumps({"n": number, "padding": "x" * 600}), key=str(number))
    run_failed_turn(made, "fails")
    run_turns(made, "one", "two", name="other")
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
    move_head_to(store, 270)
    assert begin_turn(store, "hello", "other").lease.turn == 3
    assert json.loads(begin_turn(store, "next").lease.data)["n"] == 269
    assert timeline_prompts(store, "main~1") == ["hello"] * 300 + ["fails"]
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
    assert [timeline_prompts(store, f"new {number}") for number in range(8)] == [
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
    run_turns(file_store, "one", "two", "three")
    move_head_to(file_store, 1)
    with monkeypatch.context() as older:
        older.setattr("flue_cli.stores.sqlite.forks.fork_undone_branch", lambda db, state: None)
        head = run_turns(file_store, "instead")

    assert file_store.redo_head(head) == head
    run_turns(file_store, "on")
    assert (timeline_prompts(file_store), timeline_prompts(file_store, "main~1")) == (
        ["one", "instead", "on"],
        ["one", "two", "three"],
    )


CHANGES: dict[str, Callable[[Store], object]] = {
    "undo": lambda store: move_head_to(store, 1),
    "redo": lambda store: move_head_to(store, 3),
    "edit": lambda store: edit_data(store, '{"by":"hand"}'),
    "prompt": lambda store: begin_turn(store, "instead"),
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
    run_turns(made, "one", "two", "three")
    move_head_to(made, 2)
    run_turns(made, "again")
    run_turns(made, "on", name="main~1")
    run_turns(made, "somebody else's", name="other")
    move_head_to(made, 2)
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
            run_turn(left, "next", session.name)
        left.close()
    assert len(found) > 5
    assert found[0] == before != after
    assert found == sorted(found, key=lambda one: one == after)


def test_a_undone_fork_that_is_deleted_leaves_no_trace(path: Path, file_store: Store) -> None:
    """What only it could reach is in no file any more; what its session has too is all there."""
    secret = "hunter2-"
    run_turns(file_store, "both have this")
    for number in range(10):
        run_turn(
            file_store,
            secret * (1 + 1000 * (number % 2)),
            reply=secret,
            data=json.dumps({"x" * number: secret}),
        )
    move_head_to(file_store, 1)
    run_turns(file_store, "instead")
    run_turn(file_store, secret, "main~1", key=secret, messages=[Message("tool", secret)], meta={"m": secret})
    move_head_to(file_store, 5, "main~1")
    edit_data(file_store, json.dumps({"edit": secret}), "main~1")
    assert undone_fork_names(file_store) == ["main~1", "main~1~1"]

    def is_left() -> list[str]:
        file_store.disconnect()
        return [name for name, content in files_below(path.parent).items() if secret.encode() in content]

    file_store.delete(file_store.head(AGENT, "main~1~1"))
    assert is_left()
    file_store.delete(file_store.head(AGENT, "main~1"))
    assert is_left() == []
    assert timeline_prompts(file_store) == ["both have this", "instead"]


def test_a_deleted_session_takes_its_undone_forks_out_of_the_files(path: Path, file_store: Store) -> None:
    """Nothing that was said in a session or in forks that were kept of it can be found in the files."""
    secret = "hunter2-"
    run_turns(file_store, "keep", name="other")
    for number in range(6):
        run_turn(file_store, f"{secret}{number}" * 500, data=json.dumps({"n": [secret] * number}))
        move_head_to(file_store, number // 2)
    edit_data(file_store, json.dumps({"edit": secret}))
    assert len(undone_fork_names(file_store)) > 3

    file_store.delete(file_store.head(AGENT, "main"))

    assert [name for name, content in files_below(path.parent).items() if secret.encode() in content] == []
    assert [summary.name for summary in file_store.sessions(with_undone_forks=True)] == ["other"]


def test_nobody_reads_what_took_the_place_of_a_deleted_session(file_store: Store) -> None:
    """Whoever still has a session that was deleted does not get to see another one's turns for it."""
    gone = run_turns(file_store, "one", "two")
    file_store.delete(gone)
    run_turns(file_store, "private", "secret", name="other")

    with pytest.raises(SessionChanged):
        list(file_store.entries(gone, 1, 2))
    with pytest.raises(SessionChanged):
        file_store.messages(gone, 0, 4)
    with pytest.raises(SessionChanged):
        file_store.data_at(gone, 2)


def test_a_fork_of_a_damaged_session_is_no_fork(path: Path) -> None:
    """Where a turn is missing, forking is StoreDamaged and makes nothing; a check-up finds what was undone too."""
    store = open_store(str(path))
    run_turns(store, "one", "two", "three")
    move_head_to(store, 1)
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("DELETE FROM entry WHERE turn = 2")

    with pytest.raises(StoreDamaged):
        store.fork(store.redo_head(store.head(AGENT, "main")), "fork")
    assert [summary.name for summary in store.sessions()] == ["main"]
    assert [finding.level for finding in store.health()].count("problem") == 1
    store.close()
