"""What stands between the network and the app: who may ask, under which name, how much, how long.

Nothing here is a route's business, and no route is reached before all of it holds. Each request leaves
one line in the log, but for a health probe that found us well; the app says in `scope["flue"]`, a dict,
which agent, session and turn it was about.
"""

from __future__ import annotations

import hmac
import time
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, NamedTuple

from flue_cli.log import Log
from flue_cli.server.hosts import Host, is_foreign, is_loopback, parse_host
from flue_cli.server.http_refusal import Refusal, with_everywhere
from flue_cli.server.request_body import (
    ClientGone,
    Limits,
    Message,
    Receive,
    Send,
    after,
    check_length,
    check_type,
    discard,
    read_body,
)

Scope = MutableMapping[str, Any]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

SAID_OF_THE_REQUEST = "flue"
"""Where in the scope the app says which agent, session and turn a request was about: a dict."""

_PROBED = b"/healthz"
"""Asked every few seconds by whoever watches the server: only if something is wrong is it logged."""
_LINGER_SECONDS = 2.0
_LOGGED_BYTES = 500
_CLIENT_GONE = 499  # nginx's number for it; it is only ever logged


class Policy(NamedTuple):
    """Whom to serve.

    `hosts` are the names beside loopback's that the server goes by, in lower case; `sites` those of them
    whose web pages are its own even when a proxy asks under another. With a `token` every request must
    carry it, but for the paths in `open_paths`, which tell nothing.
    """

    hosts: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()
    token: bytes = b""
    open_paths: frozenset[bytes] = frozenset({_PROBED})
    limits: Limits = Limits()


class Guard:
    """An ASGI app that lets through to another only what `policy` allows, and logs every request."""

    def __init__(self, app: App, policy: Policy | None = None, log: Log | None = None) -> None:
        self._app = app
        self._policy = policy or Policy()
        self._log = log or Log()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or pass the server's own starting and stopping on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, _Answer(send))
        else:  # a WebSocket: there are none here, and what nobody checks nobody gets
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, answer: _Answer) -> None:
        began = time.perf_counter()
        said = scope.setdefault(SAID_OF_THE_REQUEST, {})
        try:
            try:
                receive = await self._admitted(scope, receive)
            except Refusal as refusal:
                await _refuse(refusal, receive, answer)
            except ClientGone:
                pass
            else:
                await self._app(scope, receive, answer)
        finally:
            if _path(scope) != _PROBED or answer.status != 200:
                self._write_down(scope, answer.status, said, time.perf_counter() - began)

    def _write_down(self, scope: Scope, status: int, said: dict[str, Any], seconds: float) -> None:
        self._log.write(
            "request",
            method=scope["method"],
            path=_path(scope)[:_LOGGED_BYTES].decode("ascii", "backslashreplace"),
            status=status or _CLIENT_GONE,
            **{name: said.get(name) for name in ("agent", "session", "turn")},
            milliseconds=round(seconds * 1000, 1),
        )

    async def _admitted(self, scope: Scope, receive: Receive) -> Receive:
        """What the app is to receive from; raises Refusal, and ClientGone."""
        headers = _Headers(scope["headers"])
        has_body = headers.one(b"content-length") not in (None, b"0") or headers.has(b"transfer-encoding")
        try:
            self._check_source(headers)
            if self._policy.token and _path(scope) not in self._policy.open_paths:
                _check_token(headers, self._policy.token)
            if not has_body:
                return receive
            _check_coding(headers)
            check_type((headers.one(b"content-type") or b"").decode("latin-1"))
            check_length(headers.one(b"content-length"), self._policy.limits)
        except Refusal as refusal:
            if has_body:
                refusal.closes = True
            raise
        return after(await read_body(receive, self._policy.limits), receive)

    def _check_source(self, headers: _Headers) -> None:
        """Raise Refusal unless the request names us (421) and comes from no other site (403)."""
        named = headers.one(b"host")
        host = parse_host(named.decode("latin-1")) if named is not None else None
        if host is None:
            raise Refusal(400, "bad_request", "the request needs one Host header with a host's name")
        if not self._answers_to(host):
            words = f"'{host.name[:100]}' is not a name of this server: --allow-host makes it one"
            raise Refusal(421, "unknown_host", words)
        origin = headers.one(b"origin")
        foreign = origin is not None and is_foreign(origin.decode("latin-1"), host, self._policy.sites)
        if foreign or headers.one(b"sec-fetch-site") == b"cross-site":
            raise Refusal(403, "foreign_origin", "pages of other sites may not ask this server")

    def _answers_to(self, host: Host) -> bool:
        return is_loopback(host.name) or host.name in self._policy.hosts


class _Headers:
    """A request's headers, in which one that may occur once does not occur twice."""

    def __init__(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        self._values: dict[bytes, list[bytes]] = {}
        for name, value in pairs:
            self._values.setdefault(name, []).append(value)

    def has(self, name: bytes) -> bool:
        return name in self._values

    def one(self, name: bytes) -> bytes | None:
        """The header's value, None if there is none; Refusal (400) if there are several."""
        values = self._values.get(name)
        if values is None:
            return None
        if len(values) > 1:
            words = f"the request has more than one {name.decode()} header"
            raise Refusal(400, "bad_request", words, closes=True)
        return values[0].strip()


class _Answer:
    """A `send` that adds what every answer carries, and remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message = {**message, "headers": with_everywhere(message.get("headers", ()))}
        await self._send(message)


async def _refuse(refusal: Refusal, receive: Receive, answer: _Answer) -> None:
    await answer({"type": "http.response.start", "status": refusal.status, "headers": refusal.headers})
    if not refusal.closes or refusal.status == 408:
        await answer({"type": "http.response.body", "body": refusal.body})
        return
    # The connection is closed after the last piece, and the client may still be sending.
    await answer({"type": "http.response.body", "body": refusal.body, "more_body": True})
    await discard(receive, seconds=_LINGER_SECONDS)
    await answer({"type": "http.response.body", "body": b""})


def _check_token(headers: _Headers, token: bytes) -> None:
    """Raise Refusal (401) unless the request carries the token; how much of it is right takes no time."""
    scheme, _, given = (headers.one(b"authorization") or b"").partition(b" ")
    if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token):
        return
    challenge = (b"www-authenticate", b'Bearer realm="flue"')
    words = "this server needs its token: Authorization: Bearer TOKEN"
    raise Refusal(401, "unauthorized", words, headers=(challenge,))


def _check_coding(headers: _Headers) -> None:
    """Raise Refusal for a body that is to be decoded first (415), or sent as only a proxy would (400)."""
    if (headers.one(b"transfer-encoding") or b"chunked").lower() != b"chunked":
        raise Refusal(400, "bad_request", "Transfer-Encoding can only be chunked")
    if headers.has(b"content-encoding"):
        raise Refusal(415, "media_type", "the body must not be compressed")


def _path(scope: Scope) -> bytes:
    """The path as it was sent, without the query."""
    return bytes(scope.get("raw_path") or scope["path"].encode())
