"""A connection of uvicorn's, with limits on the time, size and number of what is not a request yet.

uvicorn waits for a request's headers as long as they take and as many as they are, and its keep-alive
limit ends with the first byte: a client that sends a byte now and then keeps a connection for ever,
and enough of them keep all others out. An ASGI app cannot help: it is asked only after the headers.
"""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections import deque
from typing import Any, NamedTuple

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from flue_cli.server.refusal import Refusal, with_everywhere

_FILES = 4096
_STATUS = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class Bounds(NamedTuple):
    """What a connection may take before it has said what it wants.

    The headers of a request have `header_seconds` and `header_bytes`; a client that does not read its
    answer is dropped after `unread_seconds`; `connections` may be open at once.
    """

    header_seconds: float = 10.0
    header_bytes: int = 64 * 1024
    unread_seconds: float = 30.0
    connections: int = 1024


def room_for_connections() -> int:
    """How many connections this process can hold; half of its files are left to stores and agents."""
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
    if files != resource.RLIM_INFINITY and files < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            files = wanted
    return _FILES // 2 if files == resource.RLIM_INFINITY else min(files, _FILES) // 2


def connections_within(bounds: Bounds) -> type[asyncio.Protocol]:
    """The class of connections for uvicorn's `http` setting; those of one server share its bounds."""
    return type("BoundedConnection", (_Connection,), {"bounds": bounds, "open": {}})


class _Connection(HttpToolsProtocol):
    bounds: Bounds
    open: dict[_Connection, bool]
    """All connections to whether they are expendable: have no whole request that is being answered.

    Those are in the order in which they became it.
    """

    def connection_made(self, transport: Any) -> None:
        super().connection_made(transport)
        self._wire = transport
        self._in_headers = True
        self._header_bytes = 0
        self._late: asyncio.TimerHandle | None = None
        self._unread: asyncio.TimerHandle | None = None
        self._asked: deque[Any] = deque()  # uvicorn's cycles, of requests that are not answered yet
        self.open[self] = True
        if len(self.open) > self.bounds.connections:
            # The one that has waited longest, or this one if all others are being answered.
            waiting = next(other for other, expendable in self.open.items() if expendable)
            del self.open[waiting]
            waiting._wire.abort()  # noqa: SLF001 - one of us
        self._expect_headers()

    def connection_lost(self, exc: Exception | None) -> None:
        self.open.pop(self, None)
        self._headers_came()
        self._cancel_unread()
        super().connection_lost(exc)
        # uvicorn tells only the last request's app that the client is gone, not the one that is at work.
        for cycle in self._asked:
            cycle.disconnected = True
            cycle.message_event.set()

    def data_received(self, data: bytes) -> None:
        if self._in_headers and self._late is None:
            self._expect_headers()
        self._feed(data)
        if self._in_headers:  # still: all of this was headers, or most
            self._header_bytes += len(data)
            if self._header_bytes > self.bounds.header_bytes:
                self._turn_away(Refusal(431, "too_large", "the request's headers are too large", closes=True))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_headers:  # those that follow a chunked body say nothing that was not said before
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        if self.parser.should_upgrade():
            return  # it comes again, without that
        super().on_headers_complete()
        self._in_headers = False
        self._header_bytes = 0
        self._headers_came()
        self._asked.append(self.cycle)

    def on_message_complete(self) -> None:
        if self.parser.should_upgrade():
            return
        self._in_headers = True  # of the next request, from the next byte on
        self.open[self] = False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        self._asked.popleft()
        self.open.pop(self, None)
        self.open[self] = True
        super().on_response_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self._unread is None:
            self._unread = self.loop.call_later(self.bounds.unread_seconds, self._wire.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._cancel_unread()

    def _feed(self, data: bytes) -> None:
        """Have the parser read on; what it makes of it are calls of the methods above."""
        self._unset_keepalive_if_required()
        while True:
            try:
                self.parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                if self.parser.get_method() != b"CONNECT":
                    data = self._head_without_upgrade() + data[upgrade.args[0] :]
                    continue
                self._is_no_request()
            except httptools.HttpParserError:
                self._is_no_request()
            return

    def _head_without_upgrade(self) -> bytes:
        """The request's head, for another parser, as if it did not ask for another protocol.

        A server may ignore that it does (RFC 9110, section 7.8), and there is none here. The parser does
        not: it gives up at the end of the head, and the body of the request would be lost, which clients
        in Java and `curl --http2` send so.
        """
        version = self.parser.get_http_version().encode()
        lines = [b"%s %s HTTP/%s" % (self.parser.get_method(), self.url, version)]
        for name, value in self.headers:
            kept = value
            if name == b"connection":
                options = [option.strip() for option in value.split(b",")]
                kept = b", ".join(option for option in options if option.lower() != b"upgrade")
            if name != b"upgrade" and (kept or not value):
                lines.append(b"%s: %s" % (name, kept))
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn does
        return b"\r\n".join(lines) + b"\r\n\r\n"

    def _is_no_request(self) -> None:
        if self._in_headers and self._asked:  # what came before it is still worth its answer
            self._asked[-1].keep_alive = False
            return
        self._turn_away(Refusal(400, "bad_request", "that is not an HTTP request", closes=True))

    def _expect_headers(self) -> None:
        self._late = self.loop.call_later(self.bounds.header_seconds, self._headers_are_late)

    def _headers_came(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _headers_are_late(self) -> None:
        if self.cycle is not None and not self.cycle.response_complete:
            self._expect_headers()  # of a request that was sent ahead: nobody reads them yet
            return
        if not self._header_bytes:  # an idle connection: what a browser opens in advance
            self._wire.close()
            return
        self._turn_away(Refusal(408, "slow_request", "the request's headers came too slowly", closes=True))

    def _cancel_unread(self) -> None:
        if self._unread is not None:
            self._unread.cancel()
            self._unread = None

    def _turn_away(self, refusal: Refusal) -> None:
        """Answer without the app, unless another answer is on its way, and hang up."""
        if self._wire.is_closing():
            return
        if not self._asked or self._is_at_fault():
            head = b"HTTP/1.1 %d %s\r\n" % (refusal.status, _STATUS[refusal.status])
            lines = b"".join(b"%s: %s\r\n" % pair for pair in with_everywhere(refusal.headers))
            self._wire.write(head + lines + b"\r\n" + refusal.body)
        for cycle in self._asked:
            cycle.disconnected = True  # nothing may follow
        self._wire.close()

    def _is_at_fault(self) -> bool:
        """Whether the one request that is not answered yet is itself what cannot be read."""
        return not self._in_headers and len(self._asked) == 1 and not self.cycle.response_started
