"""A server that speaks as OpenAI-compatible ones do, and misbehaves as they do."""

from __future__ import annotations

import json
import socket
import struct
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

STREAM = "text/event-stream"


class Answer(NamedTuple):
    """An answer of the server, sent in `pieces`; then the connection ends as `end` says.

    `end` is "close", "reset", or "stall": nothing comes for two seconds.
    """

    pieces: Iterable[bytes]
    status: int = 200
    content_type: str = STREAM
    end: str = "close"
    headers: Mapping[str, str] = {}


def event(**fields: Any) -> bytes:
    """Write an event of a stream."""
    return f"data: {json.dumps(fields)}\n\n".encode()


def text_event(text: str) -> bytes:
    """Write the event of a piece of text."""
    return event(choices=[{"index": 0, "delta": {"content": text}, "finish_reason": None}])


def end_event(reason: str) -> bytes:
    """Write the event of the end of the text."""
    return event(choices=[{"index": 0, "delta": {}, "finish_reason": reason}])


USAGE = event(choices=[], usage={"prompt_tokens": 3, "total_tokens": 7})
DONE = b"data: [DONE]\n\n"
WHOLE = Answer([text_event("Hello, "), text_event("wörld"), end_event("stop"), USAGE, DONE])


class Request(NamedTuple):
    """A request that the server got."""

    path: str
    body: dict[str, Any]
    authorization: str | None


class ModelServer:
    """A running server at `address`; it gives the same `answer` to every request, and notes `requests`."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.answer = WHOLE
        self.requests: list[Request] = []

    @property
    def env(self) -> dict[str, str]:
        """The variables that a user of this server sets."""
        return {"OPENAI_BASE_URL": self.address, "OPENAI_API_KEY": "sk-secret", "OPENAI_MODEL": "tiny"}


@contextmanager
def running_model() -> Iterator[ModelServer]:
    """Run a server until the end of the block."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            model.requests.append(Request(self.path, body, self.headers["Authorization"]))
            self.send_response(model.answer.status)
            self.send_header("Content-Type", model.answer.content_type)
            for name, value in model.answer.headers.items():
                self.send_header(name, value)
            self.end_headers()
            for piece in model.answer.pieces:
                self.wfile.write(piece)
                self.wfile.flush()
                time.sleep(0.005)  # so that each piece arrives by itself
            if model.answer.end == "reset":
                self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                self.connection.close()
            elif model.answer.end == "stall":
                stopped.wait(2)

        def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name there
            """Say nothing."""

    stopped = threading.Event()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    model = ModelServer(f"http://127.0.0.1:{server.server_port}/v1")
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield model
    finally:
        stopped.set()
        server.shutdown()
        thread.join()
        server.server_close()
