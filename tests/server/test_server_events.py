"""Streams over HTTP: a turn event by event, a session followed, and clients that go away."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from support.router_server import PATIENCE, Client, Gate, events_of, serving, until

if TYPE_CHECKING:
    from conftest import Flue

EVENTS = {"Accept": "text/event-stream"}


@pytest.fixture
def client() -> Iterator[Client]:
    with serving() as client:
        yield client


def stream(client: Client, agent: str, prompt: str, session: str = "a", query: str = "") -> Any:
    body = {"prompt": prompt, "sessionId": session}
    return client.stream("POST", f"/api/agent/{agent}{query}", json=body, headers=EVENTS)


def outcomes(client: Client, agent: str, name: str) -> list[str]:
    return [turn["outcome"] for turn in client.session(agent, name)["turns"]]


# A turn as it goes


def test_a_streamed_reply_comes_piece_by_piece(client: Client) -> None:
    """Events tell of the beginning, of every piece, and of the end with the whole document."""
    with stream(client, "words", "one two three") as response:
        assert response.headers["content-type"].startswith("text/event-stream")
        assert (response.headers["flue-session"], response.headers["flue-turn"]) == ("a", "1")
        found = list(events_of(response))
    assert found[0] == (
        "turn.started",
        {
            "type": "turn.started",
            "agent": "words",
            "session": "a",
            "turn": 1,
            "prompt": "one two three",
            "key": None,
        },
    )
    assert "".join(fields["text"] for name, fields in found if name == "reply.delta") == "one two three "
    name, last = found[-1]
    assert name == "turn.completed"
    assert (last["outcome"], last["reply"]) == ("completed", "one two three ")
    assert all(name == fields["type"] for name, fields in found)


def test_pieces_come_while_the_agent_still_talks() -> None:
    """The first piece is there before the agent has said the second."""
    heard = threading.Event()

    def slow(prompt: str, session: Any, context: Any) -> Iterator[str]:
        yield "first"
        assert heard.wait(PATIENCE)
        yield "second"

    with serving(slow=slow) as client, stream(client, "slow", "x") as response:
        found = events_of(response)
        assert next(found)[0] == "turn.started"
        assert next(found)[1]["text"] == "first"
        heard.set()
        assert next(found)[1]["text"] == "second"
        assert next(found)[0] == "turn.completed"


def test_events_are_those_of_the_command_line(flue: Flue, monkeypatch: pytest.MonkeyPatch) -> None:
    """The stream says what `--output-format stream-json` says."""
    flue.agent("said", "def agent(prompt, session, context):\n    return prompt.upper()\n")
    _, out, _ = flue("chat", "said", "-s", "typed", "--output-format", "stream-json", "hi")
    with serving(said=lambda prompt, *_: prompt.upper()) as client, stream(client, "said", "hi") as response:
        found = [fields for _, fields in events_of(response)]
    typed = [json.loads(line) for line in out.splitlines()]
    assert [fields | {"session": "a"} if "session" in fields else fields for fields in typed] == found


def test_a_replayed_turn_streams_too(client: Client) -> None:
    """A retry under its key gives the same events, marked as replayed, without running the agent."""
    client.prompt("counter", "x", "a", idempotency_key="k")
    again = client.prompt("counter", "x", "a", idempotency_key="k", accept="text/event-stream")
    found = list(events_of(again))
    assert [name for name, _ in found] == ["turn.started", "reply.delta", "turn.completed"]
    assert found[-1][1]["replayed"]


def test_a_failing_turn_ends_in_an_event(client: Client) -> None:
    """What fails after the beginning is an event, which says no more than an error document would."""
    with stream(client, "failing", "swordfish") as response:
        assert response.status_code == 200
        found = list(events_of(response))
    assert [name for name, _ in found] == ["turn.started", "turn.failed"]
    assert found[-1][1]["error"]["type"] == "exception"
    assert "swordfish" not in found[-1][1]["error"]["message"]


def test_what_keeps_a_turn_from_beginning_is_a_plain_error(client: Client) -> None:
    """Before anything is streamed, errors have their status and document as ever."""
    client.prompt("counter", "x", "a", idempotency_key="k")
    answer = client.prompt("counter", "y", "a", idempotency_key="k", accept="text/event-stream")
    assert (answer.status_code, answer.json()["error"]["type"]) == (409, "key_conflict")


def test_a_silent_stream_has_a_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    """While an agent thinks in silence the stream shows that it is alive."""
    monkeypatch.setattr("flue_cli.server.sse.HEARTBEAT_SECONDS", 0.02)
    gate = Gate()
    with serving(gate=gate) as client, stream(client, "gate", "x") as response:
        lines = response.iter_lines()
        assert next(line for line in lines if line.startswith(":")) == ": heartbeat"
        gate.go.set()
        assert any(line == "event: turn.completed" for line in lines)


# Clients that go away


def go_away(client: Client, gate: Gate, agent: str, headers: dict[str, str], query: str = "") -> None:
    """Send a prompt, and hang up once the agent has it."""
    body = json.dumps({"prompt": "x", "sessionId": "a"})
    sent = {"Content-Type": "application/json", "Content-Length": str(len(body)), "Host": "x", **headers}
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        lines = "".join(f"{name}: {value}\r\n" for name, value in sent.items())
        connection.sendall(f"POST /api/agent/{agent}{query} HTTP/1.1\r\n{lines}\r\n{body}".encode())
        gate.await_one()


@pytest.mark.parametrize("accept", ["text/plain", "application/json", "text/event-stream"])
def test_a_client_that_goes_away_cancels_its_turn(accept: str) -> None:
    """Whoever hangs up needs no answer: the agent is stopped, and the turn is cancelled."""
    gate = Gate()
    with serving(gate=gate) as client:
        go_away(client, gate, "gate", {"Accept": accept})
        until(lambda: outcomes(client, "gate", "a") == ["cancelled"])


@pytest.mark.parametrize("accept", ["text/plain", "text/event-stream"])
def test_a_detached_turn_goes_on(accept: str) -> None:
    """With `?detach=1` the turn is completed for whoever asks later."""
    gate = Gate()
    with serving(gate=gate) as client:
        go_away(client, gate, "gate", {"Accept": accept}, "?detach=1")
        assert client.prompt("echo", "time passes", "b").status_code == 200
        gate.go.set()
        until(lambda: outcomes(client, "gate", "a") == ["completed"])


def test_a_client_that_goes_away_leaves_the_line() -> None:
    """A prompt that still waits is dropped with its client: no turn, and the next one is not kept waiting."""
    gate = Gate()
    with serving(gate=gate) as client:
        first = threading.Thread(target=lambda: client.prompt("gate", "first", "a"))
        first.start()
        gate.await_one()
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(
                f"{client.base_url}/api/agent/gate", json={"prompt": "gone", "sessionId": "a"}, timeout=0.1
            )
        until(lambda: len(client.app.state.turns._prompts) == 1)
        gate.go.set()
        first.join()
        assert client.prompt("gate", "last", "a").status_code == 200
        assert gate.prompts == ["first", "last"]


def test_an_agent_that_will_not_stop_holds_nobody_up() -> None:
    """An agent that ignores its end is given up: the turn is settled and the server still ends."""
    entered, released = threading.Event(), threading.Event()

    def stubborn(prompt: str, session: Any, context: Any) -> str:
        entered.set()
        while not released.is_set():
            try:
                released.wait(0.05)
            except BaseException:  # noqa: BLE001 - this is what it is for
                continue
        return "late"

    with serving(timeout=0.05, stubborn=stubborn) as client:
        answer = client.prompt("stubborn", "x", "a", accept="application/json")
        assert (answer.status_code, answer.json()["error"]["type"]) == (504, "timeout")
        assert client.prompt("echo", "hi", "b").text == "hi"
    assert entered.is_set()
    released.set()


# Following a session


def test_a_session_is_followed(client: Client) -> None:
    """Whoever follows a session sees what comes: the prompt, then the reply with data."""
    client.prompt("counter", "before", "a")
    with client.stream("GET", "/api/agent/counter/sessions/a/events") as response:
        found = events_of(response)
        client.prompt("counter", "after", "a")
        name, fields = next(event for event in found if event[0] != "turn.started")
    assert name == "turn.completed"
    assert (fields["turn"], fields["prompt"], fields["reply"], fields["data"]) == (
        2,
        "after",
        "2",
        {"count": 2},
    )


def test_turns_from_the_terminal_are_followed(flue: Flue, monkeypatch: pytest.MonkeyPatch) -> None:
    """A turn that somebody makes in a terminal reaches whoever follows over HTTP."""
    flue.agent("echo", "def agent(prompt, session, context):\n    return prompt\n")
    monkeypatch.setenv("FLUE_HOME", str(flue.home))
    with serving() as client:
        client.prompt("echo", "over http", "a")
        with client.stream("GET", "/api/agent/echo/sessions/a/events") as response:
            assert flue("chat", "echo", "-s", "a", "typed").code == 0
            name, fields = next(event for event in events_of(response) if event[0] != "turn.started")
    assert (name, fields["reply"]) == ("turn.completed", "typed")


def test_a_running_prompt_and_a_failure_are_followed() -> None:
    """The prompt that runs is told first; a failure comes without what the agent said of it."""
    gate = Gate()
    with serving(gate=gate) as client:
        turn = threading.Thread(target=lambda: client.prompt("gate", "x", "a"))
        turn.start()
        gate.await_one()
        with client.stream("GET", "/api/agent/gate/sessions/a/events") as response:
            name, fields = next(events_of(response))
            assert (name, fields["prompt"]) == ("turn.started", "x")
            gate.go.set()
            turn.join()
        client.prompt("failing", "x", "b", accept="application/json")
        with client.stream("GET", "/api/agent/failing/sessions/b/events") as response:
            client.prompt("failing", "swordfish", "b")
            name, fields = next(event for event in events_of(response) if event[0] != "turn.started")
    assert (name, fields["error"]) == ("turn.failed", {"type": "exception", "message": "the agent failed"})


def test_the_end_of_a_session_is_the_end_of_following(client: Client) -> None:
    """When the session is deleted, followers are told and the stream ends."""
    client.prompt("counter", "x", "a")
    with client.stream("GET", "/api/agent/counter/sessions/a/events") as response:
        client.delete("/api/agent/counter/sessions/a")
        assert [name for name, _ in events_of(response)] == ["session.deleted"]


def test_following_waits_for_the_session(client: Client) -> None:
    """A browser may follow a session before its first prompt, and gets that turn from its beginning on."""
    with client.stream("GET", "/api/agent/counter/sessions/a/events") as response:
        assert response.status_code == 200
        client.prompt("counter", "first", "a")
        name, fields = next(event for event in events_of(response) if event[0] != "turn.started")
    assert (name, fields["turn"], fields["prompt"]) == ("turn.completed", 1, "first")


def test_a_follower_that_waited_misses_nothing(client: Client) -> None:
    """Who lost the connection before the session was there gets all of its turns on the next one."""
    client.prompt("counter", "first", "a")
    client.prompt("counter", "second", "a")
    headers = {"Last-Event-ID": "0-0-0-0"}
    with client.stream("GET", "/api/agent/counter/sessions/a/events", headers=headers) as response:
        followed = events_of(response)
        assert [next(followed)[1]["prompt"] for _ in range(2)] == ["first", "second"]


def test_followers_that_go_away_are_forgotten(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who follows counts only as long as it is there; too many at once are 503."""

    monkeypatch.setattr("flue_cli.server.events_endpoint.MAX_FOLLOWERS", 1)
    client.prompt("counter", "x", "a")
    path = "/api/agent/counter/sessions/a/events"
    with client.stream("GET", path):
        answer = client.get(path)
        assert (answer.status_code, answer.json()["error"]["type"]) == (503, "overloaded")

    def is_followed() -> bool:
        with client.stream("GET", path) as response:
            return response.status_code == 200

    until(is_followed)


