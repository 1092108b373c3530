"""What an attack on the server found: broken requests, large replies, names that move, disks that fail."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import itertools
import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Generator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.flue_serve import Served
from support.group_commit import Connection, begin
from support.requirements import needs_program

from flue_cli.agents.discovery import Agent
from flue_cli.errors import LeaseLost, SessionChanged, StoreError
from flue_cli.log import Log
from flue_cli.server.admission import SessionQueues
from flue_cli.server.errors import Overloaded
from flue_cli.server.turn_scheduler import TurnScheduler
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import BegunTurn, LeaseHolder, TurnRequest, TurnResult
from flue_cli.stores.sqlite.store import SqliteStore
from flue_cli.turns.runner import Listener

if TYPE_CHECKING:
    from conftest import Flue

PIECES = """
def agent(prompt, session, context):
    for letter in prompt:
        yield letter * 200_000
"""


@pytest.fixture(params=["sqlite", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    opened = open_store(str(tmp_path / "flue.db") if request.param == "sqlite" else "memory:")
    yield opened
    opened.close()


# Replies


def test_a_large_reply_comes_in_small_events(flue: Flue) -> None:
    """However large an agent's pieces are, an event has 64 KiB at most; together they are the reply."""
    agents = flue.folder / "agents"
    agents.mkdir()
    (agents / "pieces.py").write_text(PIECES)
    served = Served(flue)
    said = served.prompt("pieces", "a", "xyz", Accept="text/event-stream").text
    events = [json.loads(line[6:]) for line in said.splitlines() if line.startswith("data: ")]
    deltas = [event["text"] for event in events if event["type"] == "reply.delta"]
    assert "".join(deltas) == events[-1]["reply"] == "".join(letter * 200_000 for letter in "xyz")
    assert max(map(len, deltas)) <= 65536
    assert events[-1]["type"] == "turn.completed"


# Prompts that wait


