"""`POST /api/agent/NAME`: a prompt, answered as text, as a document, or event by event."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from starlette.responses import Response

from flue_cli.errors import SessionExists
from flue_cli.names import generate_name
from flue_cli.render import machine_output
from flue_cli.server import turn_request
from flue_cli.server.access_guard import REQUEST_SUBJECT
from flue_cli.server.errors import ServerStopping, as_flue_error, json_answer, status_of
from flue_cli.server.sse import Client, ClientGone, EventStream, event
from flue_cli.server.turn_request import HttpTurnRequest
from flue_cli.stores.records import BegunTurn, Lease, TurnRequest
from flue_cli.turns.runner import Listener, Turn

if TYPE_CHECKING:
    from starlette.requests import Request

    from flue_cli.agents.discovery import Agent
    from flue_cli.server.agent_registry import AgentRegistry
    from flue_cli.server.errors import FailureReporter
    from flue_cli.server.turn_scheduler import PendingTurn, TurnScheduler

_GONE = "the client went away"
_NAMES = 5
"""Generated names to try: one is taken once in a million."""
_DELTA = 64 * 1024
"""Most characters of a reply in one event: text that is being sent is held in memory twice and more."""


class TurnEndpoint:
    """Answers prompts for the agents of a registry."""

    def __init__(self, turns: TurnScheduler, registry: AgentRegistry, failures: FailureReporter) -> None:
        self._turns = turns
        self._registry = registry
        self._failures = failures

    async def post(self, request: Request) -> Response:
        """One turn."""
        said: dict[str, Any] = request.scope.setdefault(REQUEST_SUBJECT, {})
        name = self._registry.serves(
            turn_request.decode_path_name(request.path_params["agent"], "agent's name")
        )
        said["agent"] = name
        asked = await turn_request.read(request, self._turns)
        agent = self._registry.ready(name)
        if agent is None:
            agent = await self._turns.call(lambda: self._registry.load(name))
        exchange = _TurnCall(agent, asked, Client(request.receive), said)
        answer = self._stream if asked.form == "events" else self._whole
        try:
            if asked.session is not None:
                return await answer(exchange, asked.session, "any")
            for _ in range(_NAMES):
                with suppress(SessionExists):
                    return await answer(exchange, generate_name(), "new")
            raise SessionExists("every name that was tried is taken")
        except BaseException:  # raised again: a task that is cancelled watches its client no longer either
            exchange.client.forget()
            raise

    async def _whole(self, exchange: _TurnCall, name: str, expect: str) -> Response:
        """The answer once the turn is over."""
        prompt = self._start(exchange, name, expect, Listener())
        await _stays(exchange, prompt, prompt.answer)
        turn = await _outcome(prompt)
        exchange.client.forget()
        exchange.said["turn"] = turn.turn
        headers = _headers(turn)
        if exchange.asked.form == "text":
            if turn.error:
                return self._failures.answer(turn.error, headers, **_whose(turn))
            return Response(turn.reply, 200, headers, "text/plain")
        status = status_of(turn.error) if turn.error else 200
        return await self._turns.in_thread_if_large(
            _size(turn), lambda: json_answer(self._document(turn), status, headers)
        )

    async def _stream(self, exchange: _TurnCall, name: str, expect: str) -> Response:
        """Events from the beginning of the turn on; what keeps it from beginning is a plain error."""
        heard = _TurnStream()
        prompt = self._start(exchange, name, expect, heard.listener)
        prompt.answer.add_done_callback(lambda _: heard.hear())
        await _stays(exchange, prompt, heard.first)
        begun: Lease | Turn = heard.lease or await _outcome(prompt)
        exchange.said["turn"] = begun.turn
        events = self._events(exchange, prompt, heard, begun)
        return EventStream(events, exchange.client, _headers(begun))

    def _start(self, exchange: _TurnCall, name: str, expect: str, listener: Listener) -> PendingTurn:
        exchange.said["session"] = name
        agent, asked = exchange.agent, exchange.asked
        return self._turns.start(
            agent,
            # The operator chose which agents are served: nobody is asked if a session is of another project.
            TurnRequest(agent.name, name, asked.prompt, key=asked.key, expect=expect, adopts=True),
            listener,
        )

    async def _events(
        self, exchange: _TurnCall, prompt: PendingTurn, heard: _TurnStream, begun: Lease | Turn
    ) -> AsyncGenerator[bytes, None]:
        agent, session = _agent_and_session(begun)
        is_over = False
        try:
            yield event(machine_output.started_event(agent, session, begun))
            while not is_over:
                await heard.something.wait()
                heard.something.clear()
                is_over = prompt.answer.done()  # then this is all there will be
                for text in heard.taken():
                    yield event(machine_output.delta_event(text))
            turn = await _outcome(prompt)
            if turn.reply and not heard.is_streamed:
                heard.pieces.append(turn.reply)
                for text in heard.taken():
                    yield event(machine_output.delta_event(text))
            yield await self._turns.in_thread_if_large(
                _size(turn), lambda: event(machine_output.ended_event(turn) | self._document(turn))
            )
        except Exception as error:  # noqa: BLE001 - a bug of ours, and the answer has begun
            failure = self._failures.public_failure(
                as_flue_error(error), agent=agent, session=session
            )._asdict()
            yield event(
                {
                    **machine_output.started_event(agent, session, begun),
                    "type": "turn.failed",
                    "error": failure,
                }
            )
        finally:
            _leave(exchange, prompt)

    def _document(self, turn: Turn) -> dict[str, Any]:
        """A turn as `--json` gives it, but for what an agent's failure says."""
        document = machine_output.turn_document(turn)
        if turn.error:
            document["error"] = self._failures.public_failure(turn.error, **_whose(turn))._asdict()
        return document


