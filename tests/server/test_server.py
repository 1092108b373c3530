"""Prompts over HTTP: what is answered, what is refused, and with what."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import httpx
import pytest
from support.app_server import app_server, uvicorn_server
from support.router_server import Client, Gate, running, serving, together

from flue_cli.agents import discovery
from flue_cli.errors import BadName, UsageError
from flue_cli.server import AgentRouter
from flue_cli.settings import Settings
from flue_cli.stores import open_store
from flue_cli.stores.records import TurnResult

if TYPE_CHECKING:
    from conftest import Flue


@pytest.fixture
def client() -> Iterator[Client]:
    with serving() as client:
        yield client


def error_of(answer: httpx.Response) -> str:
    document = answer.json()
    assert document["error"].keys() == {"type", "message"}
    return str(document["error"]["type"])


def sample(name: str) -> Any:
    return discovery.load_agent(discovery.find_agent(Settings.load({}, file=""), name)).function


# The origin's journey


def curl(url: str, body: str) -> str:
    """The origin's command line, but for the port."""
    line = ["curl", "-sS", "-X", "POST", url, "-H", "Content-Type: application/json", "-d", body]
    return subprocess.run(line, capture_output=True, text=True, check=True, timeout=30).stdout


@pytest.mark.parametrize("behind", [app_server, uvicorn_server])
def test_the_origins_curl_lines_work(flue: Flue, monkeypatch: pytest.MonkeyPatch, behind: Any) -> None:
    """An agent greets by the name that it was told in an earlier request, and the terminal goes on with that."""
    monkeypatch.setenv("FLUE_HOME", str(flue.home))
    router = AgentRouter()
    router.agent("greeting", sample("greeting"))
    with running(router.app, behind) as server:
        url = f"{server}/api/agent/greeting"
        first = curl(url, '{"prompt": "Hello there, my name is Alice", "sessionId": "my-unique-session-123"}')
        assert first == "Nice to meet you, Alice! How can I help?"
        second = curl(url, '{"prompt": "Tell me a joke", "sessionId": "my-unique-session-123"}')
        assert second == 'Hello again, Alice! You said: "Tell me a joke"'
        code, out, _ = flue("chat", "greeting", "-s", "my-unique-session-123", "Another")
        assert (code, out) == (0, 'Hello again, Alice! You said: "Another"\n')
        third = curl(url, '{"prompt": "One more", "sessionId": "my-unique-session-123"}')
        assert third == 'Hello again, Alice! You said: "One more"'
    code, out, _ = flue("sessions", "list")
    assert "my-unique-session-123\t4\t" in out


def test_the_origins_task_planner(client: Client) -> None:
    """Tasks pile up in one session, and another knows none of them."""
    client.router.agent("task-planner", sample("task-planner"))
    said = [
        client.prompt("task-planner", prompt, session).text
        for prompt, session in (
            ("add Buy groceries", "my-task-session-456"),
            ("add Call mom", "my-task-session-456"),
            ("list tasks", "my-task-session-456"),
            ("list tasks", "a-new-session-789"),
        )
    ]
    assert said == [
        'Added task: "Buy groceries". You now have 1 tasks.',
        'Added task: "Call mom". You now have 2 tasks.',
        "Your tasks:\n1. Buy groceries\n2. Call mom",
        "You currently have no tasks.",
    ]


# Forms of an answer


def test_text_is_the_reply_and_nothing_else(client: Client) -> None:
    """The body is the reply byte for byte, in UTF-8, and is nobody's to keep."""
    answer = client.prompt("echo", "żółw \x1b[31m\n", "a")
    assert answer.content == "żółw \x1b[31m\n".encode()
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (answer.headers["flue-session"], answer.headers["flue-turn"]) == ("a", "1")


def test_the_document_is_that_of_the_command_line(flue: Flue, monkeypatch: pytest.MonkeyPatch) -> None:
    """`Accept: application/json` gives what `flue chat --json` prints."""
    monkeypatch.setenv("FLUE_HOME", str(flue.home))
    router = AgentRouter()
    router.agent("greeting", sample("greeting"))
    with running(router.app) as url:
        answer = httpx.post(
            f"{url}/api/agent/greeting",
            json={"prompt": "my name is Ada", "sessionId": "over-http"},
            headers={"Accept": "application/json", "Idempotency-Key": "k"},
        )
    _, out, _ = flue("chat", "greeting", "-s", "typed", "--json", "--turn-key", "k", "my name is Ada")
    assert answer.json() == json.loads(out) | {"session": "over-http"}


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "text/plain; charset=utf-8"),
        ("text/html", "text/plain; charset=utf-8"),
        ("application/json, text/plain, */*", "application/json"),
        ("text/plain;q=0.5, application/json;q=0.9", "application/json"),
        ("application/json;q=0", "text/plain; charset=utf-8"),
        ("text/event-stream", "text/event-stream; charset=utf-8"),
    ],
)
def test_the_client_chooses_the_form(client: Client, accept: str, kind: str) -> None:
    """Of the forms that a client takes it gets the one that it likes best."""
    assert client.prompt("echo", "hi", "a", accept=accept).headers["content-type"] == kind


