"""Sessions over HTTP: read page by page, deleted, and busy ones beside free ones."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support.router_server import Client, Gate, serving, together, until

from flue_cli.sessions import timeline
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, Failure


def has_prompts(client: Client, number: int) -> bool:
    """True if the server has accepted `number` prompts that are not answered yet."""
    return len(client.app.state.turns._prompts) == number


@pytest.fixture
def client() -> Iterator[Client]:
    with serving() as client:
        yield client


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """The store of `client`, as another process would have it open."""
    store = open_store(str(tmp_path / "home" / "flue.db"))
    yield store
    store.close()


def undone(store: Store, agent: str, name: str) -> None:
    timeline.undo_turns(store, store.head(agent, name), 1, wait=1, pause=lambda *_: None)


# Reading


def test_agents_are_listed(client: Client) -> None:
    """The list has every agent that is served, with the first line of what it says of itself."""
    listed = client.get("/api/agents").json()
    assert {"name": "counter", "description": "Counts its turns."} in listed
    assert [agent["name"] for agent in listed] == ["counter", "echo", "failing", "words"]


def test_sessions_are_listed_last_used_first(client: Client) -> None:
    """An agent's sessions come as `sessions list --json` gives them, last used first, and no others."""
    assert client.get("/api/agent/counter/sessions").json() == []
    for name in ("a", "b", "c", "a"):
        client.prompt("counter", f"to {name}", name)
    client.prompt("echo", "hi", "other")
    listed = client.get("/api/agent/counter/sessions").json()
    assert [(one["session"], one["turns"], one["preview"]) for one in listed] == [
        ("a", 2, "to a"),
        ("c", 1, "to c"),
        ("b", 1, "to b"),
    ]
    assert len(client.get("/api/agent/counter/sessions?limit=2").json()) == 2


def test_a_session_has_its_data_and_newest_turns(client: Client) -> None:
    """A session's document has data, turns with their messages, and who to ask for what came before."""
    for number in range(1, 8):
        client.prompt("counter", f"prompt {number}", "a")
    page = client.session("counter", "a", last=3)
    assert page["data"] == {"count": 7}
    assert [turn["turn"] for turn in page["turns"]] == [5, 6, 7]
    assert page["turns"][0]["messages"] == [
        {"role": "user", "content": "prompt 5"},
        {"role": "assistant", "content": "5"},
    ]
    assert (page["earlier"], page["running"]) == (5, None)


def test_pages_leave_no_gap(client: Client) -> None:
    """Following `earlier` to its end gives every turn once."""
    for _ in range(7):
        client.prompt("counter", "x", "a")
    seen: list[int] = []
    before: dict[str, int] = {}
    while True:
        page = client.session("counter", "a", last=3, **before)
        seen = [turn["turn"] for turn in page["turns"]] + seen
        if page["earlier"] is None:
            break
        before = {"before": page["earlier"]}
    assert seen == [1, 2, 3, 4, 5, 6, 7]


def test_a_turn_has_what_came_before_it_failed(client: Client, store: Store) -> None:
    """A failed turn has the part of its reply under a name of its own; others have no such field."""
    client.prompt("counter", "x", "other")
    failed = Entry(
        *(0, "prompt", "failed", None, "x", None, (), 1, 2, Failure("timeout", "late")),
        {"partial_reply": "once upon"},
        "{}",
    )
    store.import_session("counter", "a", [failed])
    assert client.session("counter", "a")["turns"][0]["partial_reply"] == "once upon"
    assert "partial_reply" not in client.session("counter", "other")["turns"][0]


def test_a_full_page_has_each_turns_data(client: Client) -> None:
    """With `full=1` a turn has the data after it and its meta, as in an export."""
    for _ in range(2):
        client.prompt("counter", "x", "a")
    page = client.session("counter", "a", full=1)
    assert [turn["data"] for turn in page["turns"]] == [{"count": 1}, {"count": 2}]
    assert page["turns"][0]["meta"]["source"].startswith("crc32:")
    assert "data" not in client.session("counter", "a")["turns"][0]


@pytest.mark.parametrize("query", ["last=-1", "last=x", "last=1001", "before=0", "full=yes", "last=\u0661"])
def test_unusable_queries_are_refused(client: Client, query: str) -> None:
    """A page that cannot be meant is 400, not another page."""
    client.prompt("counter", "x", "a")
    answer = client.get(f"/api/agent/counter/sessions/a?{query}")
    assert (answer.status_code, answer.json()["error"]["type"]) == (400, "usage")


@pytest.mark.parametrize(
    "name", ["a/b", "a/events", "events", "a%2Fb", "..", "a?b#c", "żółw", " ", "a b+c", "sessions", "x" * 256]
)
def test_a_session_may_have_any_name(client: Client, name: str) -> None:
    """Whatever can be a name can be in a path, percent-encoded, and means that session alone."""
    from urllib.parse import quote

    client.prompt("counter", "x", name)
    path = quote(name, safe="").replace(".", "%2E")  # or clients would take `..` for the folder above
    assert client.session("counter", path)["session"] == name
    assert client.delete(f"/api/agent/counter/sessions/{path}").status_code == 204
    assert client.get("/api/agent/counter/sessions").json() == []


