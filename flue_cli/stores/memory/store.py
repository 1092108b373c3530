"""Sessions that live as long as the process: for tests and `--no-save`."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import deepcopy
from typing import TYPE_CHECKING, Any, TypeVar

from flue_cli import times
from flue_cli.agents.api import Message
from flue_cli.errors import UsageError
from flue_cli.stores.contract_errors import (
    lease_lost_error,
    session_busy_error,
    session_changed_error,
    session_exists_error,
)
from flue_cli.stores.memory.sessions import Session, Sessions
from flue_cli.stores.queueing import SessionTaken, wait_for_session
from flue_cli.stores.records import (
    ABSENT,
    LEASE_SECONDS,
    BegunTurn,
    Entry,
    ForkOrigin,
    HealthFinding,
    Lease,
    Pause,
    ReplayedTurn,
    SearchHit,
    SessionHead,
    SessionSummary,
    TurnFailure,
    TurnRequest,
    TurnResult,
)
from flue_cli.stores.rules import (
    INTERRUPTED,
    admit_agent_origin,
    candidate_names,
    check_all_unchanged,
    check_expectation,
    check_label_turn,
    check_same_prompt,
    check_turn,
    check_unchanged,
    check_unique_keys,
    is_of_project,
    messages_of_entry,
    request_for,
)
from flue_cli.text import safe_line

if TYPE_CHECKING:
    from flue_cli.stores.contract import ProgressCallback
    from flue_cli.stores.statistics import Statistics

_NO_FILE = "sessions in memory end with the process: there is nothing to back up or restore"

Result = TypeVar("Result")
MemoryAction = Callable[[Session], Result]


class MemoryStore:
    """The contract without a disk; a lease is held by a thread and dies only by expiry."""

    is_ephemeral = True
    files: tuple[str, ...] = ()

    def __init__(self, url: str = "memory:") -> None:
        if url.removeprefix("memory:").strip("/"):
            raise UsageError(f"memory: takes no path, but got '{safe_line(url)}'", hint="memory: is all")
        self.url = "memory:"
        self.lease_seconds = LEASE_SECONDS
        self._lock = threading.RLock()
        self._sessions = Sessions()

    # Reading

    def head(self, agent: str, name: str) -> SessionHead:
        with self._lock:
            session = self._sessions.by_name.get((agent, name))
            return session.head if session else SessionHead(ABSENT, agent, name)

    def entries(
        self, head: SessionHead, first: int, last: int, *, with_data: bool = False
    ) -> Iterator[Entry]:
        if not head.turn:
            return
        with self._lock:
            found = self._sessions.branch_of(head).entries[max(first, 1) - 1 : max(0, min(last, head.turn))]
        for entry in found:
            yield deepcopy(entry if with_data else entry._replace(data=""))

    def unsettled_prompt(self, head: SessionHead) -> Entry | None:
        with self._lock:
            session = self._sessions.by_uid.get(head.uid)
            if session is None or session.running is None:
                return None
            outcome = "running" if session.is_held else "interrupted"
            return session.running._replace(data="", outcome=outcome)

    def messages(self, head: SessionHead, start: int, stop: int) -> list[Message]:
        stop = min(stop, head.messages)
        found: list[Message] = []
        if start >= stop:
            return found
        with self._lock:
            line = self._sessions.branch_of(head)
            turn = bisect_right(line.totals, start)
            position = line.messages_after(turn)
            while position < stop:
                for message in messages_of_entry(line.entries[turn]):
                    if start <= position < stop:
                        found.append(deepcopy(message))  # whoever reads may change what it read
                    position += 1
                turn += 1
            return found

    def data_at(self, head: SessionHead, turn: int) -> str:
        with self._lock:
            check_turn(head, turn)
            return self._sessions.branch_of(head).entries[turn - 1].data if turn else "{}"

    def head_at(self, head: SessionHead, turn: int) -> SessionHead:
        check_turn(head, turn)
        if turn in (0, head.turn):
            return head if turn else head._replace(turn=0, messages=0, updated_at=head.created_at)
        with self._lock:
            line = self._sessions.branch_of(head)
            when = line.entries[turn - 1].finished_at or head.updated_at
            return head._replace(turn=turn, messages=line.messages_after(turn), updated_at=when)

    def redo_head(self, head: SessionHead) -> SessionHead:
        with self._lock:
            session = self._sessions.by_uid.get(head.uid)
            turn = len(session.branch.entries) if session else 0
            if session is None or session.head.version != head.version or turn == session.head.turn:
                return head
            return session.head._replace(turn=turn, messages=session.branch.messages_after(turn))

    def origin(self, head: SessionHead) -> ForkOrigin | None:
        with self._lock:
            session = self._sessions.by_uid.get(head.uid)
            return session.origin if session else None

    def agent_origins(self, head: SessionHead) -> tuple[str, ...]:
        with self._lock:
            session = self._sessions.by_uid.get(head.uid)
            return session.agent_origins if session else ()

    def undone_forks(self, head: SessionHead) -> list[SessionHead]:
        with self._lock:
            return [session.head for session in self._sessions.undone_forks(head.uid)]

    def sessions(
        self,
        *,
        agent: str = "",
        limit: int | None = None,
        with_undone_forks: bool = False,
        since: int | None = None,
        project: str = "",
        before: int | None = None,
    ) -> list[SessionSummary]:
        with self._lock:
            newest_first = sorted(self._sessions.by_uid.values(), key=lambda session: -session.use_number)
            found = [
                session.summary
                for session in newest_first
                if agent in ("", session.head.agent)
                and (with_undone_forks or not session.is_undone_fork)
                and (before is None or session.use_number < before)
                and (since is None or session.used_at >= since)
                and (not project or is_of_project(session.agent_origins, project))
            ]
            return found[:limit]

    def resolve(self, name: str, *, agent: str = "") -> list[SessionHead]:
        with self._lock:
            return [
                session.head
                for session in self._sessions.by_uid.values()
                if any(
                    whose in ("", session.head.agent) and what == session.head.name
                    for whose, what in candidate_names(name, agent)
                )
            ]

    def search(
        self,
        terms: Sequence[str],
        *,
        agent: str = "",
        limit: int | None = None,
        ranked: bool = False,
        with_undone_forks: bool = False,
    ) -> list[SearchHit]:
        from flue_cli.stores.memory.search import search_sessions
        from flue_cli.stores.search_query import SearchQuery

        with self._lock:
            sessions = [
                session
                for session in self._sessions.by_uid.values()
                if agent in ("", session.head.agent) and (with_undone_forks or not session.is_undone_fork)
            ]
            return search_sessions(
                sessions, SearchQuery(terms), limit=limit, ranked=ranked, undone=with_undone_forks
            )

    def reindex(self) -> None:
        """Nothing to do: every search looks through everything."""

    # Upkeep

    def statistics(self, *, agent: str = "", ahead: int = 0) -> Statistics:
        from flue_cli.stores.memory import stats
        from flue_cli.stores.statistics import compute_statistics

        with self._lock:
            return compute_statistics(*stats.count_entries(self._sessions.by_uid.values(), agent, ahead))

    def change_token(self) -> object:
        with self._lock:
            return tuple(
                (uid, session.head.version, session.head.agent, session.head.name, session.fence)
                for uid, session in self._sessions.by_uid.items()
            )

    def reclaim_space(self, seconds: float) -> int:
        return 0

    def back_up(self, file: str, advance: ProgressCallback, *, force: bool = False) -> None:
        raise UsageError(_NO_FILE)

    def restore(self, file: str, advance: ProgressCallback, *, force: bool = False) -> str:
        raise UsageError(_NO_FILE)

    def health(self) -> Iterator[HealthFinding]:
        yield HealthFinding("ok", "sessions are kept in memory, as long as the process lives")

    # Turns

    def begin(self, request: TurnRequest, pause: Pause) -> BegunTurn | ReplayedTurn:
        def take(session: Session) -> BegunTurn | ReplayedTurn:
            return self._start_turn(session, request)

        return self._run_when_free(
            request, pause, take, shortcut=lambda session: self._completed_turn(session, request)
        )

    def renew(self, lease: Lease) -> None:
        with self._lock:
            self._leased_session(lease)[0].expires = time.monotonic() + self.lease_seconds

    def commit(self, lease: Lease, result: TurnResult) -> SessionHead:
        return self._end_turn(lease, outcome="completed", **result._asdict())

    def abandon(self, lease: Lease, failure: TurnFailure) -> SessionHead:
        return self._end_turn(lease, **failure._asdict())

    # The timeline

    def move_head(self, head: SessionHead, turn: int, *, wait: float, pause: Pause) -> SessionHead:
        def act(session: Session) -> SessionHead:
            check_unchanged(head, session.head)
            check_turn(session.head._replace(turn=len(session.branch.entries)), turn)
            self._settle_interrupted(session)
            if turn == session.head.turn:
                return session.head
            self._sessions.mark_used(session)
            return self._sessions.move_head(session, turn, times.now())

        return self._run_when_free(request_for(head, wait), pause, act)

    def edit(self, head: SessionHead, data: str, *, wait: float, pause: Pause) -> SessionHead:
        def act(session: Session) -> SessionHead:
            check_unchanged(head, session.head)
            self._settle_interrupted(session)
            self._sessions.fork_undone_branch(session)
            self._sessions.mark_used(session)
            turn, now = session.head.turn + 1, times.now()
            entry = Entry(turn, "edit", "completed", None, "", None, (), now, now, None, {}, data)
            return self._settle_entry(session, entry)

        return self._run_when_free(request_for(head, wait), pause, act)

    def set_label(self, head: SessionHead, turn: int, label: str) -> None:
        check_label_turn(head, turn)
        with self._lock:
            self._sessions.set_label(head, turn, label)

    def fork(self, head: SessionHead, name: str) -> SessionHead:
        with self._lock:
            session = self._sessions.by_uid.get(head.uid)
            if session is None:
                raise session_changed_error(head.name)
            entries = self._sessions.branch_of(head).entries[: head.turn] if head.turn else []
            origin = ForkOrigin(head.uid, session.head.name, head.turn)
            fork = self.import_session(head.agent, name, entries, origin)
            self._sessions.by_uid[fork.uid].agent_origins = session.agent_origins
            return fork

    def import_session(
        self, agent: str, name: str, entries: Iterable[Entry], origin: ForkOrigin | None = None
    ) -> SessionHead:
        numbered = enumerate(check_unique_keys(entries), 1)
        copies = [deepcopy(entry._replace(turn=number)) for number, entry in numbered]
        origin = origin._replace(is_undone_fork=False) if origin else None
        with self._lock:
            if (agent, name) in self._sessions.by_name:
                raise session_exists_error(agent, name)
            return self._sessions.add(agent, name, copies, origin).head

    def rename(
        self, head: SessionHead, name: str, *, agent: str = "", wait: float, pause: Pause
    ) -> SessionHead:
        new = (agent or head.agent, name)

        def act(session: Session) -> SessionHead:
            if new != (head.agent, head.name) and new in self._sessions.by_name:
                raise session_exists_error(*new)
            return self._sessions.rename(session, *new)

        return self._run_when_free(request_for(head, wait), pause, act)

    def delete(self, head: SessionHead, *, seen_forks: Sequence[SessionHead] | None = None) -> None:
        with self._lock:
            session = self._sessions.by_name.get((head.agent, head.name))
            if session is None or session.head.uid != head.uid:
                raise session_changed_error(head.name)
            going = [session, *self._sessions.undone_forks(head.uid)]
            for one in going:
                if one.is_held:
                    raise session_busy_error(one.head.name, one.holder, times.now())
            if seen_forks is not None:
                check_all_unchanged((head, *seen_forks), [one.head for one in going])
            for one in going:
                self._sessions.remove(one)

    def share_commits(self) -> None:
        """Nothing to share: there is no disk to wait for."""

    def disconnect(self) -> None:
        """Nothing to let go of."""

    def close(self) -> None:
        """Nothing to let go of: the sessions live on until the store itself does not."""

    # A session's turn in the line

    def _run_when_free(
        self,
        request: TurnRequest,
        pause: Pause,
        act: MemoryAction[Result],
        *,
        shortcut: MemoryAction[Result | None] | None = None,
    ) -> Result:
        """Do `act` to the session once it is free and ours; what `early` finds needs no waiting."""
        ticket = object()
        uid = request.uid

        def attempt() -> Result | SessionTaken:
            nonlocal uid
            with self._lock:
                session = self._sessions.by_name.get((request.agent, request.name))
                if shortcut and session and uid in (ABSENT, session.head.uid):
                    found = shortcut(session)
                    if found is not None:
                        return found
                check_expectation(request, uid, session.head.uid if session else ABSENT)
                admit_agent_origin(request, session.agent_origins if session else ())
                session = session or self._sessions.add(request.agent, request.name)
                uid = session.head.uid
                first_in_line = not session.wait_queue or session.wait_queue[0] is ticket
                if first_in_line and not session.is_held:
                    return act(session)
                if ticket not in session.wait_queue and request.wait > 0:
                    session.wait_queue.append(ticket)
                place = session.wait_queue.index(ticket) + 1 if ticket in session.wait_queue else 1
                return SessionTaken(session.holder, place)

        try:
            return wait_for_session(attempt, request, pause)
        finally:
            with self._lock:
                for session in self._sessions.by_uid.values():
                    if ticket in session.wait_queue:
                        session.wait_queue.remove(ticket)

    def _completed_turn(self, session: Session, request: TurnRequest) -> ReplayedTurn | None:
        entry = self._sessions.find_completed_key(session, request.key) if request.key else None
        if entry is None:
            return None
        check_same_prompt(request, entry.prompt)
        return ReplayedTurn(session.head, deepcopy(entry))

    def _start_turn(self, session: Session, request: TurnRequest) -> BegunTurn:
        interrupted = self._settle_interrupted(session)
        fork = self._sessions.fork_undone_branch(session)
        session.agent_origins = admit_agent_origin(request, session.agent_origins)
        session.fence += 1
        session.expires = time.monotonic() + self.lease_seconds
        self._sessions.mark_used(session)
        session.running_number = self._sessions.next_entry_number()
        head, turn, now = session.head, session.head.turn + 1, times.now()
        data = self.data_at(head, head.turn)
        session.running = Entry(
            turn, "prompt", "running", request.key, request.prompt, None, (), now, None, None, {}, data
        )
        return BegunTurn(
            Lease(head, session.fence, 0, turn, now, request.prompt, request.key, data), interrupted, fork
        )

    def _settle_interrupted(self, session: Session) -> Entry | None:
        """Settle the prompt that was forgotten, if there is one."""
        if session.running is None:
            return None
        self._settle_entry(session, session.running._replace(outcome="interrupted", error=INTERRUPTED))
        return deepcopy(session.branch.entries[-1]._replace(data=""))

    def _settle_entry(self, session: Session, entry: Entry) -> SessionHead:
        now = times.now()
        number = session.running_number if session.running else self._sessions.next_entry_number()
        session.branch.add(entry._replace(finished_at=now), session.head.uid, number)
        session.running = None
        return self._sessions.move_head(session, entry.turn, now)

    def _end_turn(self, lease: Lease, **fields: Any) -> SessionHead:
        with self._lock:
            session, running = self._leased_session(lease)
            return self._settle_entry(session, deepcopy(running._replace(**fields)))

    def _leased_session(self, lease: Lease) -> tuple[Session, Entry]:
        session = self._sessions.by_uid.get(lease.head.uid)
        if (
            session is None
            or session.running is None
            or (session.head.version, session.fence) != (lease.head.version, lease.fence)
        ):
            raise lease_lost_error(lease)
        return session, session.running
