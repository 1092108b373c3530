"""What the server turns away before any route sees it, and what it writes down."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from flue_cli.log import Log
from flue_cli.server.access_guard import AccessGuard, AccessPolicy
from flue_cli.server.request_body import Limits, RequestLimits

if TYPE_CHECKING:
    from pathlib import Path

JSON = ("Content-Type", "application/json")
FOREVER = "nothing more comes"
GONE = {"type": "http.disconnect"}


class Asked:
    """A request that went through a guard: what came back, and what the app behind it got."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""
        self.received: bytes | None = None
        self.reads = 0
        self.closed_early = False

    @property
    def error(self) -> str:
        return str(json.loads(self.body)["error"]["type"])


def ask(
    *headers: tuple[str, str],
    policy: AccessPolicy | None = None,
    limits: Limits | None = None,
    log: Log | None = None,
    method: str = "POST",
    path: str = "/api/agent/greeting",
    pieces: tuple[Any, ...] = (b'{"prompt": "hello"}',),
    host: str | None = "127.0.0.1:3000",
) -> Asked:
    """Send a request through a guard to an app that reads it whole and answers 200."""
    asked = Asked()
    waiting: list[Any] = [
        piece
        if piece in (FOREVER, GONE)
        else {"type": "http.request", "body": piece, "more_body": number < len(pieces) - 1}
        for number, piece in enumerate(pieces)
    ]

    async def app(scope: Any, receive: Any, send: Any) -> None:
        asked.received = b""
        more = True
        while more:
            message = await receive()
            asked.received += message["body"]
            more = message.get("more_body", False)
        scope["flue"].update(agent="greeting", session="alice", turn=7)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [(b"Cache-Control", b"public"), (b"flue-session", b"alice")],
            }
        )
        await send({"type": "http.response.body", "body": b"fine"})

    async def receive() -> Any:
        asked.reads += 1
        if not waiting or waiting[0] == FOREVER:
            await asyncio.sleep(60)
        return waiting.pop(0)

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            asked.status = message["status"]
            asked.headers = {name.decode().lower(): value.decode() for name, value in message["headers"]}
        else:
            asked.body += message.get("body", b"")

    sent = [*headers, *([("Host", host)] if host is not None else [])]
    scope = {
        "type": "http",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"key=secret",
        "headers": [(name.lower().encode(), value.encode("latin-1")) for name, value in sent],
    }
    asyncio.run(AccessGuard(RequestLimits(app, limits), policy, log)(scope, receive, send))
    return asked


def post(*headers: tuple[str, str], **how: Any) -> Asked:
    """A prompt as curl sends it."""
    return ask(JSON, ("Content-Length", "19"), *headers, **how)


def test_what_is_in_order_goes_through() -> None:
    """The app gets the body whole, and its answer comes back, never to be kept or taken for a page."""
    asked = post(pieces=(b'{"prompt": ', b'"hello"}'))

    assert (asked.status, asked.body, asked.received) == (200, b"fine", b'{"prompt": "hello"}')
    assert asked.headers["cache-control"] == "no-store"
    assert asked.headers["x-content-type-options"] == "nosniff"
    assert asked.headers["flue-session"] == "alice"


@pytest.mark.parametrize(
    "host",
    ["localhost", "LOCALHOST:3000", "localhost.", "127.0.0.1", "127.3.2.1:80", "[::1]", "[::1]:3000", "[::ffff:127.0.0.1]", "flue.localhost:3000"],
)  # fmt: skip
def test_names_of_this_machine_are_served(host: str) -> None:
    """Every way to say "this machine" works, with and without a port."""
    assert post(host=host).status == 200


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:3000", "localhost.evil.example", "127.0.0.1.evil.example", "192.168.1.5", "0.0.0.0", "[::]", "notlocalhost"],
)  # fmt: skip
def test_a_foreign_name_is_not_served(host: str) -> None:
    """A name that somebody pointed at this machine is 421, whatever it looks like, with a word on what to do."""
    asked = post(host=host)

    assert (asked.status, asked.error, asked.received) == (421, "unknown_host", None)
    assert "--allow-host" in asked.body.decode()
    assert asked.headers["cache-control"] == "no-store"
    assert (
        post(host=host, policy=AccessPolicy(hosts=frozenset({host.partition(":3000")[0].strip("[]")}))).status
        == 200
    )


