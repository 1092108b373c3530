"""Server-Sent Events: a response that lasts, to a client that may go away.

See https://html.spec.whatwg.org/multipage/server-sent-events.html.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from flue_cli.render import machine_output
from flue_cli.server.http_refusal import Receive, Send

if TYPE_CHECKING:
    from starlette.types import Scope

HEARTBEAT_SECONDS = 15.0
"""Longest silence of a stream: a proxy may cut a connection that seems dead."""

_UNWATCHED_SECONDS = 0.02
_HEARTBEAT = b": heartbeat\n\n"
_HEADERS = {
    "X-Accel-Buffering": "no",  # nginx would hold events back until it has a few kilobytes of them
}


def event(fields: Mapping[str, Any]) -> bytes:
    """An event; its name is the `type` that it also has as a line of `--output-format stream-json`."""
    return f"event: {fields['type']}\ndata: {machine_output.as_json(fields)}\n\n".encode()


class ClientGone(Exception):
    """The client went away before it was answered."""


class Client:
    """The client of a request, watched for a hang-up once its body was read."""

    def __init__(self, receive: Receive) -> None:
        loop = asyncio.get_running_loop()
        self.gone: asyncio.Future[None] = loop.create_future()
        self._receive = receive
        self._watch: asyncio.Task[None] | None = None
        # Most answers are there sooner, and then nobody needs to have watched.
        self._begin = loop.call_later(_UNWATCHED_SECONDS, self._begin_watching)

    async def waits_for(self, task: asyncio.Future[Any], seconds: float | None = None) -> bool:
        """Wait until `task` is done, or the seconds are over; False if the client went away before."""
        await asyncio.wait({task, self.gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return task.done() or not self.gone.done()

    def forget(self) -> None:
        """It need not be watched any more."""
        self._begin.cancel()
        if self._watch:
            self._watch.cancel()

    def _begin_watching(self) -> None:
        self._watch = asyncio.ensure_future(self._watched())

    async def _watched(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            continue
        if not self.gone.done():
            self.gone.set_result(None)


class EventStream(Response):
    """Sends what `events` yields as it comes, and closes it when there is nobody left to send it to."""

    def __init__(
        self, events: AsyncGenerator[bytes, None], client: Client, headers: Mapping[str, str]
    ) -> None:
        super().__init__(None, 200, {**_HEADERS, **headers}, "text/event-stream")
        del self.headers["content-length"]
        self._events = events
        self._client = client

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer the request."""
        try:
            await send({"type": "http.response.start", "status": 200, "headers": self.raw_headers})
            await self._send(send)
            await send({"type": "http.response.body", "body": b""})
        except OSError:  # the server says so that the client is gone
            return
        finally:
            self._client.forget()
            await self._events.aclose()

    async def _send(self, send: Send) -> None:
        coming = asyncio.ensure_future(anext(self._events, b""))
        try:
            while await self._client.waits_for(coming, HEARTBEAT_SECONDS):
                if not coming.done():
                    await send({"type": "http.response.body", "body": _HEARTBEAT, "more_body": True})
                    continue
                if not (piece := coming.result()):
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
                coming = asyncio.ensure_future(anext(self._events, b""))
        finally:
            if not coming.done():
                coming.cancel()
                await asyncio.wait({coming})
