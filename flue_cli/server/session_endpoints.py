"""Routes that list agents and sessions, read a session's turns, and delete a session."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.responses import Response

from flue_cli.names import check_session_name
from flue_cli.render import machine_output
from flue_cli.server import turn_request
from flue_cli.server.access_guard import REQUEST_SUBJECT
from flue_cli.server.errors import json_answer, redact_failure
from flue_cli.stores.contract_errors import session_not_found_error
from flue_cli.stores.records import ABSENT, Entry, SessionHead
from flue_cli.transcripts.entry_json import (
    EXPORTED,
    LISTED,
    RUNNING,
    RawJson,
    entry_document,
    entry_fields,
    object_of,
)
from flue_cli.transcripts.session_json import session_fields

if TYPE_CHECKING:
    from starlette.requests import Request

    from flue_cli.server.agent_registry import AgentRegistry
    from flue_cli.server.turn_scheduler import TurnScheduler
    from flue_cli.stores.contract import Store

PAGE = 50
"""Sessions or turns in an answer, by default."""
LONGEST_PAGE = 1000
MAX_NUMBER = 2**53
"""The largest number in a query: larger integers are not exact in JavaScript."""


class SessionEndpoints:
    """The sessions of one store, as far as the registry serves their agents."""

    def __init__(self, turns: TurnScheduler, registry: AgentRegistry) -> None:
        self._turns = turns
        self._store = turns.store
        self._registry = registry

    async def agents(self, _: Request) -> Response:
        """`GET /api/agents`: names and descriptions."""
        return json_answer([agent._asdict() for agent in await self._turns.call(self._registry.described)])

    async def sessions(self, request: Request) -> Response:
        """`GET …/sessions`: a page of an agent's sessions, last used first; `Link` has the page after it."""
        agent = self.agent_of(request)
        limit = turn_request.number(request, "limit", least=1, most=LONGEST_PAGE, default=PAGE)
        before = turn_request.number(request, "before", least=1, most=MAX_NUMBER, default=MAX_NUMBER)
        with_undone_forks = turn_request.flag(request, "all")
        sessions = await self._turns.call(
            lambda: self._store.sessions(
                agent=agent, limit=limit + 1, with_undone_forks=with_undone_forks, before=before
            )
        )
        page = sessions[:limit]
        headers = {}
        if len(sessions) > limit:
            next_page = request.url.include_query_params(before=page[-1].use_number)
            # Relative (RFC 8288): the server does not know the address that a proxy has.
            headers["Link"] = f'<?{next_page.query}>; rel="next"'
        return json_answer([machine_output.summary_document(summary) for summary in page], headers=headers)

    async def session(self, request: Request) -> Response:
        """`GET …/sessions/ID`: its data and a page of its turns, the newest unless `before` a turn."""
        last = turn_request.number(request, "last", least=0, most=LONGEST_PAGE, default=PAGE)
        before = turn_request.number(request, "before", least=1, most=MAX_NUMBER, default=MAX_NUMBER)
        whole = turn_request.flag(request, "full")
        agent, name = self.of(request)
        text = await self._turns.call(
            lambda: _page(self._store, existing(self._store, agent, name), last, before, whole=whole)
        )
        return Response(text, 200, None, "application/json")

    async def delete(self, request: Request) -> Response:
        """`DELETE …/sessions/ID`: the session, and what undoing kept of it."""
        agent, name = self.of(request)
        await self._turns.call(lambda: self._store.delete(existing(self._store, agent, name)))
        return Response(status_code=204)

    def agent_of(self, request: Request) -> str:
        """The agent that the path names; raises as AgentRegistry.serves."""
        agent = self._registry.serves(
            turn_request.decode_path_name(request.path_params["agent"], "agent's name")
        )
        _log_fields(request)["agent"] = agent
        return agent

    def of(self, request: Request) -> tuple[str, str]:
        """Return the agent and the session that a request names; BadName, and as AgentRegistry.serves.

        The session is the last part of the path, or `?id=`: clients remove `.` and `..` from a path.
        """
        agent = self.agent_of(request)
        in_path = request.path_params.get("session")
        name = check_session_name(
            turn_request.decode_path_name(in_path, "session's name")
            if in_path is not None
            else turn_request.text(request, "id")
        )
        _log_fields(request)["session"] = name
        return agent, name


def existing(store: Store, agent: str, name: str) -> SessionHead:
    """The session as it stands; SessionNotFound if there is none."""
    head = store.head(agent, name)
    if head.uid == ABSENT:
        raise session_not_found_error(agent, name)
    return head


def _log_fields(request: Request) -> dict[str, Any]:
    said: dict[str, Any] = request.scope.setdefault(REQUEST_SUBJECT, {})
    return said


def _page(store: Store, head: SessionHead, count: int, before: int, *, whole: bool) -> str:
    """The document of a session with `count` turns before turn `before`, as an export has them.

    Each turn's own data and meta, which may be large, only in a `whole` one. `earlier` is what to give as
    `before` for the page before this one, null if there is none.
    """
    last = min(before - 1, head.turn)
    first = max(1, last - count + 1)
    turns = [_turn(entry, whole=whole) for entry in store.entries(head, first, last, with_data=whole)]
    running = store.unsettled_prompt(head)
    fields = session_fields(store, head) | {
        "data": RawJson(store.data_at(head, head.turn)),
        "turns": RawJson(f"[{', '.join(turns)}]"),
        "earlier": first if first > 1 else None,
        "running": entry_document(running, RUNNING) if running else None,
    }
    return object_of(fields) + "\n"


def _turn(entry: Entry, *, whole: bool) -> str:
    if entry.error:
        entry = entry._replace(error=redact_failure(entry.error))
    return object_of(entry_fields(entry, EXPORTED if whole else LISTED))
