"""What a process remembers of its own turns: never more than the store says, and never for too long."""

from __future__ import annotations

import random
import threading
import tracemalloc
from contextlib import closing
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from flue_cli.agents.api import Message, Reply
from flue_cli.agents.discovery import Agent
from flue_cli.errors import SessionBusy, SessionChanged
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Ask, Head, Holder
from flue_cli.stores.sqlite import SqliteStore
from flue_cli.stores.sqlite.left import Left
from flue_cli.stores.sqlite.rows import End
from flue_cli.testing.steps import AGENT, BROKEN, begin, edit, finish, move, sleep, talk
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.runner import Runner

BETWEEN = '[{"role":"tool","content":"42"}]'


def head_of(version: int, messages: int, *, uid: int = 1) -> Head:
    """A session after `version` completed turns."""
    return Head(uid, AGENT, f"session {uid}", version, 1, version, messages, 1, version)


def talked(left: Left, turns: int, text: str = "text", *, uid: int = 1) -> Head:
    """The head after that many turns, each of which left its data and its texts."""
    head = head_of(0, 0, uid=uid)
    for number in range(turns):
        after = head_of(number + 1, head.messages + 2, uid=uid)
        said = head.messages, f"{text} {number}", None, text
        left.put(head, End(after, 1, 0, 1), f"[{number}]", 0, said)
        head = after
    return head


def told(messages: list[Message] | None) -> list[str] | None:
    return None if messages is None else [message.content for message in messages]


def test_what_was_said_last_is_remembered() -> None:
    """Any range of the newest messages is given back, in order, with what came between."""
    left = Left()
    head = talked(left, 2)
    after = head_of(3, 7)
    left.put(head, End(after, 1, 0, 1), "{}", 0, (4, "how many?", BETWEEN, "it is 42"))

    whole = ["text 0", "text", "text 1", "text", "how many?", "42", "it is 42"]
    for start in range(8):
        for stop in range(start, 9):
            assert told(left.messages(after, start, stop)) == whole[start:stop]
    found = left.messages(after, 5, 6)
    assert found == [Message("tool", "42")]


def test_a_failed_turn_leaves_what_was_said_before() -> None:
    """A turn that adds nothing to the history does not make it forgotten."""
    left = Left()
    head = talked(left, 3)
    after = head._replace(version=4, turn=4)
    left.put(head, End(after, 1, 0, 1), "[2]", 0)
    assert told(left.messages(after, 4, 6)) == ["text 2", "text"]
    assert left.data(after) == "[2]"


@pytest.mark.parametrize("what", ["version", "turn", "line", "messages", "updated_at", "name", "uid"])
def test_nothing_is_remembered_for_another_head(what: str) -> None:
    """Once anything about the session is another than it was left, the store is asked."""
    left = Left()
    head = talked(left, 3)
    other = head._replace(**{what: "renamed" if what == "name" else getattr(head, what) + 1})
    assert left.messages(other, 0, 2) is None
    assert left.data(other) is None
    assert left.data(head) == "[2]"


def test_a_turn_that_did_not_follow_ours_begins_anew() -> None:
    """When somebody else's turn came between, what was said before it is not taken for the history."""
    left = Left()
    talked(left, 3)
    before, after = head_of(4, 8), head_of(5, 10)
    left.put(before, End(after, 1, 0, 1), "{}", 0, (8, "prompt", None, "reply"))
    assert left.messages(after, 4, 10) is None
    assert told(left.messages(after, 8, 10)) == ["prompt", "reply"]


@pytest.mark.parametrize(
    ("turns", "text", "kept"), [(100, "text", 32), (100, "x" * 8_000, 4), (3, "x" * 70_000, 0)]
)
def test_a_long_conversation_is_not_remembered_whole(turns: int, text: str, kept: int) -> None:
    """Of one session at most 32 turns and 64 K characters are kept, however long it gets."""
    left = Left()
    head = talked(left, turns, text)
    first = head.messages - 2 * kept
    assert left.messages(head, first - 1, head.messages) is None
    found = left.messages(head, first, head.messages)
    assert found is None if kept == 0 else found is not None and len(found) == 2 * kept