@pytest.mark.parametrize("name", [".", "..", "a/b&c=d", "żółw +1"])
def test_a_session_can_be_named_outside_the_path(client: Client, name: str) -> None:
    """Clients remove `..` from a path, so /session?id=NAME reads, follows and deletes the session too."""
    client.prompt("counter", "x", name)
    address = "/api/agent/counter/session"
    assert client.get(address, params={"id": name}).json()["session"] == name
    with client.stream("GET", f"{address}/events", params={"id": name}) as response:
        assert response.status_code == 200
    assert client.delete(address, params={"id": name}).status_code == 204
    assert client.get(address, params={"id": name}).status_code == 404


def test_the_session_outside_the_path_is_named_once(client: Client) -> None:
    """Without ?id=, or with two of them, the request makes no sense."""
    for query in ("", "?id=a&id=b", "?id=", "?id=%00"):
        assert client.get(f"/api/agent/counter/session{query}").status_code == 400


def test_all_sessions_can_be_listed_in_pages(client: Client, store: Store) -> None:
    """The header Link of a page leads to the next one, until every session was listed once."""
    for number in range(25):
        store.import_session("counter", f"s{number}", [])
    address, names, pages = "/api/agent/counter/sessions?limit=10", [], 0
    while address:
        answer = client.get(address)
        names += [summary["session"] for summary in answer.json()]
        link, pages = answer.headers.get("Link", ""), pages + 1
        address = str(answer.url.join(link[1:].partition(">")[0])) if link else ""
    assert (names, pages) == ([f"s{number}" for number in reversed(range(25))], 3)


def test_the_start_page_is_for_browsers(client: Client) -> None:
    """The address of the server itself shows a page that runs nothing, whose links work."""
    answer = client.get("/")
    assert (answer.status_code, answer.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert "<script" not in answer.text
    for link in re.findall('href="([^"]+)"', answer.text):
        assert client.get(f"/{link}").status_code == 200


def test_names_are_normalised(client: Client) -> None:
    """A decomposed ü and a composed one are the same name, and so are both spellings of an agent."""
    client.router.agent("two-words", lambda prompt, *_: prompt)
    client.prompt("two_words", "x", "Mu\u0308ller")
    assert client.session("two-words", "M%C3%BCller")["session"] == "M\u00fcller"
    assert client.session("two_words", "Mu%CC%88ller")["session"] == "M\u00fcller"


def test_reading_creates_nothing(client: Client, tmp_path: Path) -> None:
    """To ask for a session that is not there is 404, and makes neither session nor store."""
    answer = client.get("/api/agent/counter/sessions/a")
    assert (answer.status_code, answer.json()["error"]["type"]) == (404, "session_not_found")
    assert client.delete("/api/agent/counter/sessions/a").status_code == 404
    with client.stream("GET", "/api/agent/counter/sessions/a/events") as response:
        assert response.status_code == 200
    assert not (tmp_path / "home" / "flue.db").exists()


# Deleting


def test_a_deleted_session_is_gone(client: Client, store: Store) -> None:
    """DELETE takes the session and what undoing kept of it; its name begins anew."""
    client.prompt("counter", "x", "a")
    client.prompt("counter", "x", "a")
    undone(store, "counter", "a")
    client.prompt("counter", "y", "a")
    kept = client.get("/api/agent/counter/sessions?all=1").json()
    assert [one["session"] for one in kept] == ["a", "a~1"]
    answer = client.delete("/api/agent/counter/sessions/a")
    assert (answer.status_code, answer.content) == (204, b"")
    assert client.get("/api/agent/counter/sessions?all=1").json() == []
    assert client.prompt("counter", "x", "a").text == "1"


def test_a_running_session_is_not_deleted() -> None:
    """DELETE while a turn runs is 409 at once, and the turn goes on."""
    gate = Gate()
    with serving(gate=gate) as client:
        [turn] = in_background(lambda: client.prompt("gate", "x", "a"))
        gate.await_one()
        answer = client.delete("/api/agent/gate/sessions/a")
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "session_busy")
        assert client.session("gate", "a")["running"]["prompt"] == "x"
        gate.go.set()
        assert turn().text == "done: x"


def in_background(*asked: Any) -> list[Any]:
    """Start each of `asked` in a thread; for each, what waits for its answer."""

    def start(ask: Any) -> Any:
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(ask()))
        thread.start()

        def answer() -> Any:
            thread.join(30)
            return found[0]

        return answer

    return [start(ask) for ask in asked]


# Many at once


