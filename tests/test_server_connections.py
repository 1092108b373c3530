"""Slow, endless and broken requests, through a real socket: what they get, and what others feel of them."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
import uvicorn
from flue_cli.server.connection import Bounds, connections_within

from flue_cli.server.access_guard import Guard, Policy
from flue_cli.server.request_body import Limits

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENT = Bounds(header_seconds=60)
GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class Server:
    """A server that answers with the path, the body's length and what it heard in headers."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.answering = threading.Event()
        self.finish = threading.Event()
        self.gone = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/large":
            await self._large(receive, send)
            return
        if scope["path"] == "/wait":
            while (await receive())["type"] != "http.disconnect":
                self.answering.set()
            self.gone.set()
            return
        if scope["path"] == "/long":
            self.answering.set()
            await asyncio.to_thread(self.finish.wait, 30)
        message = await receive()
        names = [name.decode() for name, _ in scope["headers"]]
        body = json.dumps({"path": scope["path"], "size": len(message["body"]), "names": names}).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _large(self, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "http.response.start", "status": 200, "headers": []})

        async def pour() -> None:
            for _ in range(1000):
                await send({"type": "http.response.body", "body": b"x" * 100_000, "more_body": True})

        pouring = asyncio.create_task(pour())
        while (await receive())["type"] != "http.disconnect":
            pass
        pouring.cancel()
        self.gone.set()

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


@contextmanager
def serving(bounds: Bounds, policy: Policy | None = None) -> Iterator[Server]:
    """A server with these bounds, in a thread, until the end of the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    served = Server(listener.getsockname()[1])

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await served(scope, receive, send)

    config = uvicorn.Config(
        Guard(app, policy), http=connections_within(bounds), lifespan="off", log_config=None,
        timeout_graceful_shutdown=1,
    )  # fmt: skip
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    try:
        yield served
    finally:
        served.finish.set()
        server.should_exit = True
        thread.join(30)
        listener.close()


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side hangs up."""
    pieces = []
    while piece := connection.recv(65536):
        pieces.append(piece)
    return b"".join(pieces)


def answer(connection: socket.socket) -> tuple[int, Any]:
    """Status and JSON of the next answer."""
    reader = connection.makefile("rb")
    status = int(reader.readline().split()[1])
    size = 0
    while line := reader.readline().strip():
        if line.lower().startswith(b"content-length:"):
            size = int(line.partition(b":")[2])
    return status, json.loads(reader.read(size))


def error_of(said: bytes) -> tuple[int, str]:
    """Status and error type of a whole answer."""
    head, _, body = said.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["type"]


def test_headers_that_come_too_slowly() -> None:
    """A client that sends a header line now and then is 408 after the time for headers, not after the last."""
    with serving(Bounds(header_seconds=0.5)) as server, server.connect() as slow:
        began = time.monotonic()
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        slow.settimeout(0.1)
        said = b""
        while not said:
            try:
                said = read_all(slow)
            except TimeoutError:
                slow.sendall(b"X-A: b\r\n")
        assert error_of(said) == (408, "slow_request")
        assert 0.4 < time.monotonic() - began < 20


def test_a_connection_that_says_nothing() -> None:
    """It is hung up without a word, as one that a browser opened in advance expects."""
    with serving(Bounds(header_seconds=0.2)) as server, server.connect() as silent:
        assert read_all(silent) == b""


def test_the_second_request_is_bounded_too() -> None:
    """A byte or an empty line after the first answer does not buy a connection for ever."""
    with serving(Bounds(header_seconds=0.3)) as server, server.connect() as kept:
        kept.sendall(GET)
        assert answer(kept)[0] == 200
        kept.sendall(b"\r\n")
        assert error_of(read_all(kept)) == (408, "slow_request")


def test_a_long_answer_is_not_cut() -> None:
    """The time for headers is over once they came: an agent may think as long as it likes."""
    with serving(Bounds(header_seconds=0.2)) as server, server.connect() as patient:
        patient.sendall(GET.replace(b"/ ", b"/long ", 1))
        assert server.answering.wait(30)
        patient.sendall(b"GET /next HT")  # the beginning of another, sent ahead
        patient.settimeout(0.6)
        with pytest.raises(TimeoutError):
            patient.recv(1)
        patient.settimeout(30)
        server.finish.set()
        assert answer(patient) == (200, {"path": "/long", "size": 0, "names": ["host"]})