def test_a_session_without_a_name_gets_one(client: Client) -> None:
    """Without a sessionId every prompt begins a session, whose name comes back and can be used."""
    first, second = client.prompt("counter", "x"), client.prompt("counter", "x")
    names = [answer.headers["flue-session"] for answer in (first, second)]
    assert names[0] != names[1]
    assert client.prompt("counter", "x", names[0]).text == "2"


def test_a_sessions_name_in_a_header_is_as_in_a_path(client: Client) -> None:
    """A name that no header could hold comes back percent-encoded, and finds the session as it stands."""
    answer = client.prompt("echo", "hi", "Müller/Søn 100%")
    name = answer.headers["flue-session"]
    assert name == "M%C3%BCller%2FS%C3%B8n%20100%25"
    assert client.session("echo", name)["session"] == "Müller/Søn 100%"


# Retries


def test_a_key_makes_a_retry_safe(client: Client) -> None:
    """The same key and prompt give the first answer again; another prompt under it is a conflict."""
    first = client.prompt("counter", "x", "a", idempotency_key="k1")
    again = client.prompt("counter", "x", "a", idempotency_key="k1", accept="application/json")
    assert (first.text, again.json()["reply"], again.json()["replayed"]) == ("1", "1", True)
    other = client.prompt("counter", "y", "a", idempotency_key="k1")
    assert (other.status_code, error_of(other)) == (409, "key_conflict")
    assert client.session("counter", "a")["data"] == {"count": 1}


def test_a_key_needs_a_session_to_look_in(client: Client) -> None:
    """A retry without a session would begin another one: it is refused the first time."""
    answer = client.prompt("counter", "x", idempotency_key="k1")
    assert (answer.status_code, error_of(answer)) == (400, "usage")


def test_concurrent_retries_run_once(client: Client) -> None:
    """Ten tries at once under one key run the agent once and all get its answer."""
    answers = together(10, lambda _: client.prompt("counter", "x", "a", idempotency_key="k").text)
    assert answers == ["1"] * 10
    assert client.session("counter", "a")["data"] == {"count": 1}


# What is refused


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b"", "not JSON"),
        (b"{", "not JSON"),
        (b'{"prompt": NaN}', "NaN"),
        (b'{"prompt": "a", "prompt": "b"}', "twice"),
        (b'{"sessionId": "a"}', 'no "prompt"'),
        (b'{"prompt": "a", "sessionID": "a"}', '"sessionID"'),
        (b'{"prompt": 1}', '"prompt"'),
        (b'{"prompt": null}', '"prompt"'),
        (b'{"prompt": "a", "sessionId": null}', '"sessionId"'),
        (b'["prompt"]', "not an object"),
        (b"[" * 65 + b"]" * 65, "not an object"),
        (b"[" * 100_000, "not JSON"),
        (b'{"prompt": "\xff"}', "UTF-8 at byte 12"),
        (b'{"prompt": "\\ud800"}', "UTF-8"),
        (b'{"prompt": "a\\u0000"}', "NUL"),
        (b'\xef\xbb\xbf{"prompt": "a"}', "not JSON"),
    ],
)
def test_a_body_that_cannot_be_meant_is_refused(client: Client, body: bytes, words: str) -> None:
    """What is no prompt is 400 with a sentence that says why, and leaves nothing behind."""
    answer = client.post("/api/agent/echo", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, error_of(answer)) == (400, "usage")
    assert words in answer.json()["error"]["message"]
    assert client.get("/api/agent/echo/sessions").json() == []


@pytest.mark.parametrize("name", ["", "-a", "a\0b", "a\x1bb", "\u202eabc", "x" * 257, "\ud800"])
def test_an_unusable_session_name_is_refused(client: Client, name: str) -> None:
    """Names that the command refuses are refused here, in a body and in a path."""
    body = json.dumps({"prompt": "a", "sessionId": name})
    answer = client.post("/api/agent/echo", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, error_of(answer)) == (400, "bad_name")


@pytest.mark.parametrize("path", ["%00", "a%1bb", "%ff", "%zz", "-a", "x" * 257, "%E2%80%AEabc"])
def test_an_unusable_path_is_refused(client: Client, path: str) -> None:
    """A path that is no name in percent-encoded UTF-8 is 400, whatever is asked of it."""
    for method in ("GET", "DELETE"):
        answer = client.request(method, f"/api/agent/echo/sessions/{path}")
        assert (answer.status_code, error_of(answer)) == (400, "bad_name")
    if path != "x" * 257:
        assert client.prompt(path, "a", "a").status_code == 400


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=latin1"]
)
def test_a_body_that_is_not_json_is_refused(client: Client, kind: str) -> None:
    """What another site's form could send is 415."""
    answer = client.post("/api/agent/echo", content=b'{"prompt": "a"}', headers={"Content-Type": kind})
    assert (answer.status_code, error_of(answer)) == (415, "media_type")


