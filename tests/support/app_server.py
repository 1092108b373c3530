"""An ASGI app on a real loopback port, in a thread of the test's process: behind Flue's server, or uvicorn."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import TYPE_CHECKING, Any

import uvicorn

from flue_cli.errors import TurnCancelled
from flue_cli.log import Log
from flue_cli.server.http_server import HEADER_SECONDS, Served, Shutdown, run
from flue_cli.server.sockets import look_up, reserve

if TYPE_CHECKING:
    from collections.abc import Iterator

PATIENCE = 30


class NoTurns:
    """The scheduler of an app that runs no turns."""

    running = 0

    async def drain(self, seconds: float) -> bool:
        return True

    def cancel_all(self) -> None:
        pass


@contextlib.contextmanager
def app_server(app: Any, *, header_seconds: float = HEADER_SECONDS) -> Iterator[int]:
    """The port at which Flue's server serves `app`, an AgentRouter's or any other, until the end."""
    reserved = reserve(look_up("127.0.0.1", 0))
    port = reserved[0].getsockname()[1]
    life = app.router.lifespan_context(app) if hasattr(app, "router") else contextlib.nullcontext()
    turns = getattr(getattr(app, "state", None), "turns", None) or NoTurns()
    shutdown, ready = Shutdown(), threading.Event()

    def serve() -> None:
        run(
            Served(app, life, turns), reserved, shutdown, log=Log(), listening=ready.set,
            draining=lambda count: None, grace=PATIENCE, header_seconds=header_seconds,
        )  # fmt: skip

    thread = threading.Thread(target=serve)
    thread.start()
    assert ready.wait(PATIENCE)
    try:
        yield port
    finally:
        shutdown.request(TurnCancelled("the test is over"))
        thread.join(PATIENCE)
    assert not thread.is_alive()


@contextlib.contextmanager
def uvicorn_server(app: Any) -> Iterator[int]:
    """The same behind another server, as a program of one's own may have it."""
    listening = socket.create_server(("127.0.0.1", 0), backlog=512)
    config = uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=10)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listening],))
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join(PATIENCE)
        listening.close()
    assert not thread.is_alive()
