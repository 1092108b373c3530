"""Slow, endless and broken requests, through a real socket: what they get, and what others feel of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from support.app_server import app_server

from flue_cli.server.access_guard import AccessGuard
from flue_cli.server.request_body import Limits, RequestLimits

if TYPE_CHECKING:
    from collections.abc import Iterator

GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"


class Server:
    """An app that answers with the path, the body's length and the names of the headers."""

    port = 0

    def __init__(self) -> None:
        self.answering = threading.Event()
        self.finish = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/long":
            self.answering.set()
            await asyncio.to_thread(self.finish.wait, 30)
        message = await receive()
        names = [name.decode() for name, _ in scope["headers"]]
        body = json.dumps({"path": scope["path"], "size": len(message["body"]), "names": names}).encode()
        headers = [(b"content-length", str(len(body)).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)


@contextmanager
def serving(limits: Limits | None = None, *, header_seconds: float = 60) -> Iterator[Server]:
    """A server with these limits, in a thread, until the end of the block."""
    server = Server()
    app = AccessGuard(RequestLimits(server.__call__, limits))
    with app_server(app, header_seconds=header_seconds) as server.port:
        try:
            yield server
        finally:
            server.finish.set()


def read_all(connection: socket.socket) -> bytes:
    """What comes until the other side hangs up."""
    pieces = []
    with contextlib.suppress(ConnectionResetError):  # it hung up with our bytes unread
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


# Headers


def test_headers_that_come_too_slowly() -> None:
    """A client that sends a header line now and then is hung up after the time for headers."""
    with serving(header_seconds=0.5) as server, server.connect() as slow:
        began = time.monotonic()
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        slow.settimeout(0.1)
        for _ in range(200):
            try:
                assert slow.recv(100) == b""
                break
            except TimeoutError:
                with contextlib.suppress(OSError):
                    slow.sendall(b"X-A: b\r\n")
            except ConnectionResetError:
                break
        assert 0.4 < time.monotonic() - began < 15


@pytest.mark.parametrize("sent", [b"", GET, GET + b"GET / HT"])
def test_a_connection_that_says_nothing_more(sent: bytes) -> None:
    """It is hung up after the time for headers, also when a request came before."""
    with serving(header_seconds=0.3) as server, server.connect() as silent:
        silent.sendall(sent)
        assert read_all(silent).count(b"HTTP/1.1 200 OK") == (1 if sent else 0)


def test_a_long_answer_is_not_cut() -> None:
    """The time for headers is over once they came: an agent may think as long as it likes."""
    with serving(header_seconds=0.2) as server, server.connect() as patient:
        patient.sendall(GET.replace(b"/ ", b"/long ", 1))
        assert server.answering.wait(30)
        patient.settimeout(0.6)
        with pytest.raises(TimeoutError):
            patient.recv(1)
        patient.settimeout(30)
        server.finish.set()
        assert answer(patient)[0] == 200


def test_endless_headers() -> None:
    """Headers without end are cut off, and cost no memory without end."""
    with serving() as server, server.connect() as endless:
        endless.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-A: ")
        with contextlib.suppress(OSError):
            for _ in range(1000):
                endless.sendall(b"x" * 10_000)
            raise AssertionError("it took 10 MB")
        assert b" 200 " not in read_all(endless)


# What is no request


@pytest.mark.parametrize(
    "sent",
    [b"hello\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\r\n\r\n", b"GET /\xff HTTP/1.1\r\nHost: localhost\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\nA: b\x00c\r\n\r\n", b"GET / HTTP/1.1\nHost localhost\n\n", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}", b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n{}"],
    ids=["words", "tls", "bytes", "nul", "no colon", "two lengths", "a negative length"],
)  # fmt: skip
def test_what_is_no_request(sent: bytes) -> None:
    """Anything else than HTTP is 400, and the connection ends."""
    with serving() as server, server.connect() as broken:
        broken.sendall(sent + GET)
        said = read_all(broken)
        assert said.startswith(b"HTTP/1.1 400 ")
        assert said.count(b"HTTP/1.1") == 1