def test_a_prompt_can_be_large_but_not_without_end(client: Client) -> None:
    """16 MiB is answered, more is 413."""
    largest = "x" * (16 * 2**20)
    assert client.prompt("echo", largest, "a").text == largest
    answer = client.prompt("echo", largest + "x", "a")
    assert (answer.status_code, error_of(answer)) == (413, "too_large")
    answer = client.prompt("echo", largest * 2, "a")
    assert (answer.status_code, error_of(answer)) == (413, "too_large")


def test_unknown_addresses_and_methods(client: Client) -> None:
    """404 and 405 are documents too, and 405 says what could be done."""
    for path in ("/index.html", "/api/agent/echo/sessions/a/b", "/api/agents/", "/healthz/x"):
        answer = client.get(path)
        assert (answer.status_code, error_of(answer)) == (404, "not_found")
    answer = client.put("/api/agent/echo/sessions/a")
    assert (answer.status_code, error_of(answer)) == (405, "method")
    assert {"GET", "DELETE"} <= set(answer.headers["allow"].split(", "))
    assert client.get("/api/agent/echo").status_code == 405


def test_unknown_agents(client: Client) -> None:
    """An agent that is not served is 404, and so are its sessions, whatever the store has."""
    answer = client.prompt("nobody", "hi", "a")
    assert (answer.status_code, error_of(answer)) == (404, "agent_not_found")
    assert error_of(client.get("/api/agent/nobody/sessions")) == "agent_not_found"
    assert error_of(client.get("/api/agent/nobody/sessions/a")) == "agent_not_found"
    assert error_of(client.prompt("NoBody", "hi", "a")) == "bad_name"


# What goes wrong


def test_a_failing_agent_says_nothing_of_itself(client: Client, tmp_path: Path) -> None:
    """The client learns that the agent failed, with a reference; the log knows it, and where it failed."""
    answer = client.prompt("failing", "swordfish", "a")
    assert (answer.status_code, error_of(answer)) == (500, "exception")
    assert "swordfish" not in answer.text
    reference = answer.json()["error"]["message"].rpartition(" ")[2].rstrip(")")
    lines = (tmp_path / "home" / "log" / "flue.jsonl").read_text().splitlines()
    assert not any("swordfish" in line for line in lines)
    [failure] = [event for event in map(json.loads, lines) if event.get("reference") == reference]
    assert (failure["agent"], failure["session"], failure["turn"]) == ("failing", "a", 1)
    assert failure["exception"] == "ValueError"
    assert "router_server.py" in failure["frames"][-1]


def test_a_failing_turn_changes_nothing(client: Client) -> None:
    """The document of a failed turn has its outcome, and the data is what it was."""
    answer = client.prompt("failing", "swordfish", "a", accept="application/json")
    document = answer.json()
    assert (answer.status_code, document["outcome"], document["data"]) == (500, "failed", {})
    assert document["error"]["type"] == "exception"
    shown = client.get("/api/agent/failing/sessions/a").text
    assert "password" not in shown
    assert json.loads(shown)["turns"][0]["error"] == {"type": "exception", "message": "the agent failed"}


def test_an_agent_that_takes_too_long() -> None:
    """Past the time limit the answer is 504, and the session is free again."""
    gate = Gate()
    with serving(timeout=0.05, gate=gate) as client:
        answer = client.prompt("gate", "x", "a")
        assert (answer.status_code, error_of(answer)) == (504, "timeout")
        gate.go.set()
        assert client.prompt("gate", "y", "a").text == "done: y"


def test_a_store_that_fails_is_not_described(tmp_path: Path) -> None:
    """A store that cannot be opened is 500 without its path."""
    (tmp_path / "broken.db").write_bytes(b"no store at all, but long enough to have a header" * 10)
    with serving(store=str(tmp_path / "broken.db")) as client:
        for answer in (client.prompt("echo", "x", "a"), client.get("/api/agent/echo/sessions")):
            assert (answer.status_code, error_of(answer)) == (500, "store_damaged")
            assert "broken.db" not in answer.text


