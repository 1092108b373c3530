"""Sessions that live as long as the process: for tests and `--no-save`."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar

from flue_cli.session import Message
from flue_cli.stores.contract import (
    ABSENT,
    LEASE_SECONDS,
    PREVIEW,
    Ask,
    Begun,
    Entry,
    Failure,
    Head,
    Holder,
    Lease,
    Pause,
    Replayed,
    Summary,
)
from flue_cli.stores.queue import Held, wait_for
from flue_cli.stores.rules import (
    INTERRUPTED,
    busy,
    changed,
    history_of,
    known_turn,
    let_in,
    lost,
    meant,
    same_prompt,
    taken,
)

if TYPE_CHECKING:
    from flue_cli.stores.finding import Finding


class _Session:
    """One session: its settled entries in order, and the lease on it."""

    def __init__(self, uid: int, agent: str, name: str, now: int) -> None:
        self.head = Head(uid, agent, name, line=uid, created_at=now, updated_at=now)
        self.entries: list[Entry] = []
        self.totals: list[int] = []  # length of the history after each entry
        self.fence = 0
        self.running: Entry | None = None
        self.expires = 0.0
        self.used = 0
        self.queue: list[object] = []


Result = TypeVar("Result")
Act = Callable[[_Session], Result]


class MemoryStore:
    """The contract without a disk; a lease is held by a thread and dies only by expiry."""

    def __init__(self, place: str = "") -> None:
        self.url = "memory:"
        self.lease_seconds = LEASE_SECONDS
        self._lock = threading.RLock()
        self._sessions: dict[tuple[str, str], _Session] = {}
        self._by_uid: dict[int, _Session] = {}
        self._last_uid = 0
        self._last_use = 0

    def head(self, agent: str, name: str) -> Head:
        with self._lock:
            session = self._sessions.get((agent, name))
            return session.head if session else Head(ABSENT, agent, name)

    def begin(self, ask: Ask, pause: Pause) -> Begun | Replayed:
        def take(session: _Session) -> Begun | Replayed:
            return self._take(session, ask)

        return self._when_free(ask, pause, take, early=lambda session: self._replay(session, ask))

    def renew(self, lease: Lease) -> None:
        with self._lock:
            self._owned(lease)[0].expires = time.monotonic() + self.lease_seconds

    def commit(
        self, lease: Lease, *, reply: str, messages: Sequence[Message], data: str, meta: Mapping[str, Any]
    ) -> Head:
        with self._lock:
            session, running = self._owned(lease)
            entry = running._replace(
                outcome="completed",
                reply=reply,
                messages=deepcopy(tuple(messages)),
                meta=deepcopy(dict(meta)),
                data=data,
            )
            return self._settle(session, entry)

    def abandon(self, lease: Lease, outcome: str, error: Failure, meta: Mapping[str, Any]) -> Head:
        with self._lock:
            session, running = self._owned(lease)
            entry = running._replace(outcome=outcome, error=error, meta=deepcopy(dict(meta)))
            return self._settle(session, entry)

    def entries(self, head: Head, first: int, last: int, *, with_data: bool = False) -> Iterator[Entry]:
        if not head.turn:
            return
        with self._lock:
            found = self._seen(head).entries[max(first, 1) - 1 : min(last, head.turn)]
        for entry in found:
            yield deepcopy(entry if with_data else entry._replace(data=""))

    def running(self, head: Head) -> Entry | None:
        if head.uid == ABSENT:
            return None
        with self._lock:
            session = self._seen(head)
            if session.running is None:
                return None
            outcome = "running" if time.monotonic() < session.expires else "interrupted"
            return session.running._replace(data="", outcome=outcome)

    def messages(self, head: Head, start: int, stop: int) -> list[Message]:
        stop = min(stop, head.messages)
        found: list[Message] = []
        if start >= stop:
            return found
        with self._lock:
            session = self._seen(head)
            turn = bisect_right(session.totals, start)
            position = session.totals[turn - 1] if turn else 0
            while position < stop:
                for message in history_of(session.entries[turn]):
                    if start <= position < stop:
                        found.append(deepcopy(message))  # whoever reads may change what it read
                    position += 1
                turn += 1
            return found

    def data_at(self, head: Head, turn: int) -> str:
        with self._lock:
            known_turn(head, turn)
            return self._seen(head).entries[turn - 1].data if turn else "{}"

    def sessions(self, *, agent: str = "", limit: int | None = None) -> list[Summary]:
        with self._lock:
            newest_first = sorted(self._sessions.values(), key=lambda session: -session.used)
            return [_summary(session) for session in newest_first if agent in ("", session.head.agent)][
                :limit
            ]

    def resolve(self, name: str, *, agent: str = "") -> list[Head]:
        with self._lock:
            return [
                session.head
                for session in self._sessions.values()
                if any(
                    whose in ("", session.head.agent) and what == session.head.name
                    for whose, what in meant(name, agent)
                )
            ]

    def rename(self, head: Head, name: str, *, wait: float, pause: Pause) -> Head:
        def act(session: _Session) -> Head:
            if name != head.name and (head.agent, name) in self._sessions:
                raise taken(head.agent, name)
            del self._sessions[head.agent, head.name]
            self._sessions[head.agent, name] = session
            session.head = session.head._replace(name=name)
            return session.head

        if head.uid == ABSENT:
            raise changed(head.name)
        ask = Ask(head.agent, head.name, "", uid=head.uid, wait=wait)
        return self._when_free(ask, pause, act)

    def delete(self, head: Head) -> None:
        with self._lock:
            session = self._sessions.get((head.agent, head.name))
            if session is None or session.head.uid != head.uid:
                raise changed(head.name)
            if session.running is not None and time.monotonic() < session.expires:
                raise busy(head.name, _holder(session), _now())
            del self._sessions[head.agent, head.name]
            del self._by_uid[head.uid]

    def health(self) -> Iterator[Finding]:
        from flue_cli.stores.finding import Finding

        yield Finding("ok", "sessions are kept in memory, as long as the process lives")

    def disconnect(self) -> None:
        """Nothing to let go of."""

    def close(self) -> None:
        """Nothing to let go of: the sessions live on until the store itself does not."""

    def _when_free(
        self, ask: Ask, pause: Pause, act: Act[Result], *, early: Act[Result | None] | None = None
    ) -> Result:
        """Do `act` to the session once it is free and ours; what `early` finds needs no waiting."""
        ticket = object()
        uid = ask.uid

        def attempt() -> Result | Held:
            nonlocal uid
            with self._lock:
                session = self._sessions.get((ask.agent, ask.name))
                if early and session and uid in (ABSENT, session.head.uid):
                    found = early(session)
                    if found is not None:
                        return found
                session = self._admit(session, ask, uid)
                uid = session.head.uid
                first_in_line = not session.queue or session.queue[0] is ticket
                if first_in_line and (session.running is None or time.monotonic() >= session.expires):
                    return act(session)
                if ticket not in session.queue and ask.wait > 0:
                    session.queue.append(ticket)
                place = session.queue.index(ticket) + 1 if ticket in session.queue else 1
                return Held(_holder(session), place)

        try:
            return wait_for(attempt, ask, pause)
        finally:
            with self._lock:
                for session in self._sessions.values():
                    if ticket in session.queue:
                        session.queue.remove(ticket)

    def _admit(self, session: _Session | None, ask: Ask, uid: int) -> _Session:
        let_in(ask, uid, session.head.uid if session else ABSENT)
        if session is None:
            self._last_uid += 1
            session = _Session(self._last_uid, ask.agent, ask.name, _now())
            self._sessions[ask.agent, ask.name] = session
            self._by_uid[self._last_uid] = session
        return session

    def _replay(self, session: _Session, ask: Ask) -> Replayed | None:
        if ask.key is None:
            return None
        for entry in session.entries:
            if entry.key == ask.key and entry.outcome == "completed":
                same_prompt(ask, entry.prompt)
                return Replayed(session.head, deepcopy(entry))
        return None

    def _take(self, session: _Session, ask: Ask) -> Begun:
        interrupted = None
        if session.running is not None:
            self._settle(session, session.running._replace(outcome="interrupted", error=INTERRUPTED))
            interrupted = deepcopy(session.entries[-1]._replace(data=""))
        session.fence += 1
        session.expires = time.monotonic() + self.lease_seconds
        self._touch(session)
        head = session.head
        data = self.data_at(head, head.turn)
        now = _now()
        session.running = Entry(
            head.turn + 1, "prompt", "running", ask.key, ask.prompt, None, (), now, None, None, {}, data
        )
        return Begun(
            Lease(head, session.fence, 0, head.turn + 1, now, ask.prompt, ask.key, data), interrupted
        )

    def _settle(self, session: _Session, entry: Entry) -> Head:
        now = _now()
        session.entries.append(entry._replace(finished_at=now))
        count = session.head.messages + len(history_of(entry))
        session.totals.append(count)
        session.running = None
        session.head = session.head._replace(
            version=session.head.version + 1, turn=entry.turn, messages=count, updated_at=now
        )
        return session.head

    def _owned(self, lease: Lease) -> tuple[_Session, Entry]:
        session = self._by_uid.get(lease.head.uid)
        if (
            session is None
            or session.running is None
            or (session.head.version, session.fence) != (lease.head.version, lease.fence)
        ):
            raise lost(lease)
        return session, session.running

    def _seen(self, head: Head) -> _Session:
        session = self._by_uid.get(head.uid)
        if session is None:
            raise changed(head.name)
        return session

    def _touch(self, session: _Session) -> None:
        self._last_use += 1
        session.used = self._last_use


def _holder(session: _Session) -> Holder:
    return Holder(0, "", session.running.started_at if session.running else _now())


def _summary(session: _Session) -> Summary:
    head = session.head
    last = session.running or (session.entries[-1] if session.entries else None)
    preview = last.prompt[:PREVIEW] if last else ""
    return Summary(head.uid, head.agent, head.name, head.turn, head.created_at, head.updated_at, preview)


def _now() -> int:
    return time.time_ns() // 1000
