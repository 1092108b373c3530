"""`GET …/events`: what happens to a session, as it happens, whoever makes it happen."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from flue_cli.errors import SessionChanged
from flue_cli.render.watch_output import watch_event
from flue_cli.server.errors import Overloaded, ServerStopping, as_flue_error, redact_failure
from flue_cli.server.sse import Client, EventStream, event
from flue_cli.sessions.follow import POLL_SECONDS, Follower, SessionRenamed
from flue_cli.stores.records import ABSENT, Failure, SessionHead

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.responses import Response

    from flue_cli.server.errors import FailureReporter
    from flue_cli.server.session_endpoints import SessionEndpoints
    from flue_cli.server.turn_scheduler import TurnScheduler
    from flue_cli.stores.records import SessionHead

Result = TypeVar("Result")

MAX_FOLLOWERS = 256
"""Most clients that follow sessions at a time."""


class EventsEndpoint:
    """Follows sessions for clients.

    One thread looks for all of them: a look at a store that nobody wrote to takes microseconds.
    """

    def __init__(self, turns: TurnScheduler, reading: SessionEndpoints, failures: FailureReporter) -> None:
        self._turns = turns
        self._reading = reading
        self._failures = failures
        self._followers = 0
        self._thread: ThreadPoolExecutor | None = None

    async def events(self, request: Request) -> Response:
        """A stream of events, from the prompt that runs on; it ends when the session is deleted.

        With Last-Event-ID it goes on from what the client saw last, before the connection was lost. If there
        is no such session yet, the stream waits for it: browsers never ask again after an error.
        """
        agent, name = self._reading.of(request)
        if self._turns.stopping.is_set():
            raise ServerStopping("the server is stopping")
        if self._followers >= MAX_FOLLOWERS:
            raise Overloaded("too many clients follow sessions")
        head = await self._turns.call(lambda: self._turns.store.head(agent, name))
        seen = _seen_before(request.headers.get("last-event-id", ""), head)
        return EventStream(self._events(seen), Client(request.receive), {})

    async def close(self) -> None:
        """End the thread."""
        if self._thread:
            await self._look(self._turns.store.disconnect)
            self._thread.shutdown()
            self._thread = None

    async def _events(self, head: SessionHead) -> AsyncGenerator[bytes, None]:
        store = self._turns.store
        self._followers += 1
        try:
            yield _mark(head)
            while head.uid == ABSENT:
                if await self._ends_within(POLL_SECONDS):
                    return
                head = _empty_start(await self._look(partial(store.head, head.agent, head.name)))
            follower = await self._look(partial(Follower, store, head, with_data=True))
            while True:
                happened = await self._look(lambda: list(follower.poll()))
                for what in happened:
                    yield event(_outward(watch_event(what, head)))
                    if isinstance(what, SessionRenamed):
                        head = what.head
                if happened:
                    yield _mark(follower.head)
                if await self._ends_within(POLL_SECONDS):
                    return
        except SessionChanged:
            yield event({"type": "session.deleted", "agent": head.agent, "session": head.name})
        except Exception as error:  # noqa: BLE001 - the store's failure, or a bug: the answer has begun
            failure = self._failures.public_failure(as_flue_error(error), agent=head.agent, session=head.name)
            yield event({"type": "error", "error": failure._asdict()})
        finally:
            self._followers -= 1

    async def _ends_within(self, seconds: float) -> bool:
        """Sleep for so long; whether the server is stopping."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                return await self._turns.stopping.wait()
        return False

    async def _look(self, function: Callable[[], Result]) -> Result:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, "flue-follower")
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)


def _mark(seen: SessionHead) -> bytes:
    """Make the mark that a client which lost the connection sends as Last-Event-ID; no event by itself."""
    return f"id: {seen.uid}-{seen.version}-{seen.branch}-{seen.turn}\n\n".encode()


def _seen_before(mark: str, head: SessionHead) -> SessionHead:
    """Return the session as the client with this mark saw it last; as it stands, if the mark is of another.

    A client that waited for the session has seen nothing of it.
    """
    match = re.fullmatch(r"(\d{1,18})-(\d{1,18})-(\d{1,18})-(\d{1,18})", mark, re.ASCII)
    uid, version, branch, turn = (int(number) for number in match.groups()) if match else (-1, 0, 0, 0)
    if uid == ABSENT:
        return _empty_start(head)
    return head._replace(version=version, branch=branch, turn=turn) if uid == head.uid else head


def _empty_start(head: SessionHead) -> SessionHead:
    """Return the session as it was before its first turn."""
    return head._replace(version=0, branch=0, turn=0, messages=0)


def _outward(fields: dict[str, Any]) -> dict[str, Any]:
    """An event without the words of a failure that are nobody else's business."""
    error = fields.get("error")
    return fields | {"error": redact_failure(Failure(**error))._asdict()} if error else fields