def test_a_session_that_another_process_holds_is_busy(tmp_path: Path) -> None:
    """A turn in another process holds the session: 409, after the wait, without a word of that process."""
    from flue_cli.stores.records import BegunTurn, TurnRequest

    other = open_store(str(tmp_path / "flue.db"))
    begun = other.begin(TurnRequest("echo", "a", "x"), lambda *_: None)
    assert isinstance(begun, BegunTurn)
    with serving(store=str(tmp_path / "flue.db"), wait=0.05) as client:
        answer = client.prompt("echo", "x", "a")
        assert (answer.status_code, error_of(answer)) == (409, "session_busy")
        assert "pid" not in answer.text
        assert client.get("/api/agent/echo/sessions/a").json()["running"]["prompt"] == "x"
        answer = client.delete("/api/agent/echo/sessions/a")
        assert (answer.status_code, error_of(answer)) == (409, "session_busy")
        other.commit(begun.lease, TurnResult(reply="y", messages=(), data="{}", meta={}))
        assert client.prompt("echo", "x", "a").status_code == 200
    other.close()


# In Python


def test_an_agent_can_be_registered_by_a_decorator() -> None:
    """`@router.agent("name")` serves the function and leaves it what it is."""
    router = AgentRouter("memory:")

    @router.agent("shouting")
    def shout(prompt: str, session: Any, context: Any) -> str:
        """Shouts."""
        return prompt.upper()

    assert shout("a", None, None) == "A"
    with running(router.app) as url:
        assert httpx.get(f"{url}/api/agents").json() == [{"name": "shouting", "description": "Shouts."}]
        answer = httpx.post(f"{url}/api/agent/shouting", json={"prompt": "hi"})
        assert answer.text == "HI"


def test_what_cannot_be_registered_is_refused() -> None:
    """A bad name, a name twice and what cannot be called are errors at once."""
    router = AgentRouter("memory:")
    silent: Any = lambda *_: ""  # noqa: E731 - each line below registers it
    router.agent("a", silent)
    with pytest.raises(UsageError, match="two agents 'a'"):
        router.agent("a", silent)
    with pytest.raises(BadName):
        router.agent("A b", silent)
    with pytest.raises(UsageError, match="cannot be called"):
        router.agent("b", cast("Any", "text"))


def test_it_works_without_a_lifespan(tmp_path: Path) -> None:
    """A server that says nothing of starting and stopping serves all the same."""
    import asyncio

    router = AgentRouter(str(tmp_path / "flue.db"))
    router.agent("echo", lambda prompt, *_: prompt)

    async def ask() -> httpx.Response:
        transport = httpx.ASGITransport(router.app)
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            return await client.post("/api/agent/echo", json={"prompt": "hi", "sessionId": "a/b"})

    assert asyncio.run(ask()).text == "hi"
    assert asyncio.run(ask()).headers["flue-turn"] == "2"


def test_it_can_be_mounted_in_another_app(tmp_path: Path) -> None:
    """Below a path of somebody else's app it works as by itself, slashes in names included."""
    from starlette.applications import Starlette
    from starlette.routing import Mount

    router = AgentRouter(str(tmp_path / "flue.db"))
    router.agent("echo", lambda prompt, *_: prompt)
    with running(Starlette(routes=[Mount("/my flue", router.app)])) as url:
        assert (
            httpx.post(f"{url}/my%20flue/api/agent/echo", json={"prompt": "hi", "sessionId": "a/b"}).text
            == "hi"
        )
        assert httpx.get(f"{url}/my%20flue/api/agent/echo/sessions/a%2Fb").json()["session"] == "a/b"
    router.app.state.turns.store.close()


def test_a_store_that_was_given_stays_open() -> None:
    """A program's own store is its own to close: what a server kept there can be read afterwards."""
    store = open_store("memory:")
    with serving(store=store) as client:
        client.prompt("echo", "hi", "a")
    assert store.head("echo", "a").turn == 1


# About itself


def test_health_and_description(client: Client) -> None:
    """/healthz tells that it is well, and /openapi.json describes every address that there is."""
    assert client.get("/healthz").json() == {"status": "ok"}
    described = client.get("/openapi.json").json()
    served = {route.path for route in client.app.routes} - {"/", "/openapi.json"}
    assert described["paths"].keys() == served
    parameters = [
        (parameter["name"], parameter["schema"])
        for path in described["paths"].values()
        for operation in path.values()
        for parameter in operation.get("parameters", [])
    ]
    assert ("limit", {"type": "integer", "minimum": 1, "maximum": 1000, "default": 50}) in parameters
    assert all(
        {"enum", "maximum", "maxLength", "minLength", "pattern"} & schema.keys()
        for name, schema in parameters
        if name != "Last-Event-ID"
    )
    for path, methods in described["paths"].items():
        route = next(route for route in client.app.routes if route.path == path)
        assert {method.upper() for method in methods} == route.methods - {"HEAD"}
    for reference in {
        part.split('"')[0] for part in json.dumps(described).split("#/components/schemas/")[1:]
    }:
        assert reference in described["components"]["schemas"]