@pytest.mark.parametrize(("turns", "text"), [(2, "x" * 15_000), (32, "short")])
def test_many_conversations_are_not_remembered_all(turns: int, text: str) -> None:
    """A server of many sessions keeps about eight megabytes of those used last, however short their turns are."""
    tracemalloc.start()
    left = Left()
    heads = [talked(left, turns, text, uid=uid) for uid in range(1, 1201)]
    used, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    remembered = [head.uid for head in heads if left.data(head) is not None]
    assert remembered == list(range(1201 - len(remembered), 1201))
    assert 100 < len(remembered) < 1100
    assert used < 16e6


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
    assert told(ours.messages(head, 4, 6)) == ["three", "ok"]
    ours.close()
    theirs.close()


def test_what_was_deleted_is_forgotten(tmp_path: Path) -> None:
    """Neither the data nor the words of a deleted session stay in a process that goes on."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    head = talk(store, "secret")
    assert told(store._left.messages(head, 0, 2)) == ["secret", "ok"]
    head = store.rename(head, "other", wait=0, pause=sleep)
    store.delete(head)
    assert store._left._sessions == {}
    store.close()


def test_what_is_deleted_as_its_turn_ends_is_forgotten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A session that another thread deletes right after its turn was saved is not remembered for that turn."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    lease = begin(store, "secret").lease
    put = Left.put

    def deleted_first(left: Left, *arguments: Any) -> None:
        thread = threading.Thread(target=lambda: store.delete(store.head(AGENT, "main")))
        thread.start()
        thread.join()
        put(left, *arguments)

    monkeypatch.setattr(Left, "put", deleted_first)
    finish(store, lease)
    assert store._left._sessions == {}
    store.close()


def test_what_another_process_deleted_is_not_read(tmp_path: Path) -> None:
    """Nobody is shown a conversation that was deleted elsewhere, also not the process that held it."""
    ours, theirs = (SqliteStore(str(tmp_path / "flue.db")) for _ in range(2))
    head = talk(ours, "secret")
    theirs.delete(head)
    with pytest.raises(SessionChanged):
        ours.messages(head, 0, 2)
    ours.close()
    theirs.close()


def test_the_messages_of_a_running_turn_need_no_reading(tmp_path: Path) -> None:
    """A turn is told what this process said before without a look at the file."""
    store = SqliteStore(str(tmp_path / "flue.db"))
    talk(store, "one")
    head = begin(store, "two").lease.head
    statements: list[str] = []
    store._connections._connection().set_trace_callback(statements.append)
    assert told(store.messages(head, 0, 2)) == ["one", "ok"]
    assert statements == []
    store.close()


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
        done = runner.run(Agent(AGENT, vandal, "test"), Ask(AGENT, "main", "hi"), cancellation=Cancellation())
        assert done.outcome == "completed"
    one_turn = [{"role": "user", "content": "hi"}, *between, {"role": "assistant", "content": "ok"}]
    assert seen == [[], one_turn, one_turn * 2, one_turn * 3]
    assert not any("spoilt" in message.extra for message in held)
    runner.close()
    store.close()


@pytest.mark.parametrize("seed", range(8))
def test_a_process_never_believes_itself_more_than_the_store(tmp_path: Path, seed: int) -> None:
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
            move(store, chance.randrange(max(head.turn, 1)) if what == "undo" else store.tip(head).turn)
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


def test_who_waits_is_not_passed_over(tmp_path: Path) -> None:
    """A process that just took a turn does not slip in again before one that was waiting behind it."""
    path = str(tmp_path / "flue.db")
    ours, theirs = open_store(path), open_store(path)
    talk(ours, "hello")
    lease = begin(ours, "long").lease

    def waits(seconds: float, holder: Holder) -> None:
        if lease_is_over:
            with pytest.raises(SessionBusy):
                begin(ours, "out of turn")
        else:
            finish(ours, lease)
            lease_is_over.append(True)

    lease_is_over: list[bool] = []
    assert begin(theirs, "waiting", pause=waits, wait=5).lease.turn == 3
    assert lease_is_over
    ours.close()
    theirs.close()
