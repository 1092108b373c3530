"""A request that is turned away before any route sees it, and the headers of every answer."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any

from flue_cli.render import machine_output

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SECURITY_HEADERS = {b"cache-control": b"no-store", b"x-content-type-options": b"nosniff"}
"""Headers of every answer: nobody may keep a reply, or take it for a web page."""

_LINGER_SECONDS = 2.0


class Refusal(Exception):
    """The answer to a request that is not served: HTTP `status`, the `type` and `message` of its error.

    `closes`: the connection cannot be used again, since the rest of the request is not read.
    """

    def __init__(
        self,
        status: int,
        type: str,  # noqa: A002 - the field's name in JSON
        message: str,
        *,
        closes: bool = False,
        headers: tuple[tuple[bytes, bytes], ...] = (),
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body = machine_output.as_json({"error": {"type": type, "message": message}}).encode() + b"\n"
        self.closes = closes
        self._headers = headers

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """The headers of the answer."""
        return with_security_headers(
            [
                (b"content-type", b"application/json"),
                (b"content-length", str(len(self.body)).encode()),
                *self._headers,
                *([(b"connection", b"close")] if self.closes else []),
            ]
        )


def with_security_headers(headers: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Give an answer's headers with those of every answer, which no route can change."""
    return [
        *(pair for pair in headers if pair[0].lower() not in SECURITY_HEADERS),
        *SECURITY_HEADERS.items(),
    ]


async def send_refusal(refusal: Refusal, receive: Receive, send: Send) -> None:
    """Answer a request with its refusal."""
    await send({"type": "http.response.start", "status": refusal.status, "headers": refusal.headers})
    if not refusal.closes or refusal.status == 408:
        await send({"type": "http.response.body", "body": refusal.body})
        return
    # The connection is closed after the last piece, and the client may still be sending.
    await send({"type": "http.response.body", "body": refusal.body, "more_body": True})
    await _discard(receive)
    await send({"type": "http.response.body", "body": b""})


async def _discard(receive: Receive) -> None:
    """Read on for a while without keeping anything.

    A connection that is closed with bytes unread is reset, and the answer is lost on its way.
    """
    try:
        async with asyncio.timeout(_LINGER_SECONDS):
            while True:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return
