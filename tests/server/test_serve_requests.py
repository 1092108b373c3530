"""Requests to `flue serve` through a real socket: large ones, many on one connection, and hang-ups."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from support.app_server import app_server
from support.flue_serve import PATIENCE, Served

if TYPE_CHECKING:
    from conftest import Flue

KIB, MIB = 2**10, 2**20
SIZES = "def agent(prompt, session, context):\n    return str(len(prompt))\n"
PATIENT = """
import time
def agent(prompt, session, context):
    print("asleep", flush=True)
    while True:
        time.sleep(0.01)
"""
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def served(flue: Flue) -> Served:
    flue.agent("sizes", SIZES)
    flue.agent("patient", PATIENT)
    return Served(flue)


def body_of(size: int, session: str) -> tuple[bytes, int]:
    """A request's body of so many bytes, and the length of the prompt in it."""
    empty = len(json.dumps({"prompt": "", "sessionId": session}))
    return json.dumps({"prompt": "x" * (size - empty), "sessionId": session}).encode(), size - empty


def connect(served: Served) -> http.client.HTTPConnection:
    return http.client.HTTPConnection(served.host, served.port, timeout=PATIENCE)


def raw_post(body: bytes, agent: str = "sizes") -> bytes:
    head = f"POST /api/agent/{agent} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    return f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


@pytest.mark.parametrize("is_chunked", [False, True], ids=["length", "chunked"])
def test_bodies_of_every_size(served: Served, is_chunked: bool) -> None:
    """Each is answered, one after the other on the same connection, sent in one piece or in chunks."""
    connection = connect(served)
    first = None
    for size in (1000, 64 * KIB - 1, 64 * KIB, 64 * KIB + 1, 100_000, 1_000_000, 4 * MIB):
        body, length = body_of(size, f"session-{size}")

        def pieces(body: bytes = body) -> Iterator[bytes]:
            yield from (body[start : start + 7001] for start in range(0, len(body), 7001))

        connection.request("POST", "/api/agent/sizes", pieces() if is_chunked else body, JSON)
        first = first or connection.sock
        response = connection.getresponse()
        assert (size, response.status, response.read()) == (size, 200, str(length).encode())
        assert connection.sock is first
    connection.close()


def test_the_largest_prompt(served: Served) -> None:
    """A prompt of 16 MiB is answered; one byte more is 413."""
    assert served.prompt("sizes", "a", "x" * 16 * MIB)[:2] == (200, str(16 * MIB))
    one_more = served.prompt("sizes", "a", "x" * (16 * MIB + 1))
    assert (one_more.status, one_more.error) == (413, "too_large")
    assert served.prompt("sizes", "a", "x").text == "1"


def test_a_large_body_that_is_refused_before_it_is_sent(served: Served) -> None:
    """A client that asks first (curl does) is told 413 instead of to continue."""
    with socket.create_connection((served.host, served.port), timeout=PATIENCE) as polite:
        head = raw_post(b"").replace(
            b"Content-Length: 0", b"Content-Length: 50000000\r\nExpect: 100-continue"
        )
        polite.sendall(head)
        assert polite.recv(1000).startswith(b"HTTP/1.1 413 ")


def test_requests_sent_ahead(served: Served) -> None:
    """Several requests in one piece are answered in their order, whatever their size."""
    sizes = (100, 100_000, 64 * KIB, 200, 300_000)
    bodies = [body_of(size, f"session-{number}") for number, size in enumerate(sizes)]
    with socket.create_connection((served.host, served.port), timeout=PATIENCE) as hurried:
        hurried.sendall(b"".join(raw_post(body) for body, _ in bodies))
        reader = hurried.makefile("rb")
        for _, length in bodies:
            assert reader.readline() == b"HTTP/1.1 200 OK\r\n"
            said = dict(line.lower().rstrip().split(b": ", 1) for line in iter(reader.readline, b"\r\n"))
            assert reader.read(int(said[b"content-length"])) == str(length).encode()


def test_a_body_that_comes_in_small_pieces(served: Served) -> None:
    """A body that comes in small pieces, with pauses, is answered like any other."""
    body, length = body_of(70_000, "slow")
    with socket.create_connection((served.host, served.port), timeout=PATIENCE) as slow:
        request = raw_post(body)
        for start in range(0, len(request), 5000):
            slow.sendall(request[start : start + 5000])
            time.sleep(0.02)
        assert slow.recv(5000).endswith(str(length).encode())


@pytest.mark.parametrize("accept", ["text/plain", "application/json", "text/event-stream"])
@pytest.mark.parametrize("size", [10, 100_000])
def test_a_client_that_hangs_up(served: Served, flue: Flue, accept: str, size: int) -> None:
    """Its turn is cancelled, whatever form of answer it waits for, and however large its prompt."""
    connection = connect(served)
    body = json.dumps({"prompt": "x" * size, "sessionId": "a"})
    connection.request("POST", "/api/agent/patient", body, JSON | {"Accept": accept})
    assert served.line() == "asleep\n"
    connection.close()
    deadline = time.monotonic() + PATIENCE
    while '"cancelled"' not in served.ask("/api/agent/patient/sessions/a").text:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    served.stop()
    turns = json.loads(flue("sessions", "export", "a", stdin=None).out)["turns"]
    assert [turn["outcome"] for turn in turns] == ["cancelled"]


def test_a_client_that_does_not_read(served: Served, flue: Flue) -> None:
    """Its answer holds up nobody else's, and not the end of the server."""
    flue.agent("large", "def agent(p, s, c):\n    return 'x' * 15_000_000\n")
    deaf = [socket.create_connection((served.host, served.port), timeout=PATIENCE) for _ in range(3)]
    for number, connection in enumerate(deaf):
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        body = json.dumps({"prompt": "x", "sessionId": f"deaf-{number}"}).encode()
        accept = b"Accept: text/event-stream\r\nHost:" if number else b"Host:"
        connection.sendall(raw_post(body, "large").replace(b"Host:", accept, 1))
        assert connection.recv(10) == b"HTTP/1.1 2"
    assert served.prompt("sizes", "a", "xyz").text == "3"
    began = time.monotonic()
    assert served.stop() == -signal.SIGTERM
    assert time.monotonic() - began < 15
    for connection in deaf:
        connection.close()


def test_a_request_that_cannot_be_cancelled() -> None:
    """The server ends within seconds although one of its requests never does."""
    asked = threading.Event()

    async def stubborn(scope: object, receive: object, send: object) -> None:
        asked.set()
        while True:
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.Event().wait()

    with app_server(stubborn) as port, socket.create_connection(("127.0.0.1", port)) as client:
        client.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert asked.wait(PATIENCE)
        began = time.monotonic()
    assert time.monotonic() - began < 15


def test_a_port_that_another_server_is_about_to_take(flue: Flue) -> None:
    """Of servers that start at the same moment on one port, one serves; the others end with a conflict (4)."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    started = [flue.start("serve", "--port", str(port)) for _ in range(3)]
    lines = sorted(process.stderr.readline().decode() for process in started)
    assert [line.partition(str(port))[0] for line in lines] == [
        "error: port ", "error: port ", "listening on http://127.0.0.1:",
    ]  # fmt: skip