class Slow:
    """An agent that says when it is asked, and answers the first prompt when it is told to."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go_on = threading.Event()

    def __call__(self, prompt: str, session: Any, context: Any) -> str:
        self.asked.set()
        self.go_on.wait(30)
        return "ok"


def test_prompts_that_wait_while_their_session_is_renamed(store: Store) -> None:
    """All of them end with a conflict, and none makes the session anew; one that comes later does."""
    slow = Slow()
    agent = Agent("slow", slow, "")

    async def go() -> None:
        turns = TurnScheduler(store, Log(), wait=30, timeout=None)

        def ask() -> asyncio.Task[Any]:
            return turns.start(agent, TurnRequest("slow", "a", "hi"), Listener()).answer

        first = ask()
        await asyncio.to_thread(slow.asked.wait, 30)
        waiting = [ask() for _ in range(4)]
        head, waits = store.head("slow", "a"), threading.Event()
        renaming = asyncio.create_task(
            asyncio.to_thread(store.rename, head, "b", wait=30, pause=lambda *_: waits.set())
        )
        await asyncio.to_thread(waits.wait, 30)
        slow.go_on.set()
        assert (await first).outcome == "completed"
        found = await asyncio.gather(*waiting, return_exceptions=True)
        await renaming
        assert [type(one) for one in found] == [SessionChanged] * 4
        assert store.head("slow", "a").uid == 0
        assert (await ask()).turn == 1
        await turns.close()

    asyncio.run(go())


def test_agents_that_do_not_stop(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """They cannot pile up without end: prompts are turned away until one of them does stop."""
    monkeypatch.setattr("flue_cli.server.turn_scheduler.MAX_LOST", 1)
    slow = Slow()
    agent = Agent("slow", slow, "")

    async def go() -> None:
        turns = TurnScheduler(store, Log(), wait=30, timeout=0.1)

        def ask(name: str) -> asyncio.Task[Any]:
            return turns.start(agent, TurnRequest("slow", name, "hi"), Listener()).answer

        assert (await ask("a")).error.type == "timeout"
        with pytest.raises(Overloaded):
            await ask("b")
        slow.go_on.set()
        while turns._lost:  # noqa: ASYNC110 - a thread ends
            await asyncio.sleep(0.01)
        assert (await ask("b")).reply == "ok"
        await turns.close()

    asyncio.run(go())


def test_a_prompt_that_gives_up_as_its_turn_comes() -> None:
    """Neither place nor memory is kept for a session whose prompts have all gone."""

    async def go() -> None:
        lines = SessionQueues()
        inside, leave = asyncio.Event(), asyncio.Event()

        async def one() -> None:
            async with lines.turn("a", "s", 1, 30):
                inside.set()
                await leave.wait()

        first, second = asyncio.create_task(one()), asyncio.create_task(one())
        await inside.wait()
        await asyncio.sleep(0)
        leave.set()
        await first  # which lets the second in
        second.cancel()
        await asyncio.wait({second})
        assert not lines._lines

    asyncio.run(go())


# Commits that are shared


@pytest.fixture
def sharing(tmp_path: Path) -> Any:
    opened = SqliteStore(str(tmp_path / "flue.db"))
    opened.share_commits()
    yield opened
    opened.close()


def settle_together(store: SqliteStore, begun: list[BegunTurn], connection: Connection) -> list[object]:
    """Commit all in the same transaction: what each raised."""
    writer = store._connections._group_committer
    assert writer is not None
    raised: list[object] = [None] * len(begun)

    def one(number: int) -> None:
        try:
            store.commit(begun[number].lease, TurnResult(reply="ok", messages=(), data="{}", meta={}))
        except (StoreError, LeaseLost) as error:
            raised[number] = error

    threads = [threading.Thread(target=one, args=(number,)) for number in range(len(begun))]
    with writer._connection_lock:  # so that all of them wait
        for thread in threads:
            thread.start()
        while writer._arrivals < len(begun):
            pass
    for thread in threads:
        thread.join(30)
    return raised


def failing(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


class Broken(Connection):
    """The shared connection, on which `statement` fails once."""

    statement = ""

    def execute(self, statement: str, *values: object) -> sqlite3.Cursor:
        if statement == self.statement:
            self.statement = ""
            raise failing(sqlite3.SQLITE_IOERR)
        return super().execute(statement, *values)


def test_what_cannot_be_taken_back_is_not_kept(sharing: SqliteStore) -> None:
    """If a refused turn cannot be undone by itself, nothing is kept of the transaction, and all are told."""
    begun = [begin(sharing, f"s{number}") for number in range(4)]
    begun[1] = begun[1]._replace(lease=begun[1].lease._replace(fence=99))
    broken = Broken(sharing)
    broken.statement = "ROLLBACK TO member"
    raised = settle_together(sharing, begun, broken)
    kept = [sharing.head("parrot", f"s{number}").turn for number in range(4)]
    assert kept[1] == 0
    if isinstance(raised[1], LeaseLost):  # it came first, and there was nothing else to take back
        assert kept == [1, 0, 1, 1]
        return
    assert all(isinstance(error, StoreError) for error, turn in zip(raised, kept, strict=True) if not turn)
    assert [error is None for error in raised] == [turn == 1 for turn in kept]
    assert begin(sharing, "s9")


def test_a_refusal_waits_for_what_it_is_about(sharing: SqliteStore) -> None:
    """A turn is not refused for the sake of another that is then not kept."""
    begun = [begin(sharing, f"s{number}") for number in range(4)]
    begun[1] = begun[1]._replace(lease=begun[1].lease._replace(fence=99))
    connection = Connection(sharing)
    connection.failure = failing(sqlite3.SQLITE_FULL)
    refused = settle_together(sharing, begun, connection)
    assert type(refused.pop(1)) in (StoreError, LeaseLost)  # if it came first, it was alone
    assert [type(error) for error in refused] == [StoreError] * 3


def test_a_rollback_that_fails_costs_a_connection(sharing: SqliteStore) -> None:
    """Even then the next turn is kept, and nobody waits for ever."""
    begun = [begin(sharing, f"s{number}") for number in range(3)]
    broken = Broken(sharing)
    broken.failure = failing(sqlite3.SQLITE_IOERR)
    broken.statement = "ROLLBACK"
    raised = settle_together(sharing, begun, broken)
    assert [type(error) for error in raised] == [StoreError] * 3
    again = begin(sharing, "s0")
    assert again.interrupted
    sharing.commit(again.lease, TurnResult(reply="ok", messages=(), data="{}", meta={}))
    assert sharing.head("parrot", "s0").turn == 2


def test_waiting_for_another_program_is_bounded_for_each(sharing: SqliteStore) -> None:
    """While a turn waits for a program that writes, prompts are told so in their own time."""
    settling = begin(sharing, "a")
    other = sqlite3.connect(sharing.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    ends = threading.Thread(
        target=lambda: sharing.commit(settling.lease, TurnResult(reply="ok", messages=(), data="{}", meta={}))
    )
    ends.start()
    writer = sharing._connections._group_committer
    assert writer is not None
    while not writer._connection_lock.locked():
        pass
    heard: list[LeaseHolder] = []

    class Enough(Exception):
        pass

    def pause(_: float, holder: LeaseHolder) -> None:
        heard.append(holder)
        raise Enough

    with pytest.raises(Enough):
        sharing.begin(TurnRequest("parrot", "b", "hi", wait=20), pause)
    assert ends.is_alive()  # it still waits, and has the connection
    other.execute("ROLLBACK")
    ends.join(30)
    assert sharing.head("parrot", "a").turn == 1


TALK = """
import os, sys, threading
from flue_cli.errors import FlueError
from flue_cli.stores import open_store
from flue_cli.stores.records import TurnRequest, TurnResult
store = open_store(sys.argv[1])
store.share_commits()
gate = threading.Barrier(6)
def talk(name):
    gate.wait()
    for number in range(5):
        word = f"{name}.{number}"
        try:
            begun = store.begin(TurnRequest("parrot", name, word), lambda *_: None)
            store.commit(begun.lease, TurnResult(reply=word, messages=(), data='{"last":"%s"}' % word, meta={}))
        except FlueError:
            os.write(1, f"refused {word}\\n".encode())
        else:
            os.write(1, f"kept {word}\\n".encode())
