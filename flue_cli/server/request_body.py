"""Limits that hold for every request, in `flue serve` and in an app of one's own.

A body is JSON, not compressed, and read whole before anything is done about it, within limits of size and
time. Every answer bears the security headers.
"""

from __future__ import annotations

import asyncio
from typing import NamedTuple

from flue_cli.jsondata.strict import MAX_BYTES
from flue_cli.server.http_refusal import (
    App,
    Message,
    Receive,
    Refusal,
    Scope,
    Send,
    send_refusal,
    with_security_headers,
)
from flue_cli.server.request_headers import RequestHeaders


class Limits(NamedTuple):
    """The size of a body, and the time that it may take.

    `size` is in bytes. A body has `seconds` to arrive, and one more for every `rate` bytes of it.
    """

    size: int = MAX_BYTES + 64 * 1024
    seconds: float = 10.0
    rate: int = 4096


class RequestLimits:
    """An ASGI app that passes requests on to another once their bodies are read, and marks all answers."""

    def __init__(self, app: App, limits: Limits | None = None) -> None:
        self._app = app
        self._limits = limits or Limits()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or pass the server's own starting and stopping on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            receive = await self._read(RequestHeaders(scope["headers"]), receive)
        except Refusal as refusal:
            await send_refusal(refusal, receive, send)
        else:
            await self._app(scope, receive, _marking(send))

    async def _read(self, headers: RequestHeaders, receive: Receive) -> Receive:
        """Read the body, and give a `receive` that begins with it; raises Refusal."""
        if not headers.has_body:
            return receive
        try:
            _check_coding(headers)
            _check_type((headers.one(b"content-type") or b"").decode("latin-1"))
            _check_length(headers.one(b"content-length"), self._limits)
        except Refusal as refusal:
            refusal.closes = True
            raise
        return _replay_body(await _read_body(receive, self._limits), receive)


def _marking(send: Send) -> Send:
    async def send_marked(message: Message) -> None:
        if message["type"] == "http.response.start":
            message = {**message, "headers": with_security_headers(message.get("headers", ()))}
        await send(message)

    return send_marked


def _check_coding(headers: RequestHeaders) -> None:
    """Raise Refusal for a body that is to be decoded first (415), or sent as only a proxy would (400)."""
    if (headers.one(b"transfer-encoding") or b"chunked").lower() != b"chunked":
        raise Refusal(400, "bad_request", "Transfer-Encoding can only be chunked")
    if headers.has(b"content-encoding"):
        raise Refusal(415, "media_type", "the body must not be compressed")


def _check_type(sent: str) -> None:
    """Raise Refusal (415) unless a Content-Type is JSON, which forms of other sites cannot send."""
    kind, *parameters = (part.strip() for part in sent.lower().split(";"))
    charsets = {part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")}
    if kind != "application/json" or not charsets <= {"utf-8", "utf8"}:
        raise Refusal(415, "media_type", "the body must be application/json, in UTF-8")


def _check_length(length: bytes | None, limits: Limits) -> None:
    """Raise Refusal for an invalid Content-Length (400), or one that is too large (413)."""
    if length is None:
        return
    if not length.isdigit() or len(length) > 18:
        raise Refusal(400, "bad_request", "Content-Length is not a number of bytes")
    if int(length) > limits.size:
        raise _too_large(limits)


async def _read_body(receive: Receive, limits: Limits) -> bytes:
    """Read the whole body; raises Refusal if it is too large (413), too slow (408) or incomplete (400)."""
    pieces: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        while True:
            async with asyncio.timeout_at(began + limits.seconds + size / limits.rate):
                message = await receive()
            if message["type"] != "http.request":
                # The client is gone, or its chunks do not add up: a server does not say which.
                raise Refusal(400, "bad_request", "the request's body is incomplete", closes=True)
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limits.size:
                raise _too_large(limits)
            if not message.get("more_body", False):
                return b"".join(pieces)
    except TimeoutError:
        words = f"the request's body took longer than {limits.seconds:g} s and came too slowly"
        raise Refusal(408, "slow_request", words, closes=True) from None


def _replay_body(body: bytes, receive: Receive) -> Receive:
    """Give a `receive` that returns `body` first, and then what comes: the client's going away."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


def _too_large(limits: Limits) -> Refusal:
    words = f"the request's body is larger than {limits.size / 2**20:.0f} MiB"
    return Refusal(413, "too_large", words, closes=True)
