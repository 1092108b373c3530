"""The server as a process: uvicorn with our connections, and an end that loses nothing.

The first signal stops new requests and lets running turns finish, for a while; then they are
cancelled. The second ends the process where it stands, which the store survives.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import uvicorn

from flue_cli.errors import TurnCancelled
from flue_cli.log import Log, stack_frames
from flue_cli.server.connection import Bounds, connections_within, room_for_connections

if TYPE_CHECKING:
    from flue_cli.server.turns import Turns

_SETTLE_SECONDS = 5.0
"""How long cancelled turns, and the answers of all, may take to end."""


class Stopping:
    """What signals do to the server, as `Signals.cancelling` wants it."""

    def __init__(self) -> None:
        self.signum = 0
        self.server: uvicorn.Server | None = None

    def request(self, why: TurnCancelled) -> None:
        """End in good order at the first signal, at once at the second; called from a signal handler."""
        if self.signum:
            # By the signal itself: nothing that still runs here could hold it up.
            signal.signal(why.signum, signal.SIG_DFL)
            os.kill(os.getpid(), why.signum)
        self.signum = why.signum
        if self.server:
            self.server.should_exit = True


def run(
    app: Any,
    turns: Turns,
    sockets: list[socket.socket],
    stopping: Stopping,
    *,
    log: Log,
    listening: Callable[[], None],
    draining: Callable[[int], None],
    grace: float,
    bounds: Bounds | None = None,
) -> None:
    """Serve until `stopping` is asked to; running turns then have `grace` seconds.

    `listening` is called once connections are accepted, `draining` with how many turns still run when
    the end begins.
    """
    bounds = bounds or Bounds(connections=room_for_connections())
    _log_instead_of_printing(log)
    config = uvicorn.Config(
        app,
        http=connections_within(bounds),
        ws="none",
        lifespan="auto",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # nobody is trusted for who he says he is, and nothing is decided by it
        server_header=False,
        timeout_graceful_shutdown=int(grace + _SETTLE_SECONDS) + 1,
    )
    server = _Server(config, turns, listening, draining, grace)
    stopping.server = server
    if not stopping.signum:
        server.run(sockets)


class _Server(uvicorn.Server):
    def __init__(
        self,
        config: uvicorn.Config,
        turns: Turns,
        listening: Callable[[], None],
        draining: Callable[[int], None],
        grace: float,
    ) -> None:
        super().__init__(config)
        self._turns = turns
        self._listening = listening
        self._draining = draining
        self._grace = grace

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Signals are the command's, which passes them on."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        try:
            await super().startup(sockets)
        except SystemExit as error:  # uvicorn's way of saying that the app did not start; the log knows why
            raise RuntimeError("the app did not start") from error
        self._listening()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        if self._turns.running:
            self._draining(self._turns.running)
        ending = asyncio.create_task(self._end_turns())
        await super().shutdown(sockets)
        await ending

    async def _end_turns(self) -> None:
        if not await self._turns.drain(self._grace):
            self._turns.cancel_all()
            await self._turns.drain(_SETTLE_SECONDS)


def _log_instead_of_printing(log: Log) -> None:
    """What uvicorn and asyncio have to say goes into the log, without words that repeat a request's."""

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

    for name in ("uvicorn", "uvicorn.error", "asyncio"):
        logger = logging.getLogger(name)
        logger.handlers = [Handler(logging.WARNING)]
        logger.propagate = False
        logger.setLevel(logging.WARNING)