# The end of a server


def test_a_server_that_stops_lets_turns_end(tmp_path: Path) -> None:
    """Draining takes no new prompts, sends away who waits, ends followers, and lets what runs finish."""
    gate = Gate()
    with serving(gate=gate) as client:
        loop = loop_of(client)
        turns = client.app.state.turns
        answers: dict[str, httpx.Response] = {}
        threads = []
        for name in ("runs", "waits"):
            thread = threading.Thread(
                target=lambda name=name: answers.update({name: client.prompt("gate", name, "a")})
            )
            thread.start()
            threads.append(thread)
            until(lambda: len(turns._prompts) == len(threads))
        gate.await_one()
        with client.stream("GET", "/api/agent/gate/sessions/a/events") as followed:
            drained = asyncio.run_coroutine_threadsafe(turns.drain(PATIENCE), loop)
            list(events_of(followed))
        threads[1].join(PATIENCE)
        assert (answers["waits"].status_code, answers["waits"].json()["error"]["type"]) == (503, "stopping")
        assert client.get("/healthz").status_code == 503
        assert client.prompt("echo", "late", "b").json()["error"]["type"] == "stopping"
        assert turns.running == 1
        assert not drained.done()
        gate.go.set()
        assert drained.result(PATIENCE)
        threads[0].join(PATIENCE)
        assert answers["runs"].text == "done: runs"


