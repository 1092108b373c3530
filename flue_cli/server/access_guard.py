"""Access to `flue serve`: the names that it answers to, the pages that may ask, the token.

No route is reached, and no body read, before all of it holds. Each request leaves one line in the log,
except a health probe that found all well; the app says in `scope["flue"]`, a dict, which agent, session
and turn it was about.
"""

from __future__ import annotations

import hmac
import time
from typing import Any, NamedTuple

from flue_cli.log import Log
from flue_cli.server.hosts import Host, is_foreign, is_loopback, parse_host
from flue_cli.server.http_refusal import App, Message, Receive, Refusal, Scope, Send, send_refusal
from flue_cli.server.request_headers import RequestHeaders

REQUEST_SUBJECT = "flue"
"""Key of the scope under which the app names the agent, session and turn of a request: a dict."""

_PROBED = b"/healthz"
"""Asked every few seconds by programs that watch the server: logged only if something is wrong."""
_LOGGED_BYTES = 500
_CLIENT_GONE = 499  # nginx's number for it; it is only ever logged


class AccessPolicy(NamedTuple):
    """Conditions for being served.

    `hosts` are the names beside loopback's that the server goes by, in lower case; `sites` those of them
    whose web pages are its own even when a proxy asks under another. With a `token` every request must
    carry it. The paths in `open_paths` tell nothing, and are served under every name and without a token.
    """

    hosts: frozenset[str] = frozenset()
    sites: frozenset[str] = frozenset()
    token: bytes = b""
    open_paths: frozenset[bytes] = frozenset({_PROBED})


class AccessGuard:
    """An ASGI app that passes on to another what `policy` allows, and logs every request."""

    def __init__(self, app: App, policy: AccessPolicy | None = None, log: Log | None = None) -> None:
        self._app = app
        self._policy = policy or AccessPolicy()
        self._log = log or Log()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request, or pass the server's own starting and stopping on."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await self._serve(scope, receive, _StatusRecorder(send))
        else:  # a WebSocket: there are none here, and nothing unchecked is served
            await send({"type": "websocket.close", "code": 1008})

    async def _serve(self, scope: Scope, receive: Receive, send: _StatusRecorder) -> None:
        began = time.perf_counter()
        subject = scope.setdefault(REQUEST_SUBJECT, {})
        try:
            headers = RequestHeaders(scope["headers"])
            try:
                self._check(headers, _path(scope))
            except Refusal as refusal:
                refusal.closes = refusal.closes or headers.has_body
                await send_refusal(refusal, receive, send)
            else:
                await self._app(scope, receive, send)
        finally:
            if _path(scope) != _PROBED or send.status != 200:
                self._write_down(scope, send.status, subject, time.perf_counter() - began)

    def _write_down(self, scope: Scope, status: int, subject: dict[str, Any], seconds: float) -> None:
        self._log.write(
            "request",
            method=scope["method"],
            path=_path(scope)[:_LOGGED_BYTES].decode("ascii", "backslashreplace"),
            status=status or _CLIENT_GONE,
            **{name: subject.get(name) for name in ("agent", "session", "turn")},
            milliseconds=round(seconds * 1000, 1),
        )

    def _check(self, headers: RequestHeaders, path: bytes) -> None:
        """Raise Refusal unless the request may be served."""
        is_open = path in self._policy.open_paths
        named = headers.one(b"host")
        host = parse_host(named.decode("latin-1")) if named is not None else None
        if not is_open:
            self._check_name(host)
        self._check_page(headers, host)
        if self._policy.token and not is_open:
            _check_token(headers, self._policy.token)

    def _check_name(self, host: Host | None) -> None:
        """Raise Refusal unless the request names a host (400), and that is this server (421)."""
        if host is None:
            raise Refusal(400, "bad_request", "the request needs one Host header with a host's name")
        if not (is_loopback(host.name) or host.name in self._policy.hosts):
            words = f"'{host.name[:100]}' is not a name of this server: --allow-host makes it one"
            raise Refusal(421, "unknown_host", words)

    def _check_page(self, headers: RequestHeaders, host: Host | None) -> None:
        """Raise Refusal (403) for a request that a page of another site made a browser send."""
        origin = headers.one(b"origin")
        foreign = origin is not None and (
            host is None or is_foreign(origin.decode("latin-1"), host, self._policy.sites)
        )
        if foreign or headers.one(b"sec-fetch-site") == b"cross-site":
            raise Refusal(403, "foreign_origin", "pages of other sites may not ask this server")


class _StatusRecorder:
    """A `send` that remembers the status of the answer."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


def _check_token(headers: RequestHeaders, token: bytes) -> None:
    """Raise Refusal (401) unless the request carries the token. Compared in constant time."""
    scheme, _, given = (headers.one(b"authorization") or b"").partition(b" ")
    if scheme.lower() == b"bearer" and hmac.compare_digest(given.strip(), token):
        return
    challenge = (b"www-authenticate", b'Bearer realm="flue"')
    words = "this server needs its token: Authorization: Bearer TOKEN"
    raise Refusal(401, "unauthorized", words, headers=(challenge,))


def _path(scope: Scope) -> bytes:
    """Give the path as it was sent, without the query."""
    return bytes(scope.get("raw_path") or scope["path"].encode())