def test_requests_sent_ahead_are_answered_in_turn() -> None:
    """Two requests in one piece get two answers."""
    with serving(PATIENT) as server, server.connect() as hurried:
        hurried.sendall(GET + GET.replace(b"/ ", b"/two ", 1) + b"GET /three")
        reader = hurried.makefile("rb")
        said = b""
        while said.count(b"}") < 2:
            said += reader.read(1)
        assert [part in said for part in (b'"/"', b'"/two"', b"three")] == [True, True, False]


def test_a_client_that_goes_away_with_another_request_sent() -> None:
    """The request that is being answered is given up, not only the one that was sent ahead."""
    with serving(PATIENT) as server:
        with server.connect() as hurried:
            hurried.sendall(GET.replace(b"/ ", b"/wait ", 1) + GET)
            assert server.answering.wait(30)
        assert server.gone.wait(30)


def test_endless_headers() -> None:
    """Headers without end are 431 and take no more memory than the bound."""
    with serving(PATIENT._replace(header_bytes=10_000)) as server, server.connect() as endless:
        endless.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ")
        said = b""
        for _ in range(100):
            try:
                endless.sendall(b"x" * 1000)
            except OSError:
                break
        try:
            said = read_all(endless)
        except ConnectionResetError:  # it hung up with our bytes unread
            return
        assert error_of(said) == (431, "too_large")


@pytest.mark.parametrize(
    "sent",
    [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01", b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\x00c\r\n\r\n", b"GET / HTTP/1.1\nHost localhost\n\n"],
    ids=["words", "tls", "smuggled", "bytes", "nul", "no colon"],
)  # fmt: skip
def test_what_is_no_request(sent: bytes) -> None:
    """Anything else than HTTP is 400 in the same form as every error."""
    with serving(PATIENT) as server, server.connect() as broken:
        broken.sendall(sent)
        said = read_all(broken)
        assert error_of(said) == (400, "bad_request")
        assert b"cache-control: no-store" in said


def test_headers_after_a_body_are_not_believed() -> None:
    """Trailers of a chunked body add no header to the request."""
    with serving(PATIENT) as server, server.connect() as late:
        late.sendall(
            POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
        )
        status, said = answer(late)
        assert (status, said["size"]) == (200, 2)
        assert said["names"] == ["host", "content-type", "transfer-encoding"]


def test_a_large_body_is_refused_before_it_is_sent() -> None:
    """A client that asks first (curl does) is told 413 instead of to continue."""
    with serving(PATIENT, Policy(limits=Limits(size=1000))) as server, server.connect() as polite:
        polite.sendall(POST + b"Content-Length: 5000\r\nExpect: 100-continue\r\n\r\n")
        assert answer(polite)[0] == 413


def test_a_large_body_that_is_sent_all_the_same() -> None:
    """A client that sends first and reads then still gets to read why it was refused."""
    with serving(PATIENT, Policy(limits=Limits(size=1000))) as server, server.connect() as blunt:
        blunt.sendall(POST + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
        assert error_of(read_all(blunt)) == (413, "too_large")


def test_slow_bodies_keep_nobody_out() -> None:
    """Clients that send their bodies byte by byte are 408; others are served meanwhile."""
    policy = Policy(limits=Limits(seconds=1))
    with serving(PATIENT, policy) as server, server.connect() as slow, server.connect() as other:
        slow.sendall(POST + b"Content-Length: 100\r\n\r\n{")
        other.sendall(GET)
        assert answer(other)[0] == 200
        assert error_of(read_all(slow)) == (408, "slow_request")


def test_when_all_places_are_taken_by_idlers() -> None:
    """A new client is let in, and who has waited longest without a request goes; one being answered stays."""
    with serving(PATIENT._replace(connections=10)) as server, server.connect() as answered:
        answered.sendall(GET.replace(b"/ ", b"/long ", 1))
        assert server.answering.wait(30)
        idlers = [server.connect() for _ in range(30)]
        for idler in idlers[-5:]:
            idler.sendall(b"GET / HTTP/1.1\r\nHost: lo")
        with server.connect() as new:
            new.sendall(GET)
            assert answer(new)[0] == 200
        server.finish.set()
        assert answer(answered)[0] == 200
        lost = 0
        for idler in idlers:
            idler.settimeout(0.05)
            try:
                lost += idler.recv(1) == b""
            except ConnectionResetError:
                lost += 1
            except TimeoutError:
                pass
            idler.close()
        assert lost == 22  # one place was the answered one's, one the new one's


def test_a_client_that_does_not_read() -> None:
    """An answer that nobody takes is given up after a while, and the app hears that the client is gone."""
    with serving(PATIENT._replace(unread_seconds=0.3)) as server, server.connect() as deaf:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.sendall(GET.replace(b"/ ", b"/large ", 1))
        assert server.gone.wait(30)