threads = [threading.Thread(target=talk, args=(f"s{number}",)) for number in range(6)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
store.close()
"""


@pytest.mark.parametrize(
    ("calls", "fault"),
    [
        ("pwrite64", "error=EIO:when=10..16"),
        ("pwrite64", "error=ENOSPC:when=10"),
        ("fsync,fdatasync", "error=EIO:when=2..4"),
        ("fsync,fdatasync", "signal=KILL:when=2"),
    ],
)
def test_a_disk_that_fails_in_the_middle(tmp_path: Path, calls: str, fault: str) -> None:
    """Of turns that share commits, those that were acknowledged are there, and those refused are not.

    But for what a failing sync refused last: it was written, and the next to open the store may find it.
    """
    needs_program("strace")
    path, log = str(tmp_path / "flue.db"), tmp_path / "log"
    store = open_store(path)
    begin(store, "made before")
    store.close()
    done = subprocess.run(
        ["strace", "-f", "-o", log, "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}",
         sys.executable, "-c", TALK, path],
        capture_output=True, text=True, timeout=100, check=False,
    )  # fmt: skip
    assert any(word in log.read_text() for word in ("INJECTED", "SIGKILL")), done
    said = [line.split() for line in done.stdout.splitlines()]
    acknowledged = {word for what, word in said if what == "kept"}
    refused = {word for what, word in said if what == "refused"}
    store = open_store(path)
    found, newest = set(), set()
    for number in range(6):
        head = store.head("parrot", f"s{number}")
        replies = [entry.reply for entry in store.entries(head, 1, head.turn) if entry.reply]
        if replies:
            assert store.data_at(head, head.turn) == f'{{"last":"{replies[-1]}"}}'
            newest.add(replies[-1])
        found.update(replies)
    store.close()
    assert acknowledged <= found
    assert refused & found <= (newest if "sync" in calls else set())
    assert acknowledged or refused or "KILL" in fault


# Following


def follow(served: Served, mark: str = "") -> Generator[tuple[str, str]]:
    """The lines of a session's events: each name and value."""
    headers = {"Last-Event-ID": mark} if mark else {}
    connection = http.client.HTTPConnection(served.host, served.port, timeout=30)
    with contextlib.closing(connection):
        connection.request("GET", "/api/agent/greeting/sessions/a/events", headers=headers)
        response = connection.getresponse()
        while line := response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if name:
                yield name, value


def test_who_lost_the_connection_misses_nothing(flue: Flue) -> None:
    """With Last-Event-ID, as browsers send it, it hears what became of what it knew, and what is new."""
    served = Served(flue)
    served.prompt("greeting", "a", "one")
    served.prompt("greeting", "a", "two")
    followed = follow(served)
    name, mark = next(followed)
    assert name == "id"
    followed.close()

    served.prompt("greeting", "a", "three")
    flue("sessions", "undo", "a", "2")
    served.prompt("greeting", "a", "four")
    told = (json.loads(value) for name, value in follow(served, mark) if name == "data")
    undone, settled = itertools.islice(told, 2)
    assert (undone["type"], undone["first"], undone["last"]) == ("turns.undone", 2, 2)
    assert (settled["type"], settled["turn"], settled["prompt"]) == ("turn.completed", 2, "four")


@pytest.mark.parametrize("mark", ["1", "x", "9-9-9-9", "1-99-99-99", f"1-{'9' * 30}-1-1", "-1-1-1-1"])
def test_a_mark_that_was_made_up(flue: Flue, mark: str) -> None:
    """It does no harm: what happens from now on is told."""
    served = Served(flue)
    served.prompt("greeting", "a", "one")
    followed = follow(served, mark)
    next(followed)
    served.prompt("greeting", "a", "two")
    assert any(name == "data" and '"prompt": "two"' in value for name, value in followed)