@pytest.mark.parametrize(
    "host",
    [None, "", " ", "local host", "localhost:99999", "localhost:x", "user@localhost", "localhost/", "[::1", "loc\xe4lhost", "localhost, evil", "x" * 70_000],
)  # fmt: skip
def test_a_host_that_is_none(host: str | None) -> None:
    """A request without a proper Host is 400."""
    assert (post(host=host).status, post(host=host).error) == (400, "bad_request")


ONCE = {
    "Host": "localhost",
    "Origin": "http://localhost",
    "Authorization": "Bearer sesame",
    "Content-Type": "application/json",
    "Content-Length": "19",
}


@pytest.mark.parametrize("name", [None, *ONCE])
def test_two_of_what_there_is_one_of(name: str | None) -> None:
    """Two hosts, lengths or tokens are 400: a proxy and we might each believe another one."""
    again = [(name, ONCE[name])] if name else []
    asked = ask(*ONCE.items(), *again, host=None, policy=AccessPolicy(token=b"sesame"))

    assert asked.status == (400 if name else 200)
    assert (asked.received is None) == bool(name)


@pytest.mark.parametrize(
    ("host", "origin", "status"),
    [
        ("localhost:3000", "http://localhost:3000", 200),
        ("localhost:3000", "http://LOCALHOST:3000", 200),
        ("localhost", "http://localhost", 200),
        ("localhost:80", "http://localhost", 200),
        ("[::1]:3000", "http://[::1]:3000", 200),
        ("flue.example", "https://flue.example", 200),
        ("127.0.0.1:3000", "https://flue.example", 200),  # behind a proxy that rewrites Host
        ("10.0.0.1:3000", "http://10.0.0.1:3000", 200),
        ("10.0.0.1:3000", "http://10.0.0.1", 403),
        ("flue.example", "https://flue.example:8443", 403),
        ("localhost:3000", "http://localhost:8080", 403),
        ("localhost:3000", "http://127.0.0.1:3000", 403),
        ("localhost:3000", "https://evil.example", 403),
        ("localhost:3000", "http://localhost:3000.evil.example", 403),
        ("localhost:3000", "null", 403),
        ("localhost:3000", "", 403),
        ("localhost:3000", "file://localhost:3000", 403),
        ("localhost:3000", "http://localhost:3000/", 403),
        ("flue.example", "https://evil.flue.example", 403),
    ],
)
def test_pages_of_other_sites(host: str, origin: str, status: int) -> None:
    """A page may ask the server that it came from; pages of any other, another port's included, are 403."""
    policy = AccessPolicy(hosts=frozenset({"flue.example", "10.0.0.1"}), sites=frozenset({"flue.example"}))
    asked = post(("Origin", origin), host=host, policy=policy)

    assert asked.status == status
    assert (asked.received is None) == (status == 403)
    assert "access-control-allow-origin" not in asked.headers


def test_a_browser_says_where_a_request_comes_from() -> None:
    """A request that the browser calls cross-site is 403 even without an Origin; links within are fine."""
    found = {
        site: ask(("Sec-Fetch-Site", site), method="GET", pieces=(b"",)).status
        for site in ("cross-site", "same-origin", "same-site", "none")
    }
    assert found == {"cross-site": 403, "same-origin": 200, "same-site": 200, "none": 200}


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer ", "Bearer wrong", "Bearer sesame2", "Bearer sesam", "Basic sesame", "sesame", "Bearer sesame extra"],
)  # fmt: skip
def test_without_the_token(given: str | None) -> None:
    """Whoever has not got the token is told how to send it, and nothing of his request is read."""
    headers = [] if given is None else [("Authorization", given)]
    asked = post(*headers, policy=AccessPolicy(token=b"sesame"), pieces=(GONE,))

    assert (asked.status, asked.error, asked.received) == (401, "unauthorized", None)
    assert asked.headers["www-authenticate"] == 'Bearer realm="flue"'
    assert b"sesame" not in asked.body


def test_with_the_token() -> None:
    """The right token lets in, whatever the case of "Bearer"; asking for health needs none."""
    policy = AccessPolicy(token=b"sesame")

    assert post(("Authorization", "Bearer sesame"), policy=policy).status == 200
    assert post(("Authorization", "bearer  sesame"), policy=policy).status == 200
    assert ask(method="GET", path="/healthz", pieces=(b"",), policy=policy).status == 200
    for host in ("10.244.0.5:3000", "", None):  # probes name the machine's address, or nothing
        assert ask(method="GET", path="/healthz", pieces=(b"",), policy=policy, host=host).status == 200
    assert ask(method="GET", path="/healthz/", pieces=(b"",), policy=policy).status == 401
    assert ask(method="GET", path="/api/agents", pieces=(b"",), policy=policy).status == 401


