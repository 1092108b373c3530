"""The ASGI app: which address leads where."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from flue_cli.errors import FlueError
from flue_cli.log import Log
from flue_cli.server.errors import FailureReporter, Report, as_flue_error, document, json_answer
from flue_cli.server.events_endpoint import EventsEndpoint
from flue_cli.server.openapi import openapi_document
from flue_cli.server.request_body import RequestLimits
from flue_cli.server.session_endpoints import SessionEndpoints
from flue_cli.server.sse import ClientGone
from flue_cli.server.start_page import start_page
from flue_cli.server.turn_endpoint import TurnEndpoint
from flue_cli.server.turn_scheduler import TurnScheduler
from flue_cli.settings import WAIT_SECONDS

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

    from flue_cli.server.agent_registry import AgentRegistry
    from flue_cli.stores.contract import Store

Endpoint = Callable[[Request], Awaitable[Response]]


def build_app(
    store: Store,
    registry: AgentRegistry,
    *,
    wait: float = WAIT_SECONDS,
    timeout: float | None = None,
    log: Log | None = None,
    report: Report | None = None,
    closes_store: bool = False,
) -> Starlette:
    """The agents of `registry` and the sessions of `store` over HTTP; `app.state.turns` runs the turns.

    `wait` and `timeout` are seconds, as for `flue chat`. `report` is told, from any thread, what was kept
    back from the client. With `closes_store` the end of the app's life closes the store.
    """
    log = log or Log()
    turns = TurnScheduler(store, log, wait=wait, timeout=timeout, closes_store=closes_store)
    failures = FailureReporter(log, report)
    reading = SessionEndpoints(turns, registry)
    following = EventsEndpoint(turns, reading, failures)

    @asynccontextmanager
    async def life(_: Starlette) -> AsyncIterator[None]:
        try:
            yield
        finally:
            await following.close()
            await turns.close()

    async def health(_: Request) -> Response:
        stops = turns.stopping.is_set()
        return json_answer({"status": "stopping" if stops else "ok"}, 503 if stops else 200)

    async def openapi(_: Request) -> Response:
        return json_answer(openapi_document())

    sessions, session = "/api/agent/{agent}/sessions", "/api/agent/{agent}/session"
    table: tuple[tuple[str, str, Endpoint], ...] = (
        ("POST", "/api/agent/{agent}", TurnEndpoint(turns, registry, failures).post),
        ("GET", "/api/agents", reading.agents),
        ("GET", sessions, reading.sessions),
        ("GET", sessions + "/{session}", reading.session),
        ("DELETE", sessions + "/{session}", reading.delete),
        ("GET", sessions + "/{session}/events", following.events),
        # The same with the session as ?id=: no client leaves /sessions/.. as it is.
        ("GET", session, reading.session),
        ("DELETE", session, reading.delete),
        ("GET", session + "/events", following.events),
        ("GET", "/", start_page),
        ("GET", "/healthz", health),
        ("GET", "/openapi.json", openapi),
    )
    app = Starlette(
        routes=_routes(table, failures),
        middleware=[Middleware(RequestLimits), Middleware(_PathsAsSent)],
        exception_handlers={HTTPException: _no_such_address},
        lifespan=life,
    )
    app.router.redirect_slashes = False
    app.state.turns = turns
    return app


def _routes(table: tuple[tuple[str, str, Endpoint], ...], failures: FailureReporter) -> list[Route]:
    """A route for each path, which knows all the methods that the path has."""
    paths: dict[str, dict[str, Endpoint]] = {}
    for method, path, endpoint in table:
        paths.setdefault(path, {})[method] = endpoint
    return [Route(path, _answered(by, failures), methods=list(by)) for path, by in paths.items()]


def _answered(endpoints: dict[str, Endpoint], failures: FailureReporter) -> Endpoint:
    """Make a handler that calls the endpoint of a request's method, and turns errors into answers."""

    async def answer(request: Request) -> Response:
        endpoint = endpoints["GET" if request.method == "HEAD" else request.method]
        try:
            return await endpoint(request)
        except FlueError as error:
            return failures.answer(error)
        except ClientGone:
            return Response(status_code=499)  # nginx's number for it; nobody reads it
        except Exception as error:  # noqa: BLE001 - a bug of ours, and the client gets a document
            return failures.answer(as_flue_error(error))

    return answer


async def _no_such_address(request: Request, error: Exception) -> Response:
    """404 and 405 as documents."""
    if isinstance(error, HTTPException) and error.status_code == 405:
        return document(405, "method", f"{request.method} is not for this address", error.headers)
    return document(404, "not_found", "there is nothing at this address")


class _PathsAsSent:
    """Routes by the path as it was sent: a session's name may have a slash of its own, as `%2F`."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        raw = scope.get("raw_path") or quote(scope["path"]).encode()
        scope = {**scope, "path": raw.decode("latin-1"), "root_path": quote(scope.get("root_path", ""))}
        await self._app(scope, receive, send)