def test_prompts_of_one_session_run_one_after_another(client: Client) -> None:
    """Fifty prompts at once for one session: all answered, each on top of the one before, none lost."""
    answers = together(50, lambda _: client.prompt("counter", "x", "a").text)
    assert sorted(map(int, answers)) == list(range(1, 51))
    assert [turn["turn"] for turn in client.session("counter", "a")["turns"]] == list(range(1, 51))


def test_sessions_run_beside_each_other() -> None:
    """Forty agents that all wait for one another are done: each session has a thread of its own."""
    meeting = threading.Barrier(40, timeout=20)

    def meet(*_: Any) -> str:
        meeting.wait()
        return "met"

    with serving(meet=meet) as client:
        answers = together(40, lambda number: client.prompt("meet", "x", f"s{number}").text)
    assert answers == ["met"] * 40


def test_a_busy_session_keeps_nobody_else_waiting() -> None:
    """While many prompts wait behind one that thinks, another session is answered at once."""
    gate = Gate()
    with serving(gate=gate) as client:
        waiting = in_background(*[lambda: client.prompt("gate", "x", "a")] * 30)
        gate.await_one()
        until(lambda: len(client.app.state.turns._prompts) == 30)
        began = time.monotonic()
        assert client.prompt("echo", "hi", "b").text == "hi"
        assert time.monotonic() - began < 5
        assert len(gate.prompts) == 1
        gate.go.set()
        assert [answer().status_code for answer in waiting] == [200] * 30


def test_order_of_arrival() -> None:
    """Prompts that wait for a session are answered in the order in which they came."""
    gate = Gate()
    with serving(gate=gate) as client:
        waiting = []
        for number in range(8):
            waiting += in_background(partial(client.prompt, "gate", str(number), "a"))
            until(partial(has_prompts, client, number + 1))
        gate.go.set()
        assert [answer().status_code for answer in waiting] == [200] * 8
        assert gate.prompts == [str(number) for number in range(8)]


def test_a_wait_has_an_end() -> None:
    """A prompt that waits too long behind another of its session is 409, and leaves no trace."""
    gate = Gate()
    with serving(wait=0.05, gate=gate) as client:
        [first] = in_background(lambda: client.prompt("gate", "x", "a"))
        gate.await_one()
        answer = client.prompt("gate", "y", "a")
        assert (answer.status_code, answer.json()["error"]["type"]) == (409, "session_busy")
        gate.go.set()
        assert first().status_code == 200
        assert gate.prompts == ["x"]
        assert len(client.session("gate", "a")["turns"]) == 1


def test_too_many_waiting_are_sent_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """When too many wait for one session the next is 503 with Retry-After, and another session is not."""
    from flue_cli.server.admission import SessionQueues

    monkeypatch.setattr("flue_cli.server.turn_scheduler.SessionQueues", lambda: SessionQueues(longest=2))
    gate = Gate()
    with serving(gate=gate) as client:
        waiting = []
        for number in range(3):
            waiting += in_background(lambda: client.prompt("gate", "x", "a"))
            until(partial(has_prompts, client, number + 1))
        answer = client.prompt("gate", "y", "a")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "overloaded")
        assert int(answer.headers["retry-after"]) > 0
        assert client.prompt("echo", "hi", "b").text == "hi"
        gate.go.set()
        assert [answer().status_code for answer in waiting] == [200] * 3


def test_more_turns_than_threads_wait_for_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """With every thread taken a prompt waits, and is 503 when none gets free in time."""

    monkeypatch.setattr("flue_cli.server.turn_scheduler.MAX_TURNS", 1)
    gate = Gate()
    with serving(wait=0.05, gate=gate) as client:
        [first] = in_background(lambda: client.prompt("gate", "x", "a"))
        gate.await_one()
        answer = client.prompt("echo", "y", "b")
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "overloaded")
        gate.go.set()
        assert first().status_code == 200
        assert client.prompt("echo", "y", "b").status_code == 200


def test_two_servers_share_a_store(tmp_path: Path) -> None:
    """Prompts for one session through two servers count on without a gap."""
    store = str(tmp_path / "flue.db")
    with serving(store=store) as one, serving(store=store) as two:
        answers = together(20, lambda number: (one, two)[number % 2].prompt("counter", "x", "a").text)
    assert sorted(map(int, answers)) == list(range(1, 21))


def test_agents_of_every_kind_are_served(client: Client) -> None:
    """Coroutine functions and asynchronous generators work as they do in the terminal."""

    async def coroutine(prompt: str, session: Any, context: Any) -> str:
        return f"heard {prompt}"

    async def pieces(prompt: str, session: Any, context: Any) -> Any:
        for word in prompt.split():
            yield word

    client.router.agent("coroutine", coroutine)
    client.router.agent("pieces", pieces)
    assert client.prompt("coroutine", "a b", "a").text == "heard a b"
    assert client.prompt("pieces", "a b", "a").text == "ab"
