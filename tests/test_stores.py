"""What every store promises, asked of each of them; then what only a file can promise."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from flue_cli.errors import (
    KeyConflict,
    LeaseLost,
    SessionBusy,
    SessionChanged,
    SessionExists,
    SessionNotFound,
    StoreDamaged,
    StoreError,
    StoreNewer,
    TurnNotFound,
)
from flue_cli.session import Message
from flue_cli.stores import open_store
from flue_cli.stores.contract import Ask, Begun, Entry, Failure, Head, Holder, Lease, Replayed, Store, busy
from flue_cli.stores.sqlite import SqliteStore
from flue_cli.strict_json import MAX_DEPTH, dumps

AGENT = "parrot"
BROKEN = Failure("agent_error", "the agent broke")
LONG = 620
"""Turns of a long conversation: more than two snapshots of the data lie behind its end."""


# How these tests talk to a store


def sleep(seconds: float, holder: Holder) -> None:
    time.sleep(seconds)


def begin(
    store: Store,
    prompt: str,
    name: str = "main",
    *,
    pause: Callable[[float, Holder], None] = sleep,
    agent: str = AGENT,
    wait: float = 0,
    **more: Any,
) -> Begun:
    """A prompt that is accepted, by default at once."""
    begun = store.begin(Ask(agent, name, prompt, wait=wait, **more), pause)
    assert isinstance(begun, Begun)
    return begun


def finish(
    store: Store,
    lease: Lease,
    *,
    reply: str = "ok",
    data: str | None = None,
    messages: Sequence[Message] = (),
    meta: Mapping[str, Any] | None = None,
) -> Head:
    data = lease.data if data is None else data
    return store.commit(lease, reply=reply, messages=messages, data=data, meta=meta or {})


def turn(
    store: Store,
    prompt: str,
    name: str = "main",
    *,
    reply: str = "ok",
    data: str | None = None,
    messages: Sequence[Message] = (),
    meta: Mapping[str, Any] | None = None,
    **more: Any,
) -> Head:
    """A completed turn; the data stays unless given."""
    lease = begin(store, prompt, name, **more).lease
    return finish(store, lease, reply=reply, data=data, messages=messages, meta=meta)


def failed_turn(store: Store, prompt: str, name: str = "main", **more: Any) -> Head:
    return store.abandon(begin(store, prompt, name, **more).lease, "failed", BROKEN, {})


def replay(store: Store, prompt: str, key: str, **more: Any) -> Replayed:
    replayed = store.begin(Ask(AGENT, "main", prompt, key=key, wait=0, **more), sleep)
    assert isinstance(replayed, Replayed)
    return replayed


def timeline(store: Store, head: Head, *, with_data: bool = False) -> list[Entry]:
    return list(store.entries(head, 1, head.turn, with_data=with_data))


def everything(store: Store, name: str = "main") -> tuple[object, ...]:
    """All that a store tells about a session, to compare before and after."""
    head = store.head(AGENT, name)
    history = store.messages(head, 0, head.messages)
    return head, timeline(store, head, with_data=True), history, store.running(head), store.sessions()


@contextmanager
def leases_of(seconds: float) -> Iterator[None]:
    """Leases taken in here last this long."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flue_cli.stores.memory.LEASE_SECONDS", seconds)
        patch.setattr("flue_cli.stores.sqlite.owner.LEASE_SECONDS", seconds)
        yield


def forgotten(store: Store, prompt: str, name: str = "main", **more: Any) -> Lease:
    """The lease of a turn that is still running when its time is up."""
    with leases_of(0):
        return begin(store, prompt, name, **more).lease


