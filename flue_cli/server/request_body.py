"""A request's body, read whole before anything is done about it, within limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, NamedTuple

from flue_cli.server.http_refusal import Refusal
from flue_cli.strict_json import MAX_BYTES

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class Limits(NamedTuple):
    """How large a body may be and how long it may take.

    `size` is in bytes. A body has `seconds` to arrive, and one more for every `rate` bytes of it.
    """

    size: int = MAX_BYTES + 64 * 1024
    seconds: float = 10.0
    rate: int = 4096


class ClientGone(Exception):
    """The client went away before it had sent its whole request."""


def check_length(length: bytes | None, limits: Limits) -> None:
    """Raise Refusal for a Content-Length that is none (400), or too large (413)."""
    if length is None:
        return
    if not length.isdigit() or len(length) > 18:
        raise Refusal(400, "bad_request", "Content-Length is not a number of bytes", closes=True)
    if int(length) > limits.size:
        raise _too_large(limits)


def check_type(sent: str) -> None:
    """Raise Refusal (415) unless a Content-Type is JSON, which forms of other sites cannot send."""
    kind, *parameters = (part.strip() for part in sent.lower().split(";"))
    charsets = {part.partition("=")[2].strip('"') for part in parameters if part.startswith("charset=")}
    if kind != "application/json" or not charsets <= {"utf-8", "utf8"}:
        raise Refusal(415, "media_type", "the body must be application/json, in UTF-8")


async def read_body(receive: Receive, limits: Limits) -> bytes:
    """The whole body; raises ClientGone, and Refusal if it is too large (413) or too slow (408)."""
    pieces: list[bytes] = []
    size = 0
    loop = asyncio.get_running_loop()
    began = loop.time()
    try:
        while True:
            async with asyncio.timeout_at(began + limits.seconds + size / limits.rate):
                message = await receive()
            if message["type"] != "http.request":
                raise ClientGone
            pieces.append(message.get("body", b""))
            size += len(pieces[-1])
            if size > limits.size:
                raise _too_large(limits)
            if not message.get("more_body", False):
                return b"".join(pieces)
    except TimeoutError:
        words = f"the request's body took longer than {limits.seconds:g} s and came too slowly"
        raise Refusal(408, "slow_request", words, closes=True) from None


def after(body: bytes, receive: Receive) -> Receive:
    """A `receive` that gives `body` first, and then whatever comes: the client's going away."""
    given = False

    async def next_message() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return next_message


async def discard(receive: Receive, *, seconds: float) -> None:
    """Read on for a while without keeping anything.

    A connection that is closed with bytes unread is reset, and the answer is lost on its way.
    """
    try:
        async with asyncio.timeout(seconds):
            while True:
                message = await receive()
                if message["type"] != "http.request" or not message.get("more_body", False):
                    return
    except TimeoutError:
        return


def _too_large(limits: Limits) -> Refusal:
    words = f"the request's body is larger than {limits.size / 2**20:.0f} MiB"
    return Refusal(413, "too_large", words, closes=True)
