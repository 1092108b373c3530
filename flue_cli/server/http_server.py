"""The HTTP server process: Granian, embedded in one event loop, and a shutdown that loses nothing.

The first signal stops new requests and lets running turns finish, for a while; then they are
cancelled. The second ends the process where it stands, which the store survives.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, NamedTuple, Protocol

import uvloop
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.server.embed import Server

from flue_cli.errors import TurnCancelled, UsageError
from flue_cli.log import Log, stack_frames
from flue_cli.server.sockets import connection_limit

HEADER_SECONDS = 10.0
HEADER_BYTES = 64 * 1024
_SETTLE_SECONDS = 5.0
"""Seconds for cancelled turns, and then for the last answers, to end."""
_LEAVE_SECONDS = 1.0
"""Seconds for cancelled requests to end; the process does not wait for them any longer."""
_START_ATTEMPTS = 500
_BACKLOG = 1024


class Shutdown:
    """The reaction of the server to signals, as `Signals.cancelling` wants it."""

    def __init__(self) -> None:
        self.signum = 0
        self.wake: Callable[[], object] | None = None

    def request(self, why: TurnCancelled) -> None:
        """End in good order at the first signal, at once at the second; called from a signal handler."""
        if self.signum:
            # By the signal itself: nothing that still runs here could hold it up.
            signal.signal(why.signum, signal.SIG_DFL)
            os.kill(os.getpid(), why.signum)
        self.signum = why.signum
        if self.wake:
            self.wake()


class Turns(Protocol):
    """The turns to drain when the server stops, as TurnScheduler has them."""

    @property
    def running(self) -> int: ...

    async def drain(self, seconds: float) -> bool: ...

    def cancel_all(self) -> None: ...


class Served(NamedTuple):
    """An app to serve: `life` surrounds its requests, `turns` are those to drain at the end."""

    app: Callable[..., Coroutine[Any, Any, None]]
    life: AbstractAsyncContextManager[object]
    turns: Turns


def run(
    served: Served,
    reserved: list[socket.socket],
    shutdown: Shutdown,
    *,
    log: Log,
    listening: Callable[[], None],
    draining: Callable[[int], None],
    grace: float,
    header_seconds: float = HEADER_SECONDS,
) -> None:
    """Serve on the addresses of `reserved` until `shutdown`; running turns then have `grace` seconds.

    `listening` is called once connections are accepted, `draining` with the number of running turns when
    the end begins. Raises UsageError if the server cannot listen.
    """

    async def serve() -> None:
        loop, stop = asyncio.get_running_loop(), asyncio.Event()
        shutdown.wake = lambda: loop.call_soon_threadsafe(stop.set)
        if shutdown.signum:
            return
        servers = [_server(served.app, place, len(reserved), header_seconds) for place in reserved]
        _log_instead_of_printing(log)
        async with served.life:
            tasks = [asyncio.create_task(server.serve()) for server in servers]
            await _started(tasks, reserved)
            listening()
            stopped = asyncio.create_task(stop.wait())
            await asyncio.wait({stopped, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            stopped.cancel()
            for server in servers:
                server.stop()  # type: ignore[no-untyped-call] # the library types only part of itself
            await _drain(served.turns, grace, draining)
            await _end(tasks)

    loop = uvloop.new_event_loop()
    try:
        loop.run_until_complete(serve())
    finally:
        loop.run_until_complete(_cancel_leftover_tasks())
        loop.close()


def _server(app: Any, place: socket.socket, count: int, header_seconds: float) -> Server:
    host, port = place.getsockname()[:2]
    return Server(
        app,
        host,
        port,
        interface=Interfaces.ASGINL,  # the app's life is ours: there may be several servers for one app
        http=HTTPModes.http1,
        http1_settings=HTTP1Settings(
            header_read_timeout=int(header_seconds * 1000), max_buffer_size=HEADER_BYTES
        ),
        websockets=False,
        backlog=_BACKLOG,
        backpressure=max(1, connection_limit() // count),
        log_access=False,
    )


async def _started(tasks: list[asyncio.Task[None]], reserved: list[socket.socket]) -> None:
    """Wait until every server listens; then let go of the reservations. Raises UsageError if one does not."""
    await asyncio.sleep(0)  # a server listens in the first step of its task
    await asyncio.sleep(0)
    names = [place.getsockname()[:2] for place in reserved]
    for place in reserved:
        place.close()
    try:
        for task, (host, port) in zip(tasks, names, strict=True):
            for _ in range(_START_ATTEMPTS):
                if task.done() or await _accepts(host, port):
                    break
                await asyncio.sleep(0.01)
            if task.done():
                await task
                raise UsageError(f"the server on port {port} ended at once")
    except RuntimeError as error:  # the library's words for an address that it cannot have
        words = str(error).partition("\n")[0]
        raise UsageError(f"the server cannot listen: {words}") from error


async def _accepts(host: str, port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection(host, port)
    except OSError:
        return False
    writer.close()
    return True


async def _drain(turns: Turns, grace: float, draining: Callable[[int], None]) -> None:
    if turns.running:
        draining(turns.running)
    if not await turns.drain(grace):
        turns.cancel_all()
        await turns.drain(_SETTLE_SECONDS)


async def _end(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for the last answers to be sent, within a limit: a client may not read its own."""
    await asyncio.wait(tasks, timeout=_SETTLE_SECONDS)
    for task in tasks:
        task.cancel()
    ended, _ = await asyncio.wait(tasks, timeout=_LEAVE_SECONDS)
    for task in ended:
        if not task.cancelled():
            task.result()


async def _cancel_leftover_tasks() -> None:
    """Cancel the requests that are left, and wait for them within a limit.

    `asyncio.run` would wait without one, and a request may miss its cancellation, for instance while it
    awaits a future of the HTTP library. Turns and store are settled before this.
    """
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=_LEAVE_SECONDS)


def _log_instead_of_printing(log: Log) -> None:
    """Send the messages of Granian and asyncio to the log, without words that repeat a request's."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            error = record.exc_info[1] if record.exc_info else None
            seen = {"type": type(error).__name__, "frames": stack_frames(error)} if error else {}
            log.write(
                "server",
                level=record.levelname,
                where=record.name,
                message=str(record.msg).partition("\n")[0],
                **seen,
            )

    # Granian's warnings are about its settings, at every start.
    for name, level in (("_granian", logging.ERROR), ("asyncio", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.handlers = [Handler(level)]
        logger.propagate = False
        logger.setLevel(level)