class _TurnCall(NamedTuple):
    """A request that is being answered; `said` is what the access log will say of it."""

    agent: Agent
    asked: HttpTurnRequest
    client: Client
    said: dict[str, Any]


class _TurnStream:
    """The output of a running turn, brought from its thread into the event loop."""

    def __init__(self) -> None:
        self.something = asyncio.Event()
        self.lease: Lease | None = None
        self.pieces: deque[str] = deque()
        self.is_streamed = False
        self.first: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._loop = asyncio.get_running_loop()
        self.listener = Listener(on_begin=self._begun, on_piece=self._piece)

    def taken(self) -> Iterator[str]:
        """Take the pieces that came since, until none is left: small ones joined, large ones in parts.

        A slow reader gets fewer and larger ones, and never one that is long in the making.
        """
        while self.pieces:
            taken = [self.pieces.popleft()]
            size = len(taken[0])
            while self.pieces and size + len(self.pieces[0]) <= _DELTA:
                taken.append(self.pieces.popleft())
                size += len(taken[-1])
            text = "".join(taken)
            yield from (text[start : start + _DELTA] for start in range(0, size, _DELTA))

    def hear(self) -> None:
        """Have those who listen look again."""
        self.something.set()
        if not self.first.done():
            self.first.set_result(None)

    def _begun(self, begun: BegunTurn) -> None:
        self.lease = begun.lease
        self._wake()

    def _piece(self, text: str) -> None:
        self.is_streamed = True
        self.pieces.append(text)
        self._wake()

    def _wake(self) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens
            self._loop.call_soon_threadsafe(self.hear)


async def _stays(exchange: _TurnCall, prompt: PendingTurn, awaited: asyncio.Future[Any]) -> None:
    """Wait for `awaited`; if the client goes away before, its prompt is given up: ClientGone."""
    is_there = False
    try:
        is_there = await exchange.client.waits_for(awaited)
    finally:  # also if the server ends the request by cancelling it
        if not is_there:
            _leave(exchange, prompt)
    if not is_there:
        raise ClientGone


def _leave(exchange: _TurnCall, prompt: PendingTurn) -> None:
    """Nobody waits for the answer any more: the prompt is given up, unless it was to go on without."""
    if not prompt.answer.done() and not exchange.asked.detach:
        prompt.cancel(_GONE)


async def _outcome(prompt: PendingTurn) -> Turn:
    """Wait for the prompt's turn; raises the error that kept it from beginning."""
    try:
        return await asyncio.shield(prompt.answer)
    except asyncio.CancelledError:
        if prompt.answer.cancelled():
            raise ServerStopping("the server is stopping") from None
        raise


def _agent_and_session(begun: Lease | Turn) -> tuple[str, str]:
    return (begun.head.agent, begun.head.name) if isinstance(begun, Lease) else (begun.agent, begun.session)


def _size(turn: Turn) -> int:
    """Estimate the length of the turn's document, in characters."""
    return len(turn.data) + len(turn.reply or "") + len(turn.prompt)


def _whose(turn: Turn) -> dict[str, Any]:
    return {"agent": turn.agent, "session": turn.session, "turn": turn.turn}


def _headers(begun: Lease | Turn) -> dict[str, str]:
    """The session as a path would name it, and the turn."""
    return {"Flue-Session": quote(_agent_and_session(begun)[1], safe=""), "Flue-Turn": str(begun.turn)}