def test_two_ways_to_say_how_long_it_is() -> None:
    """What could be smuggled behind a request with a length and chunks is not taken for another request."""
    head = POST + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    with serving() as server, server.connect() as broken:
        broken.sendall(head + GET.replace(b"/ ", b"/smuggled ", 1))
        assert b"/smuggled" not in read_all(broken)


def test_a_tunnel_is_refused() -> None:
    """CONNECT is no request for us, whatever follows it."""
    with serving() as server, server.connect() as connection:
        connection.sendall(b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n" + GET)
        assert b" 200 " not in read_all(connection)


def test_rubbish_after_a_request_costs_it_nothing() -> None:
    """A request is answered, and then the connection ends, when what follows it is none."""
    with serving() as server, server.connect() as connection:
        connection.sendall(GET + b"\x16\x03\x01\r\n\r\n")
        said = read_all(connection)
    assert said.startswith(b"HTTP/1.1 200 ")
    assert said.count(b" 200 OK") == 1


# Bodies


@pytest.mark.parametrize("protocol", ["h2c", "websocket", "TLS/1.3"])
def test_a_body_after_an_offer_of_another_protocol(protocol: str) -> None:
    """Clients that offer HTTP/2 beside their prompt, as Java's do, get it answered, and the next one too."""
    head = POST + f"Upgrade: {protocol}\r\nConnection: keep-alive, Upgrade\r\n".encode()
    with serving() as server, server.connect() as connection:
        for cut in (None, 40, -3):  # in one piece, within the head, within the body
            request = head + b"Content-Length: 2\r\n\r\n{}"
            connection.sendall(request[:cut])
            if cut is not None:
                connection.sendall(request[cut:])
            assert answer(connection)[1]["size"] == 2
        connection.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        assert answer(connection)[1]["size"] == 2


def test_headers_after_a_body_are_not_believed() -> None:
    """Trailers of a chunked body add no header to the request."""
    with serving() as server, server.connect() as late:
        late.sendall(
            POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\nAuthorization: Bearer x\r\n\r\n"
        )
        status, said = answer(late)
        assert (status, said["size"]) == (200, 2)
        assert "authorization" not in said["names"]


@pytest.mark.parametrize(
    "body",
    [
        b"-5\r\n{}\r\n0\r\n\r\n",
        b"0x2\r\n{}\r\n0\r\n\r\n",
        b"1\r\n{}\r\n0\r\n\r\n",
        b"2;\n\r\n{}\r\n0\r\n\r\n",
    ],
)
def test_chunks_that_lie(body: bytes) -> None:
    """A body whose chunks do not add up is said to be no request; nothing of it is taken for another."""
    with serving() as server, server.connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n" + body + GET)
        assert error_of(read_all(connection)) == (400, "bad_request")


@pytest.mark.parametrize("coding", [b"gzip, chunked", b"identity, chunked"])
def test_a_body_that_is_coded_twice(coding: bytes) -> None:
    """What only something between could mean otherwise than we do is refused."""
    with serving() as server, server.connect() as connection:
        connection.sendall(POST + b"Transfer-Encoding: " + coding + b"\r\n\r\n2\r\n{}\r\n0\r\n\r\n")
        assert error_of(read_all(connection)) == (400, "bad_request")


def test_a_compressed_body() -> None:
    """It is refused as what it is, and not as bad JSON."""
    with serving() as server, server.connect() as connection:
        connection.sendall(POST + b"Content-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}")
        assert error_of(read_all(connection)) == (415, "media_type")


def test_a_large_body_that_is_sent_all_the_same() -> None:
    """A client that sends first and reads then still gets to read why it was refused."""
    with serving(Limits(size=1000)) as server, server.connect() as blunt:
        blunt.sendall(POST + b"Content-Length: 3000000\r\n\r\n" + b"x" * 3_000_000)
        assert error_of(read_all(blunt)) == (413, "too_large")


def test_slow_bodies_keep_nobody_out() -> None:
    """Clients that send their bodies byte by byte are 408; others are served meanwhile."""
    with serving(Limits(seconds=1)) as server, server.connect() as slow, server.connect() as other:
        slow.sendall(POST + b"Content-Length: 100\r\n\r\n{")
        other.sendall(GET)
        assert answer(other)[0] == 200
        assert error_of(read_all(slow)) == (408, "slow_request")
