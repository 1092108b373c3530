"""Session locks: one turn at a time on each session, across threads and processes.

The lock is the lease in the session's row. A request that finds it taken joins the wait queue and polls; a
lease or a place in the queue is valid as long as its owner lives (process_liveness.py).
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from flue_cli import times
from flue_cli.errors import SessionBusy, StoreLocked
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
    """A request that waits: the uid of the session it waits for, and its ticket in the wait queue.

    Either is 0 until it is known.
    """

    def __init__(self, uid: int) -> None:
        self.uid = uid
        self.ticket = 0


class SessionLocks:
    """The locks of this process on the sessions of one store."""

    def __init__(self, connections: Connections, owner: LeaseOwner) -> None:
        self._connections = connections
        self._owner = owner
        self._queue = WaitQueue(connections, owner)
        self._running_turns: set[tuple[int, int]] = set()  # (uid, fence) of those in this process

    def run_when_free(
        self,
        request: TurnRequest,
        pause: Pause,
        action: SessionAction[Result],
        *,
        shortcut: SessionAction[Result | None] | None = None,
    ) -> Result:
        """Wait for the session, then run `action` on it in one transaction and return the result.

        If `shortcut` has a result, other than None, that is returned without waiting. After `request.wait`
        seconds raises SessionBusy, or StoreLocked if another program still locks the store. Also raises the
        errors of `admit_request`.
        """
        waiter = _Waiter(request.uid)

        locked: StoreLocked | None = None

        def attempt() -> Result | SessionTaken:
            nonlocal locked
            locked = None
            try:
                return self._attempt(request, waiter, action, shortcut)
            except StoreLocked as error:
                # Another program holds SQLite's write lock: wait for it as for a turn.
                locked = error
                return SessionTaken(LeaseHolder(0, "", times.now()), 1)

        try:
            return wait_for_session(attempt, request, pause)
        except SessionBusy:
            if locked:
                raise locked from None
            raise
        finally:
            if waiter.ticket:
                self._queue.leave(waiter.ticket)

    def _attempt(
        self,
        request: TurnRequest,
        waiter: _Waiter,
        action: SessionAction[Result],
        shortcut: SessionAction[Result | None] | None,
    ) -> Result | SessionTaken:
        if waiter.ticket:
            taken = self._poll(request, waiter)
            if taken:
                return taken
        # Commits of other sessions take milliseconds each: no reason to refuse a request with wait 0.
        patience = 0.0 if request.wait else 5.0
        create_store = waiter.uid == ABSENT
        with self._connections.transaction(create_store=create_store, patience=patience, group=True) as db:
            state = load_session(db, request.agent, request.name)
            if shortcut and state and waiter.uid in (ABSENT, state.head.uid):
                known = shortcut(db, state)
                if known is not None:
                    return known
            state = admit_request(db, state, request, waiter.uid)
            waiter.uid = state.head.uid
            taken = self._session_taken(db, state, waiter)
            if not taken:
                if state.is_awaited:
                    self._queue.clear(db, waiter.uid, waiter.ticket)
                result = action(db, state)
        if taken:
            if not waiter.ticket and request.wait > 0:
                waiter.ticket = self._queue.join(waiter.uid)
            return taken
        waiter.ticket = 0  # the transaction that deleted it is committed
        return result

    def _poll(self, request: TurnRequest, waiter: _Waiter) -> SessionTaken | None:
        """Return the turn or the waiters ahead of a waiter that has a ticket; None if it may try.

        Takes no lock, and writes only to renew the ticket, which is rare.
        """
        with self._connections.reader() as db:
            state = load_session(db, request.agent, request.name) if db else None
            if db is None or state is None or state.head.uid != waiter.uid:
                return None
            self._queue.renew(db, waiter.ticket)
            return self._session_taken(db, state, waiter)

    def _session_taken(
        self, db: sqlite3.Connection, state: SessionRow, waiter: _Waiter
    ) -> SessionTaken | None:
        """Return the turn or the waiters ahead of `waiter`; None if the session is free for it."""
        position = self._queue.position(db, waiter.uid, waiter.ticket) if state.is_awaited else 1
        if position == 1 and not self.is_held(state):
            return None
        return SessionTaken(self.holder(state), position)

    def add_running_turn(self, lease: Lease) -> None:
        """Remember that a turn of this process holds the session."""
        self._running_turns.add((lease.head.uid, lease.fence))

    def remove_running_turn(self, lease: Lease) -> None:
        """Forget the turn, also if its end could not be written: then nothing else would free the session."""
        self._running_turns.discard((lease.head.uid, lease.fence))

    def is_held(self, state: SessionRow) -> bool:
        """True if a turn that still runs holds the session."""
        if state.owner is None:
            return False
        if state.owner == self._owner.name and (state.head.uid, state.fence) not in self._running_turns:
            return False  # it ended, but its end could not be written
        return self._owner.is_lease_valid(state.owner, state.expires)

    def holder(self, state: SessionRow) -> LeaseHolder:
        """Return the process that holds the session."""
        pid, host = pid_and_host(state.owner or "")
        return LeaseHolder(pid, host, state.since or times.now())
