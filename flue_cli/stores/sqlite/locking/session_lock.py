"""Session locks: a request waits for its place in the queue and for the lease of the turn before it."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from flue_cli import times
from flue_cli.errors import StoreLocked
from flue_cli.stores.queueing import SessionTaken, wait_for_session
from flue_cli.stores.records import ABSENT, Lease, LeaseHolder, TurnRequest
from flue_cli.stores.sqlite.locking.process_liveness import LeaseOwner, pid_and_host
from flue_cli.stores.sqlite.locking.wait_queue import WaitQueue
from flue_cli.stores.sqlite.session_rows import SessionRow, admit_request, load_session

if TYPE_CHECKING:
    from flue_cli.stores.records import Pause
    from flue_cli.stores.sqlite.connections import Connections

Result = TypeVar("Result")
SessionAction = Callable[[sqlite3.Connection, SessionRow], Result]


class _Waiter:
    """A waiting prompt: the session it has seen (0: none yet), and its ticket in the queue (0: none)."""

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.ticket = 0


class SessionLocks:
    """The locks of this process on the sessions of one store."""

    def __init__(self, connections: Connections, owner: LeaseOwner) -> None:
        self._connections = connections
        self._owner = owner
        self._queue = WaitQueue(connections, owner)
        self._running_turns: set[tuple[int, int]] = set()  # (uid, fence) of turns that run in this process

    def run_when_free(
        self,
        request: TurnRequest,
        pause: Pause,
        act: SessionAction[Result],
        *,
        shortcut: SessionAction[Result | None] | None = None,
    ) -> Result:
        """Do `act` to the session once it is free and ours, in one transaction.

        What `early` finds, if it finds anything, is the answer without waiting.
        """
        waiter = _Waiter(request.uid)

        def attempt() -> Result | SessionTaken:
            try:
                return self._attempt(request, waiter, act, shortcut)
            except StoreLocked:
                if request.wait == 0:
                    raise
                return SessionTaken(
                    LeaseHolder(0, "", times.now()), 1
                )  # some program writes: as good as a turn before us

        try:
            return wait_for_session(attempt, request, pause)
        finally:
            if waiter.ticket:
                self._queue.leave(waiter.ticket)

    def _attempt(
        self,
        request: TurnRequest,
        waiter: _Waiter,
        act: SessionAction[Result],
        shortcut: SessionAction[Result | None] | None,
    ) -> Result | SessionTaken:
        if waiter.ticket:
            held = self._poll(request, waiter)
            if held:
                return held
        # Other sessions' commits take milliseconds each: they are no reason to refuse a --wait 0.
        patience = 0.0 if request.wait else 5.0
        with self._connections.transaction(
            create_store=waiter.uid == ABSENT,
            patience=patience,
            group=True,
        ) as db:
            state = load_session(db, request.agent, request.name)
            if shortcut and state and waiter.uid in (ABSENT, state.head.uid):
                found = shortcut(db, state)
                if found is not None:
                    return found
            state = admit_request(db, state, request, waiter.uid)
            waiter.uid = state.head.uid
            place = self._queue.position(db, waiter.uid, waiter.ticket) if state.is_awaited else 1
            held = self._session_taken(state, place)
            if not held:
                if state.is_awaited:
                    self._queue.clear(db, waiter.uid, waiter.ticket)
                result = act(db, state)
        if held:
            return self._in_line(request, waiter, held)
        waiter.ticket = 0  # cleared, and committed so
        return result

    def _poll(self, request: TurnRequest, waiter: _Waiter) -> SessionTaken | None:
        """Look whether a waiter has to wait on. This takes no lock and mostly writes nothing."""
        with self._connections.reader() as db:
            state = load_session(db, request.agent, request.name) if db else None
            if db is None or state is None or state.head.uid != waiter.uid:
                return None
            self._queue.renew(db, waiter.ticket)
            place = self._queue.position(db, waiter.uid, waiter.ticket) if state.is_awaited else 1
        return self._session_taken(state, place)

    def _session_taken(self, state: SessionRow, place: int) -> SessionTaken | None:
        """The turn or the waiters ahead; None if the session is free for the one at `place`."""
        return None if place == 1 and not self.is_held(state) else SessionTaken(self.holder(state), place)

    def _in_line(self, request: TurnRequest, waiter: _Waiter, held: SessionTaken) -> SessionTaken:
        """Join the queue if the request may wait at all, and give `held` back."""
        if not waiter.ticket and request.wait > 0:
            waiter.ticket = self._queue.join(waiter.uid)
        return held

    def add_running_turn(self, lease: Lease) -> None:
        """Note that a turn of this process runs now."""
        self._running_turns.add((lease.head.uid, lease.fence))

    def remove_running_turn(self, lease: Lease) -> None:
        """Note that it does not run any more, even if its end could not be written."""
        self._running_turns.discard((lease.head.uid, lease.fence))

    def is_held(self, state: SessionRow) -> bool:
        """True if a turn of a live process holds the session."""
        if state.owner is None:
            return False
        if state.owner == self._owner.name and (state.head.uid, state.fence) not in self._running_turns:
            return False  # a turn of ours whose end could not be written
        return self._owner.is_lease_valid(state.owner, state.expires)

    def holder(self, state: SessionRow) -> LeaseHolder:
        """The process that holds the session."""
        pid, host = pid_and_host(state.owner or "")
        return LeaseHolder(pid, host, state.since or times.now())