@pytest.mark.parametrize(
    "kind",
    [None, "", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=x", "application/jsonp", "application/json; charset=latin-1", "text/plain; application/json"],
)  # fmt: skip
def test_a_body_that_is_not_json(kind: str | None) -> None:
    """What a form of another site can send is 415."""
    headers = [] if kind is None else [("Content-Type", kind)]
    asked = ask(*headers, ("Content-Length", "19"))

    assert (asked.status, asked.error, asked.received) == (415, "media_type", None)


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON", "application/json; charset=utf-8", 'application/json;charset="UTF-8"', "application/json; profile=x"])  # fmt: skip
def test_a_body_that_is_json(kind: str) -> None:
    """JSON is JSON however its type is written."""
    assert ask(("Content-Type", kind), ("Content-Length", "19")).status == 200


def test_a_body_that_is_announced_too_large() -> None:
    """It is 413 before a byte of it is asked for, and the connection is not used again."""
    limits = Limits(size=100)
    asked = ask(JSON, ("Content-Length", "101"), limits=limits, pieces=(GONE,))

    assert (asked.status, asked.error, asked.received) == (413, "too_large", None)
    assert asked.headers["connection"] == "close"
    assert ask(JSON, ("Content-Length", "100"), limits=limits, pieces=(b"x" * 100,)).status == 200


def test_a_body_that_grows_too_large() -> None:
    """One that is sent in pieces is 413 as soon as it is too much; what still comes is read away, unkept."""
    limits = Limits(size=100)
    asked = ask(JSON, ("Transfer-Encoding", "chunked"), limits=limits, pieces=(b"x" * 60,) * 10)

    assert (asked.status, asked.error, asked.received) == (413, "too_large", None)
    assert asked.reads == 10
    assert ask(JSON, ("Transfer-Encoding", "chunked"), limits=limits, pieces=(b"x" * 50,) * 2).status == 200


@pytest.mark.parametrize("length", ["-1", "1e3", "0x10", "", "\xb2", "9" * 19])
def test_a_length_that_is_none(length: str) -> None:
    """A Content-Length that is no number of bytes is 400."""
    assert ask(JSON, ("Content-Length", length)).status == 400


def test_a_body_that_comes_too_slowly() -> None:
    """A client that stops in the middle is 408 after the time for bodies, and nothing began for it."""
    limits = Limits(seconds=0.05)
    began = time.monotonic()
    asked = post(limits=limits, pieces=(b'{"prompt', FOREVER))

    assert (asked.status, asked.error, asked.received) == (408, "slow_request", None)
    assert time.monotonic() - began < 30
    assert asked.headers["connection"] == "close"


def test_a_client_that_goes_away() -> None:
    """Half a prompt is no request, whether its client is gone or its chunks do not add up."""
    asked = post(pieces=(b'{"prompt', GONE))

    assert (asked.status, asked.error, asked.received) == (400, "bad_request", None)


def test_websockets_are_not_served() -> None:
    """What is neither a request nor the server's own business ends at the guard."""
    sent: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message["type"])

    asyncio.run(AccessGuard(app)({"type": "websocket", "headers": []}, None, send))  # type: ignore[arg-type]
    assert sent == ["websocket.close"]


def test_every_request_is_written_down(tmp_path: Path) -> None:
    """A line each: what was asked, of whom, what came of it and how long it took; no token, query or words."""
    log = Log(str(tmp_path / "log" / "flue.jsonl"))
    post(
        ("Authorization", "Bearer sesame"),
        log=log,
        policy=AccessPolicy(token=b"sesame"),
        path="/api/agent/gr%0Aeeting",
    )
    post(log=log, host="evil.example")
    post(log=log, pieces=(GONE,))

    text = (tmp_path / "log" / "flue.jsonl").read_text()
    lines = [json.loads(line) for line in text.splitlines()]
    keys = ("event", "method", "path", "status", "agent", "session", "turn")
    assert [[line[key] for key in keys] for line in lines] == [
        ["request", "POST", "/api/agent/gr%0Aeeting", 200, "greeting", "alice", 7],
        ["request", "POST", "/api/agent/greeting", 421, None, None, None],
        ["request", "POST", "/api/agent/greeting", 400, None, None, None],
    ]
    assert all(0 <= line["milliseconds"] < 60000 for line in lines)
    assert not any(word in text for word in ("sesame", "secret", "hello", "Bearer"))