@contextmanager
def threads(store: Store) -> Iterator[Callable[..., Any]]:
    """`start(function, *arguments)`, each in a thread of its own that lets go of the store as it ends."""

    def alone(function: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return function(*arguments)
        finally:
            store.disconnect()

    with ThreadPoolExecutor(max_workers=16) as pool:
        yield lambda function, *arguments: pool.submit(alone, function, *arguments)


class Line:
    """A pause that tells when it is first called, which is when the caller stands in line."""

    def __init__(self) -> None:
        self.joined = threading.Event()

    def __call__(self, seconds: float, holder: Holder) -> None:
        self.joined.set()
        time.sleep(seconds)


@pytest.fixture(params=["memory", "sqlite"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Store]:
    opened = open_store("memory:" if request.param == "memory" else str(tmp_path / "flue.db"))
    yield opened
    opened.close()


# A session that is not there


def test_a_head_is_there_before_the_session(store: Store) -> None:
    """Looking at a session that does not exist shows uid 0 and an empty start, and makes none."""
    assert store.head(AGENT, "main") == Head(0, AGENT, "main")
    assert store.sessions() == []
    assert store.resolve("main") == []


@pytest.mark.parametrize("others", [False, True], ids=["empty store", "other sessions"])
def test_an_absent_session_reads_as_empty(store: Store, others: bool) -> None:
    """A session that does not exist has no entries, no messages, no running prompt and the data `{}`."""
    if others:
        turn(store, "hello", "other")
    head = store.head(AGENT, "main")

    assert list(store.entries(head, 1, 10)) == []
    assert store.running(head) is None
    assert store.messages(head, 0, 10) == []
    assert store.data_at(head, 0) == "{}"


@pytest.mark.parametrize("others", [False, True], ids=["empty store", "other sessions"])
def test_an_absent_session_has_no_turns(store: Store, others: bool) -> None:
    """Data after a turn of a session that does not exist is TurnNotFound."""
    if others:
        turn(store, "hello", "other")
    with pytest.raises(TurnNotFound):
        store.data_at(store.head(AGENT, "main"), 1)


def test_the_first_prompt_creates_the_session(store: Store) -> None:
    """A session exists from the moment its first prompt is accepted, with no turn settled yet."""
    begun = begin(store, "hello")

    head = store.head(AGENT, "main")
    assert head.uid > 0
    assert (head.turn, head.messages) == (0, 0)
    assert begun.lease.head == head
    assert (begun.lease.turn, begun.lease.prompt, begun.lease.data) == (1, "hello", "{}")
    assert begun.interrupted is None


def test_a_session_is_known_by_agent_and_name(store: Store) -> None:
    """Two agents can each have a session of the same name, and they share nothing."""
    turn(store, "to one", "shared", agent="one", data='{"n":1}')
    turn(store, "to two", "shared", agent="two", data='{"n":2}')

    one, two = store.head("one", "shared"), store.head("two", "shared")
    assert one.uid != two.uid
    assert (store.data_at(one, 1), store.data_at(two, 1)) == ('{"n":1}', '{"n":2}')


@pytest.mark.parametrize(
    "name",
    ["a/b", "https://example.org:80/?q=%20", "{0}{name}", 'it\'s "quoted"', "🦜 grüße", "%_*", "x" * 256],
    ids=["slash", "url", "braces", "quotes", "emoji", "patterns", "256 characters"],
)
def test_a_session_may_have_any_name(store: Store, name: str) -> None:
    """Whatever characters a name has, it finds its own session and no other."""
    turn(store, "another", "other")
    turn(store, "hello", name)

    head = store.head(AGENT, name)
    assert (head.name, head.turn) == (name, 1)
    assert store.resolve(name) == [head]
    assert [entry.prompt for entry in timeline(store, head)] == ["hello"]


# What was committed comes back


def test_a_completed_turn_comes_back_whole(store: Store) -> None:
    """The timeline shows prompt, reply, messages between, data, meta, key and both times of a turn."""
    call = Message("assistant", None, {"tool_calls": [{"id": "1", "args": {"q": "ü"}}]})
    result = Message("tool", [{"type": "text", "text": "42"}], {"tool_call_id": "1"})
    before = time.time_ns() // 1000

    head = turn(
        store,
        "What is it?",
        key="k",
        reply="It is 42.",
        data='{"n":42}',
        messages=[call, result],
        meta={"model": "m", "usage": {"in": 3}},
    )

    (entry,) = timeline(store, head, with_data=True)
    assert entry.finished_at is not None
    assert before <= entry.started_at <= entry.finished_at <= time.time_ns() // 1000
    assert entry == Entry(
        turn=1,
        kind="prompt",
        outcome="completed",
        key="k",
        prompt="What is it?",
        reply="It is 42.",
        messages=(call, result),
        started_at=entry.started_at,
        finished_at=entry.finished_at,
        error=None,
        meta={"model": "m", "usage": {"in": 3}},
        data='{"n":42}',
    )
    assert store.messages(head, 0, 4) == [
        Message("user", "What is it?"),
        call,
        result,
        Message("assistant", "It is 42."),
    ]


def test_commit_gives_the_head_as_it_stands(store: Store) -> None:
    """What commit and abandon return is what anybody reads afterwards, and the version has grown."""
    first = turn(store, "one")
    assert first == store.head(AGENT, "main")
    assert (first.turn, first.messages) == (1, 2)

    second = failed_turn(store, "two")
    assert second == store.head(AGENT, "main")
    assert (second.turn, second.messages) == (2, 2)

    third = turn(store, "three", messages=[Message("tool", "x")])
    assert third == store.head(AGENT, "main")
    assert (third.turn, third.messages) == (3, 5)

    assert first.version < second.version < third.version
    assert first.created_at == third.created_at <= first.updated_at <= third.updated_at


@pytest.mark.parametrize(
    "data",
    [
        "{}",
        '{"z":1,"a":null,"m":{"b":[],"a":{}}}',
        '{ "spaced" : [1,  2.50, 1e5, -0.0]\n}',
        json.dumps({"text": 'ü 🦜 \0 \u2028 "', "ключ": "значение"}),
        json.dumps({"big": 2**4000, "negative": -(2**64), "tiny": 5e-324}),
        json.dumps({"tasks": [{"title": f"task {number}", "done": False} for number in range(2000)]}),
    ],
    ids=["empty", "order and nulls", "spaces", "unicode", "numbers", "large"],
)
def test_data_comes_back_byte_for_byte(store: Store, data: str) -> None:
    """The text of the data that one turn leaves is the text that the next one starts from."""
    turn(store, "change", data='{"before":"this"}')
    head = turn(store, "set", data=data)

    assert store.data_at(head, 2) == data
    assert begin(store, "next").lease.data == data
    assert [entry.data for entry in store.entries(head, 1, 2, with_data=True)] == ['{"before":"this"}', data]


@pytest.mark.parametrize(
    "text",
    ["", " \t\r\n", "grüße 🦜\u2028\x85", "nul \0 and \x1b[31m", "x" * 300_000],
    ids=["nothing", "blanks", "unicode", "controls", "large"],
)
def test_prompt_and_reply_come_back_character_for_character(store: Store, text: str) -> None:
    """No prompt or reply is trimmed, cut or rewritten."""
    head = turn(store, text, reply=text)

    (entry,) = timeline(store, head)
    assert (entry.prompt, entry.reply) == (text, text)
    assert store.messages(head, 0, 2) == [Message("user", text), Message("assistant", text)]


def test_nothing_shows_before_the_commit(store: Store) -> None:
    """Reply, messages and data of a turn appear together when it commits; until then, none of them."""
    turn(store, "one", data='{"n":1}')
    lease = begin(store, "two").lease

    before = store.head(AGENT, "main")
    assert (before.turn, before.messages) == (1, 2)
    assert store.messages(before, 0, 10) == [Message("user", "one"), Message("assistant", "ok")]
    assert [entry.prompt for entry in store.entries(before, 1, 10)] == ["one"]
    assert store.data_at(before, 1) == '{"n":1}'

    finish(store, lease, data='{"n":2}', reply="done", messages=[Message("tool", "between")])

    after = store.head(AGENT, "main")
    assert (after.turn, after.messages, store.data_at(after, 2)) == (2, 5, '{"n":2}')
    assert [message.content for message in store.messages(after, 2, 5)] == ["two", "between", "done"]


def test_a_head_seen_earlier_still_shows_what_it_showed(store: Store) -> None:
    """Turns that complete after a head was read are not part of what is read with it."""
    early = turn(store, "one", data='{"n":1}')
    turn(store, "two", data='{"n":2}')

    assert [entry.prompt for entry in store.entries(early, 1, 10)] == ["one"]
    assert [message.content for message in store.messages(early, 0, 10)] == ["one", "ok"]
    assert store.data_at(early, 1) == '{"n":1}'
    with pytest.raises(TurnNotFound):
        store.data_at(early, 2)


def test_an_abandoned_turn_keeps_data_and_history(store: Store) -> None:
    """A failed or cancelled turn takes a number and tells why, and leaves nothing else behind."""
    turn(store, "one", data='{"n":1}')
    store.abandon(begin(store, "two").lease, "failed", BROKEN, {"seed": 7})
    stop = Failure("cancelled", "cancelled by SIGINT")
    head = store.abandon(begin(store, "three").lease, "cancelled", stop, {})

    assert (head.turn, head.messages) == (3, 2)
    one, two, three = timeline(store, head, with_data=True)
    assert one.outcome == "completed"
    assert (two.turn, two.outcome, two.reply, two.error, two.meta) == (2, "failed", None, BROKEN, {"seed": 7})
    assert (three.turn, three.outcome, three.prompt, three.error) == (3, "cancelled", "three", stop)
    assert (two.data, three.data) == ('{"n":1}', '{"n":1}')
    assert two.finished_at is not None
    assert begin(store, "four").lease.data == '{"n":1}'


def test_running_shows_the_prompt_that_is_being_answered(store: Store) -> None:
    """While a turn runs, everybody can see its prompt; before and after, there is none."""
    head = turn(store, "one")
    assert store.running(head) is None

    lease = begin(store, "two", key="k").lease
    running = store.running(store.head(AGENT, "main"))
    assert running is not None
    assert (running.turn, running.outcome, running.prompt, running.key) == (2, "running", "two", "k")
    assert (running.started_at, running.finished_at, running.reply) == (lease.started_at, None, None)

    assert store.running(finish(store, lease)) is None


def test_what_was_given_and_what_comes_back_is_independent(store: Store) -> None:
    """Changing an object after it was stored, or after it was read, changes nothing in the store."""
    meta = {"usage": {"in": 3}}
    content = [{"text": "between"}]
    head = turn(store, "one", key="k", meta=meta, messages=[Message("tool", content, {"id": ["1"]})])
    meta["usage"]["in"] = 4
    content[0]["text"] = "changed"

    for entry in (*timeline(store, head), replay(store, "one", "k").entry):
        assert (entry.meta, entry.messages[0].content) == ({"usage": {"in": 3}}, [{"text": "between"}])
        entry.meta["usage"]["in"] = 5
        entry.messages[0].extra["id"].append("2")
    assert timeline(store, head)[0].meta == {"usage": {"in": 3}}
    store.messages(head, 1, 2)[0].content.clear()
    assert store.messages(head, 1, 2) == [Message("tool", [{"text": "between"}], {"id": ["1"]})]


def test_messages_between_may_be_as_deep_as_data(store: Store) -> None:
    """Whatever JSON is allowed in one message is kept, down to the deepest level."""
    content: list[Any] = []
    for _ in range(MAX_DEPTH - 2):
        content = [content]
    message = Message("tool", content)
    dumps(message.as_dict())  # one level deeper, it would say no

    head = turn(store, "one", messages=[message])
    assert store.messages(head, 1, 2) == [message]


# A long conversation


class Talk(NamedTuple):
    """A long conversation, and what is known to have been said: by position, and by turn from 0."""

    store: Store
    head: Head
    history: list[Message]
    data: list[str]
    outcomes: list[str]


@pytest.fixture(scope="module", params=["memory", "sqlite"])
def talk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Talk]:
    """LONG turns; some fail, some have messages between, and most change a little of much data."""
    path = tmp_path_factory.mktemp("talk") / "flue.db"
    store = open_store("memory:" if request.param == "memory" else str(path))
    history: list[Message] = []
    data, outcomes = ["{}"], [""]
    fields: dict[str, Any] = {"padding": "x" * 600, "turns": 0}
    for number in range(1, LONG + 1):
        if number % 5 == 0 or 300 <= number < 330:
            head = failed_turn(store, f"prompt {number}")
            outcomes.append("failed")
        else:
            between = [Message("tool", f"{number}.{part}") for part in range(number % 3)]
            if number % 7:
                fields["turns"] = number
            prompt, reply = f"prompt {number}", f"{number}!"
            head = turn(store, prompt, reply=reply, messages=between, data=json.dumps(fields))
            history += [Message("user", prompt), *between, Message("assistant", reply)]
            outcomes.append("completed")
        data.append(json.dumps(fields))
    yield Talk(store, head, history, data, outcomes)
    store.close()


@pytest.mark.parametrize("count", [0, 1, 2, 3, 50, 257])
def test_the_newest_messages_are_at_the_end(talk: Talk, count: int) -> None:
    """The last messages of a long history come back alone, oldest of them first."""
    length = talk.head.messages
    assert length == len(talk.history)
    assert talk.store.messages(talk.head, length - count, length) == talk.history[length - count :]


def test_messages_past_the_end_are_not_there(talk: Talk) -> None:
    """A range may begin at the end or stop behind it, and gives what there is."""
    length = talk.head.messages
    assert talk.store.messages(talk.head, length, length + 10) == []
    assert talk.store.messages(talk.head, length + 5, length + 10) == []
    assert talk.store.messages(talk.head, length - 2, length + 10) == talk.history[-2:]
    assert talk.store.messages(talk.head, 10, 10) == []
    assert talk.store.messages(talk.head, 10, 5) == []


@pytest.mark.parametrize("size", [3, 64, 256, 5000])
def test_pages_of_messages_join_without_gaps(talk: Talk, size: int) -> None:
    """Page by page, the whole history comes back once and in order, failed turns leaving no hole."""
    pages = [
        talk.store.messages(talk.head, start, start + size) for start in range(0, talk.head.messages, size)
    ]
    assert [message for page in pages for message in page] == talk.history


@pytest.mark.parametrize("position", [0, 1, 2, 500, 700, 900])
def test_one_message_comes_back_alone(talk: Talk, position: int) -> None:
    """A single position of the history, wherever it is, gives that message."""
    assert talk.store.messages(talk.head, position, position + 1) == [talk.history[position]]


@pytest.mark.parametrize("with_data", [False, True])
def test_entries_come_in_order_with_their_data(talk: Talk, with_data: bool) -> None:
    """The timeline is every turn once, whatever became of it, with the data after it if asked for."""
    entries = timeline(talk.store, talk.head, with_data=with_data)

    assert [entry.turn for entry in entries] == list(range(1, LONG + 1))
    assert [entry.outcome for entry in entries] == talk.outcomes[1:]
    assert [entry.prompt for entry in entries] == [f"prompt {number}" for number in range(1, LONG + 1)]
    assert [entry.data for entry in entries] == (talk.data[1:] if with_data else [""] * LONG)


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize(
    ("first", "last"),
    [(1, 1), (64, 65), (250, 262), (300, 329), (LONG, LONG), (0, 2), (-5, 2), (LONG - 1, LONG + 9)],
)
def test_a_range_of_entries(talk: Talk, first: int, last: int, with_data: bool) -> None:
    """Any range of turns comes back, as far as there are turns, with the data after each."""
    numbers = range(max(first, 1), min(last, LONG) + 1)
    entries = list(talk.store.entries(talk.head, first, last, with_data=with_data))

    assert [entry.turn for entry in entries] == list(numbers)
    assert [entry.data for entry in entries] == [talk.data[n] if with_data else "" for n in numbers]


@pytest.mark.parametrize("with_data", [False, True])
@pytest.mark.parametrize(("first", "last"), [(5, 4), (1, 0), (LONG + 1, LONG + 5), (LONG + 2, LONG + 5)])
def test_a_range_without_turns_is_empty(talk: Talk, first: int, last: int, with_data: bool) -> None:
    """A range that lies past the end or ends before it begins has no entries, data or not."""
    assert list(talk.store.entries(talk.head, first, last, with_data=with_data)) == []


def test_the_data_after_every_turn_can_be_asked_for(talk: Talk) -> None:
    """However far back, the data after a turn is the text that the turn left; after 0 it is `{}`."""
    assert [talk.store.data_at(talk.head, number) for number in range(LONG + 1)] == talk.data


@pytest.mark.parametrize("number", [-1, LONG + 1, LONG + 100])
def test_the_data_after_an_unknown_turn(talk: Talk, number: int) -> None:
    """Data after a turn that never was is TurnNotFound."""
    with pytest.raises(TurnNotFound):
        talk.store.data_at(talk.head, number)


def test_a_reader_that_pauses_blocks_no_writer(store: Store) -> None:
    """Whoever stops in the middle of a timeline holds nobody up, and goes on with what it began."""
    for number in range(150):
        turn(store, str(number), data=f'{{"n":{number}}}')
    turn(store, "hello", "other")
    head = store.head(AGENT, "main")
    reader = store.entries(head, 1, 1000, with_data=True)
    seen = [next(reader)]

    def write() -> None:
        turn(store, "meanwhile")
        store.delete(store.head(AGENT, "other"))

    began = time.monotonic()
    with threads(store) as start:
        start(write).result(5)
    turn(store, "and again")
    assert time.monotonic() - began < 2

    seen += reader
    assert [entry.prompt for entry in seen] == [str(number) for number in range(150)]
    assert [entry.data for entry in seen] == [f'{{"n":{number}}}' for number in range(150)]


# Waiting for a session


def test_a_taken_session_is_busy(store: Store) -> None:
    """A second prompt that may not wait is SessionBusy, and leaves no trace."""
    begin(store, "one")
    before = everything(store)

    with pytest.raises(SessionBusy, match=r"session 'main' is busy: .*has been answering for \d+ s"):
        begin(store, "two", wait=0)
    assert everything(store) == before


def test_busy_tells_who_and_how_long() -> None:
    """The error for a taken session names the process, its host and the seconds so far."""
    error = busy("main", Holder(4711, "box", 1_000_000), 43_500_000)
    assert "'main' is busy: another process (pid 4711 on box) has been answering for 42 s" in error.message

    error = busy("main", Holder(0, "", 1_000_000), 43_500_000)
    assert "another process has been answering for 42 s" in error.message


def test_a_wait_is_bounded(store: Store) -> None:
    """Whoever waits longer than it wants to is told so soon after, and knew all along who holds it."""
    lease = begin(store, "one").lease
    told: list[tuple[float, Holder]] = []

    def pause(seconds: float, holder: Holder) -> None:
        told.append((seconds, holder))
        time.sleep(seconds)

    began = time.monotonic()
    with pytest.raises(SessionBusy):
        begin(store, "two", wait=0.2, pause=pause)

    assert 0.2 <= time.monotonic() - began < 2
    assert all(0 < seconds <= 0.2 for seconds, _ in told)
    assert {holder.since for _, holder in told} == {lease.started_at}

    told.clear()
    with pytest.raises(SessionBusy):
        begin(store, "three", wait=0.0005, pause=pause)
    assert all(seconds <= 0.0005 for seconds, _ in told)


def test_a_waiter_gets_in_when_the_holder_commits(store: Store) -> None:
    """A prompt that waits is answered next, and starts from the data that the one before it left."""
    lease = begin(store, "one").lease
    line = Line()

    with threads(store) as start:
        waiter = start(lambda: begin(store, "two", wait=10, pause=line))
        assert line.joined.wait(5)
        assert not waiter.done()
        finish(store, lease, data='{"from":"one"}')
        begun = waiter.result(5)

    assert (begun.lease.turn, begun.lease.data, begun.interrupted) == (2, '{"from":"one"}', None)
    finish(store, begun.lease)


def test_a_waiter_gets_in_when_the_holder_gives_up(store: Store) -> None:
    """An abandoned turn frees the session as a completed one does."""
    lease = begin(store, "one").lease
    begun = begin(store, "two", wait=10, pause=lambda *_: store.abandon(lease, "failed", BROKEN, {}))

    assert begun.lease.turn == 2


def test_waiters_get_in_in_order_of_arrival(store: Store) -> None:
    """Prompts that wait for a session are answered in the order in which they came."""
    lease = begin(store, "holder").lease

    def wait_in_line(prompt: str, line: Line) -> None:
        turn(store, prompt, wait=20, pause=line)

    with threads(store) as start:
        waiters = []
        for number in range(5):
            line = Line()
            waiters.append(start(wait_in_line, f"waiter {number}", line))
            assert line.joined.wait(5)
        finish(store, lease)
        for waiter in waiters:
            waiter.result(20)

    prompts = [entry.prompt for entry in timeline(store, store.head(AGENT, "main"))]
    assert prompts == ["holder", *(f"waiter {number}" for number in range(5))]


def test_nobody_overtakes_whoever_waits(store: Store) -> None:
    """While somebody waits, a newcomer that may not wait is SessionBusy, even on a session just freed."""
    lease = begin(store, "one").lease
    busy_for_newcomer = []

    def pause(seconds: float, holder: Holder) -> None:
        finish(store, lease)
        with pytest.raises(SessionBusy):
            begin(store, "newcomer", wait=0)
        busy_for_newcomer.append(True)

    assert begin(store, "two", wait=10, pause=pause).lease.turn == 2
    assert busy_for_newcomer == [True]


def test_giving_up_leaves_no_place_in_the_line(store: Store) -> None:
    """What a pause raises passes through, and whoever comes next does not wait behind nobody."""
    lease = begin(store, "one").lease
    before = everything(store)

    class GivenUp(BaseException):
        pass

    def pause(seconds: float, holder: Holder) -> None:
        raise GivenUp

    with pytest.raises(GivenUp):
        begin(store, "two", wait=10, pause=pause)
    assert everything(store) == before

    finish(store, lease)
    assert begin(store, "three", wait=0).lease.turn == 2


def test_a_refused_wait_leaves_no_place_in_the_line(store: Store) -> None:
    """Whoever waited in vain does not stand in the way of the next."""
    lease = begin(store, "one").lease
    with pytest.raises(SessionBusy):
        begin(store, "two", wait=0.01)
    finish(store, lease)

    assert begin(store, "three", wait=0).lease.turn == 2


def test_sessions_do_not_wait_for_each_other(store: Store) -> None:
    """A turn holds its own session and no other, not even of the same name."""
    begin(store, "one", "main")

    begin(store, "two", "other", wait=0)
    begin(store, "three", "main", agent="another", wait=0)


def test_many_threads_lose_no_turn(store: Store) -> None:
    """Threads that share a store, and sessions of it, all get their turns in."""

    def talk_on(thread: int) -> None:
        for number in range(5):
            name = f"session {(thread + number) % 3}"
            turn(store, f"{thread}.{number}", name, wait=20)

    with threads(store) as start:
        for worker in [start(talk_on, thread) for thread in range(6)]:
            worker.result(30)

    heads = [store.head(AGENT, f"session {number}") for number in range(3)]
    prompts = [entry.prompt for head in heads for entry in timeline(store, head)]
    assert sorted(prompts) == sorted(f"{thread}.{number}" for thread in range(6) for number in range(5))
    assert [head.messages for head in heads] == [2 * head.turn for head in heads]


def test_a_waiter_of_a_deleted_session_does_not_make_it_anew(store: Store) -> None:
    """A prompt whose session is deleted while it waits ends with SessionChanged and creates nothing."""
    lease = begin(store, "one").lease

    def pause(seconds: float, holder: Holder) -> None:
        store.delete(finish(store, lease))

    with pytest.raises(SessionChanged):
        begin(store, "two", wait=10, pause=pause)
    assert store.head(AGENT, "main").uid == 0
    assert store.sessions() == []


def test_a_waiter_of_a_session_made_anew_does_not_join_it(store: Store) -> None:
    """A prompt meant for a session that is gone is not answered in another one of the same name."""
    lease = begin(store, "one").lease

    def pause(seconds: float, holder: Holder) -> None:
        store.delete(finish(store, lease))
        turn(store, "somebody else's")

    with pytest.raises(SessionChanged):
        begin(store, "two", wait=10, pause=pause)
    assert [entry.prompt for entry in timeline(store, store.head(AGENT, "main"))] == ["somebody else's"]


# Leases


def test_an_expired_turn_is_taken_over_and_reported(store: Store) -> None:
    """The prompt that a crash left unanswered is handed to whoever comes next, and stays on record."""
    turn(store, "one", data='{"n":1}')
    old = forgotten(store, "two", key="k")
    running = store.running(store.head(AGENT, "main"))
    assert running is not None
    assert running.prompt == "two"

    begun = begin(store, "three", wait=0)

    assert begun.interrupted is not None
    assert (begun.interrupted.turn, begun.interrupted.prompt) == (2, "two")
    assert (begun.interrupted.outcome, begun.interrupted.key) == ("interrupted", "k")
    assert (begun.lease.turn, begun.lease.data) == (3, '{"n":1}')
    assert begun.lease.fence > old.fence
    head = finish(store, begun.lease)
    assert [entry.outcome for entry in timeline(store, head)] == ["completed", "interrupted", "completed"]
    assert [message.content for message in store.messages(head, 0, 10)] == ["one", "ok", "three", "ok"]


def test_an_interrupted_prompt_is_reported_as_it_is_recorded(store: Store) -> None:
    """What begin says of an interrupted prompt is the entry that the timeline shows."""
    forgotten(store, "one")
    begun = begin(store, "two")

    (entry,) = store.entries(store.head(AGENT, "main"), 1, 1)
    assert entry.error is not None
    assert entry.error.type == "interrupted"
    assert entry.finished_at is not None
    assert begun.interrupted == entry


@pytest.mark.parametrize("settled", [False, True], ids=["while it runs", "when it is done"])
def test_whoever_lost_the_lease_changes_nothing(store: Store, settled: bool) -> None:
    """Once another turn took the session over, the old one can not commit, renew or abandon."""
    old = forgotten(store, "one")
    new = begin(store, "two").lease
    if settled:
        finish(store, new, data='{"by":"two"}')
    before = everything(store)

    with pytest.raises(LeaseLost, match=r"turn 1 of session 'main' was not saved"):
        finish(store, old, data='{"by":"one"}')
    with pytest.raises(LeaseLost):
        store.renew(old)
    with pytest.raises(LeaseLost):
        store.abandon(old, "failed", BROKEN, {})
    assert everything(store) == before
    if not settled:
        finish(store, new)


def test_a_turn_settles_once(store: Store) -> None:
    """A turn that was committed or abandoned is over: a second attempt is LeaseLost."""
    first = begin(store, "one").lease
    finish(store, first)
    second = begin(store, "two").lease
    store.abandon(second, "cancelled", BROKEN, {})
    before = everything(store)

    for lease in (first, second):
        with pytest.raises(LeaseLost):
            finish(store, lease)
        with pytest.raises(LeaseLost):
            store.abandon(lease, "failed", BROKEN, {})
        with pytest.raises(LeaseLost):
            store.renew(lease)
    assert everything(store) == before


def test_an_expired_lease_that_nobody_took_still_commits(store: Store) -> None:
    """A process that slept past its lease, alone, loses nothing."""
    head = finish(store, forgotten(store, "one"), data='{"n":1}')
    assert (head.turn, store.data_at(head, 1)) == (1, '{"n":1}')

    head = store.abandon(forgotten(store, "two"), "failed", BROKEN, {})
    assert [entry.outcome for entry in timeline(store, head)] == ["completed", "failed"]


def test_renewing_an_expired_lease_holds_the_session_again(store: Store) -> None:
    """A renewal that comes late but in time keeps others out."""
    lease = forgotten(store, "one")
    store.renew(lease)

    with pytest.raises(SessionBusy):
        begin(store, "two", wait=0)
    finish(store, lease)


def test_a_waiter_takes_over_when_the_lease_runs_out(store: Store) -> None:
    """Nobody has to come anew after a crash: who waits already gets in as soon as the lease ends."""
    with leases_of(0.15):
        begin(store, "one")
    began = time.monotonic()

    begun = begin(store, "two", wait=10)

    assert begun.interrupted is not None
    assert begun.interrupted.prompt == "one"
    assert time.monotonic() - began < 2


def test_the_fence_never_falls(store: Store) -> None:
    """Every later lease of a session has a higher fence, however the earlier ones ended."""
    fences = []
    for _ in range(3):
        committed = begin(store, "commit").lease
        finish(store, committed)
        abandoned = begin(store, "abandon").lease
        store.abandon(abandoned, "failed", BROKEN, {})
        fences += [committed.fence, abandoned.fence, forgotten(store, "forget").fence]

    assert fences == sorted(set(fences))


# Deleting


def test_a_deleted_session_is_gone(store: Store) -> None:
    """After a delete, the session is as if it had never been, and others are untouched."""
    turn(store, "keep", "other", data='{"n":1}')
    before = everything(store, "other")
    turn(store, "one", data='{"secret":1}', key="k")
    failed_turn(store, "two")

    store.delete(store.head(AGENT, "main"))

    assert store.head(AGENT, "main") == Head(0, AGENT, "main")
    assert store.resolve("main") == []
    assert everything(store, "other") == before
    begun = begin(store, "other prompt, same key", key="k")
    assert (begun.lease.turn, begun.lease.data) == (1, "{}")


def test_a_uid_is_never_used_again(store: Store) -> None:
    """A session made anew under an old name is another session."""
    uids = []
    for _ in range(4):
        head = turn(store, "hello")
        uids.append(head.uid)
        store.delete(head)
    uids.append(turn(store, "hello", "other").uid)

    assert uids == sorted(set(uids))


def test_a_running_session_is_not_deleted(store: Store) -> None:
    """Delete does not wait for a turn to end: it is SessionBusy at once, and the turn goes on."""
    turn(store, "one")
    lease = begin(store, "two").lease
    began = time.monotonic()

    with pytest.raises(SessionBusy):
        store.delete(store.head(AGENT, "main"))
    assert time.monotonic() - began < 1

    store.delete(finish(store, lease))


def test_a_stale_head_deletes_nothing(store: Store) -> None:
    """Only the session that was seen is deleted; gone or made anew, it is SessionChanged."""
    stale = turn(store, "old")
    store.delete(stale)
    with pytest.raises(SessionChanged):
        store.delete(stale)
    turn(store, "new")
    before = everything(store)

    with pytest.raises(SessionChanged):
        store.delete(stale)
    with pytest.raises(SessionChanged):
        store.delete(Head(0, AGENT, "main"))
    assert everything(store) == before


def test_a_session_that_a_crash_left_running_can_be_deleted(store: Store) -> None:
    """Nobody answers any more, so nothing is in the way; a late commit is LeaseLost."""
    turn(store, "one")
    lease = forgotten(store, "two")

    store.delete(store.head(AGENT, "main"))

    with pytest.raises(LeaseLost):
        finish(store, lease)
    with pytest.raises(LeaseLost):
        store.renew(lease)
    assert store.sessions() == []


def test_a_late_commit_does_not_reach_a_session_made_anew(store: Store) -> None:
    """A turn of a deleted session is lost, even if a turn of the same number runs under its name."""
    late = forgotten(store, "late")
    store.delete(store.head(AGENT, "main"))
    current = begin(store, "current").lease
    before = everything(store)

    with pytest.raises(LeaseLost):
        finish(store, late)
    with pytest.raises(LeaseLost):
        store.abandon(late, "failed", BROKEN, {})
    assert everything(store) == before
    finish(store, current)


def test_reading_a_session_that_was_deleted_is_no_damage(store: Store) -> None:
    """A reader whose session is deleted meanwhile gets SessionChanged, not talk of a damaged store."""
    for number in range(100):
        head = turn(store, str(number), data=f'{{"n":{number}}}')
    reader = store.entries(head, 1, 100)
    next(reader)
    store.delete(head)

    with pytest.raises(SessionChanged):
        store.messages(head, 0, 2)
    with pytest.raises(SessionChanged):
        store.data_at(head, 1)
    with pytest.raises(SessionChanged):
        list(store.entries(head, 1, 1))
    try:
        rest = list(reader)
    except SessionChanged:
        return
    assert len(rest) == 99


# Expectations of a session


def test_a_new_session_must_not_exist(store: Store) -> None:
    """With expect="new", a session that exists already is SessionExists, whether it runs or not."""
    lease = begin(store, "one", expect="new").lease
    with pytest.raises(SessionExists):
        begin(store, "two", expect="new", wait=10)
    finish(store, lease)
    before = everything(store)

    with pytest.raises(SessionExists):
        begin(store, "three", expect="new")
    assert everything(store) == before


def test_an_existing_session_must_exist(store: Store) -> None:
    """With expect="existing", a session that does not exist is SessionNotFound and is not made."""
    with pytest.raises(SessionNotFound):
        begin(store, "one", expect="existing")
    assert store.sessions() == []

    turn(store, "one")
    assert begin(store, "two", expect="existing").lease.turn == 2


def test_the_session_that_was_seen_is_the_one_that_answers(store: Store) -> None:
    """With a uid, a prompt is for that session alone: any other of the name is SessionChanged."""
    seen = turn(store, "one")
    assert turn(store, "two", uid=seen.uid).turn == 2
    store.delete(store.head(AGENT, "main"))

    for expect in ("any", "new", "existing"):
        with pytest.raises(SessionChanged):
            begin(store, "three", uid=seen.uid, expect=expect)
    assert store.sessions() == []

    turn(store, "new")
    before = everything(store)
    with pytest.raises(SessionChanged):
        begin(store, "three", uid=seen.uid)
    assert everything(store) == before


# Turn keys


def test_a_key_replays_its_turn(store: Store) -> None:
    """The same prompt under the same key gives the turn as it was, with its data, and runs nothing."""
    turn(store, "zero", data='{"n":0}')
    turn(store, "one", key="k", reply="first", data='{"n":1}', messages=[Message("tool", "x")], meta={"m": 1})
    turn(store, "two", data='{"n":2}')
    before = everything(store)

    replayed = replay(store, "one", "k")

    (recorded,) = store.entries(replayed.head, 2, 2, with_data=True)
    assert replayed.entry == recorded
    assert (recorded.reply, recorded.data) == ("first", '{"n":1}')
    assert replayed.head == store.head(AGENT, "main")
    assert everything(store) == before


def test_a_key_replays_while_another_turn_runs(store: Store) -> None:
    """A replay waits for nobody, since it runs nothing."""
    turn(store, "one", key="k", reply="first")
    lease = begin(store, "two").lease

    assert replay(store, "one", "k").entry.reply == "first"
    finish(store, lease)


def test_a_retry_is_answered_whatever_it_expects(store: Store) -> None:
    """A retry that asks for a new session, as the first attempt did, gets the reply and no SessionExists."""
    head = turn(store, "one", key="k", reply="first", expect="new")

    assert replay(store, "one", "k", expect="new").entry.reply == "first"
    assert replay(store, "one", "k", expect="existing", uid=head.uid).entry.reply == "first"
    with pytest.raises(SessionExists):
        begin(store, "one", key="another", expect="new")


def test_a_repeat_waits_for_the_turn_that_runs_under_its_key(store: Store) -> None:
    """Sent twice at once, a prompt is answered once: the second gets the first one's reply."""
    lease = begin(store, "one", key="k").lease
    with pytest.raises(SessionBusy):
        begin(store, "one", key="k", wait=0)

    repeat = store.begin(
        Ask(AGENT, "main", "one", key="k", wait=10),
        lambda *_: finish(store, lease, reply="once"),
    )

    assert isinstance(repeat, Replayed)
    assert repeat.entry.reply == "once"
    assert begin(store, "two", wait=0).lease.turn == 2


def test_a_key_is_for_one_prompt(store: Store) -> None:
    """Another prompt under a key that was used is KeyConflict, also while a turn runs."""
    turn(store, "one", key="k")
    begin(store, "two")
    before = everything(store)

    with pytest.raises(KeyConflict):
        begin(store, "another", key="k")
    assert everything(store) == before


def test_a_key_that_completed_nothing_runs_anew(store: Store) -> None:
    """After a failure, a cancellation or a crash, the same key is answered as if it were new."""
    failed_turn(store, "one", key="k")
    store.abandon(begin(store, "one", key="k").lease, "cancelled", BROKEN, {})
    forgotten(store, "one", key="k")

    head = turn(store, "changed my mind", key="k", reply="at last")

    assert head.turn == 4
    assert replay(store, "changed my mind", "k").entry.reply == "at last"


def test_a_key_belongs_to_its_session(store: Store) -> None:
    """Two sessions can use the same key for different prompts."""
    turn(store, "one", key="k")
    assert begin(store, "two", "other", key="k").lease.turn == 1


# Finding sessions


def test_sessions_are_listed_last_used_first(store: Store) -> None:
    """A session moves to the top when a prompt is sent to it; a limit cuts the rest off."""
    for name in ("a", "b", "c"):
        turn(store, f"to {name}", name)
    begin(store, "again", "a")
    store.head(AGENT, "b")

    assert [summary.name for summary in store.sessions()] == ["a", "c", "b"]
    assert [summary.name for summary in store.sessions(limit=2)] == ["a", "c"]
    assert store.sessions(limit=0) == []


def test_the_list_of_sessions_can_be_one_agents(store: Store) -> None:
    """With an agent, only its sessions are listed, before the limit counts."""
    for agent, name in (("one", "a"), ("two", "b"), ("one", "c"), ("two", "d")):
        turn(store, "hello", name, agent=agent)

    assert [summary.name for summary in store.sessions(agent="one")] == ["c", "a"]
    assert [summary.name for summary in store.sessions(agent="one", limit=1)] == ["c"]
    assert store.sessions(agent="three") == []


def test_a_list_of_sessions_says_what_each_is_about(store: Store) -> None:
    """A summary tells uid, name, settled turns, times and the beginning of the last prompt."""
    turn(store, "first")
    head = failed_turn(store, "🦜" * 201)
    (summary,) = store.sessions()
    assert summary[:6] == (head.uid, AGENT, "main", 2, head.created_at, head.updated_at)
    assert summary.preview == "🦜" * 200

    begin(store, "being answered")
    (summary,) = store.sessions()
    assert (summary.turns, summary.preview) == (2, "being answered")


def test_a_name_may_mean_sessions_of_several_agents(store: Store) -> None:
    """Without an agent, all sessions of the name are found; with one, only its own."""
    one = turn(store, "hello", "shared", agent="one")
    two = turn(store, "hello", "shared", agent="two")
    turn(store, "hello", "other", agent="one")

    assert sorted(store.resolve("shared")) == sorted([one, two])
    assert store.resolve("shared", agent="two") == [two]
    assert store.resolve("shared", agent="three") == []
    assert store.resolve("share") == []


def test_a_name_may_say_its_agent(store: Store) -> None:
    """AGENT/NAME finds that agent's session, the agent in either spelling, and whole names as well."""
    one = turn(store, "hello", "a/b", agent="task-planner")
    whole = turn(store, "hello", "task-planner/a/b", agent="other")
    turn(store, "hello", "b", agent="a")

    assert sorted(store.resolve("task-planner/a/b")) == sorted([one, whole])
    assert store.resolve("task_planner/a/b") == [one]
    assert store.resolve("task-planner/a/b", agent="other") == [whole]
    assert store.resolve("task-planner/a/b", agent="task-planner") == []
    assert store.resolve("/a/b") == []
    assert store.resolve("task-planner/") == []


# Letting go


def test_a_store_can_be_used_again_after_it_was_closed(store: Store) -> None:
    """Closing lets go of files and connections, and loses nothing that was committed."""
    turn(store, "one")
    store.disconnect()
    turn(store, "two")
    store.close()
    store.close()

    head = turn(store, "three")
    assert [entry.prompt for entry in timeline(store, head)] == ["one", "two", "three"]


# A store that is a file

IMPORTS = """
import sys
from flue_cli.stores import open_store
from flue_cli.stores.contract import Ask
store = open_store(sys.argv[1])
"""

TALK = (
    IMPORTS
    + """
print("ready", flush=True)
sys.stdin.readline()
for number in range(4):
    begun = store.begin(Ask("parrot", sys.argv[2], f"prompt {number}", wait=0), lambda *_: None)
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

store.begin(Ask("parrot", "main", "never answered", wait=100), pause)
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
    file_store.running(head)
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
        opened.append(connect(*arguments, **options))
        return opened[-1]

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
    assert store.running(head) is None
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

    def full(*arguments: object) -> Head:
        raise StoreError("the disk is full")

    with monkeypatch.context() as broken:
        broken.setattr("flue_cli.stores.sqlite.release", full)
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