def test_turns_that_do_not_end_in_time_are_cancelled() -> None:
    """What still runs when patience ends is cancelled, settled, and told so."""
    gate = Gate()
    with serving(gate=gate) as client:
        loop, turns = loop_of(client), client.app.state.turns
        answers: list[httpx.Response] = []
        thread = threading.Thread(target=lambda: answers.append(client.prompt("gate", "x", "a")))
        thread.start()
        gate.await_one()
        assert not asyncio.run_coroutine_threadsafe(turns.drain(0.01), loop).result(PATIENCE)
        loop.call_soon_threadsafe(turns.cancel_all)
        assert asyncio.run_coroutine_threadsafe(turns.drain(PATIENCE), loop).result(PATIENCE)
        thread.join(PATIENCE)
        assert (answers[0].status_code, answers[0].json()["error"]["type"]) == (503, "cancelled")
        assert outcomes(client, "gate", "a") == ["cancelled"]


def loop_of(client: Client) -> asyncio.AbstractEventLoop:
    """The event loop that the server runs in."""
    found: list[asyncio.AbstractEventLoop] = []
    call = client.app.state.turns.call

    async def spying(function: Any) -> Any:
        found.append(asyncio.get_running_loop())
        return await call(function)

    client.app.state.turns.call = spying
    client.get("/api/agents")
    client.app.state.turns.call = call
    return found[0]
