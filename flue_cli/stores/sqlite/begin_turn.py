"""The start of a turn, in one transaction.

A prompt that a crash left behind is settled, undone turns become a fork, the new prompt is recorded as
running, and its lease is written.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from flue_cli import times
from flue_cli.stores.records import BegunTurn, Entry, ReplayedTurn, TurnRequest
from flue_cli.stores.rules import check_same_prompt
from flue_cli.stores.sqlite import entry_queries, forks, timeline
from flue_cli.stores.sqlite.entry_rows import insert_running_entry, settle_interrupted_entry
from flue_cli.stores.sqlite.locking.process_liveness import LeaseOwner, lease_term
from flue_cli.stores.sqlite.locking.session_lock import SessionLocks
from flue_cli.stores.sqlite.session_rows import (
    SessionRow,
    add_agent_origin,
    load_session,
    take_lease,
)

if TYPE_CHECKING:
    from flue_cli.stores.records import Pause


class TurnStarter:
    """Starts the turns of this process on one store."""

    def __init__(self, owner: LeaseOwner, locks: SessionLocks) -> None:
        self._owner = owner
        self._locks = locks

    def begin(self, request: TurnRequest, pause: Pause, lease_seconds: float) -> BegunTurn | ReplayedTurn:
        """Start a turn as `Store.begin` does."""

        def act(db: sqlite3.Connection, state: SessionRow) -> BegunTurn | ReplayedTurn:
            return self._start_turn(db, state, request, lease_seconds)

        def replay(db: sqlite3.Connection, state: SessionRow) -> ReplayedTurn | None:
            return _completed_turn(db, state, request)

        return self._locks.run_when_free(request, pause, act, shortcut=replay)

    def settle_interrupted(
        self, db: sqlite3.Connection, state: SessionRow
    ) -> tuple[SessionRow, Entry | None]:
        """Settle the prompt that a crash left behind, if any; return the session as it is then, and it."""
        if state.running is None:
            return state, None
        interrupted = settle_interrupted_entry(db, state, state.running, times.now())
        return load_session(db, state.head.agent, state.head.name) or state, interrupted

    def _start_turn(
        self, db: sqlite3.Connection, state: SessionRow, request: TurnRequest, lease_seconds: float
    ) -> BegunTurn:
        self._owner.acquire()
        now = times.now()
        state, interrupted = self.settle_interrupted(db, state)
        fork = forks.fork_undone_branch(db, state)
        lease = insert_running_entry(
            db, state, request, entry_queries.data_after_turn(db, state.head, state.head.turn), now
        )
        add_agent_origin(db, state, request)
        take_lease(db, state, lease, self._owner.name, lease_term(lease_seconds))
        self._locks.add_running_turn(lease)
        return BegunTurn(lease, interrupted, fork)


def _completed_turn(db: sqlite3.Connection, state: SessionRow, request: TurnRequest) -> ReplayedTurn | None:
    """Return the turn that the request's key completed before, undone or not; None if there is none."""
    if request.key is None:
        return None
    row = timeline.find_completed_key(db, state, request.key)
    if row is None:
        return None
    identity, branch, turn = row
    entry = entry_queries.load_entry(db, identity, request.name)
    check_same_prompt(request, entry.prompt)
    replayed_head = state.head._replace(branch=branch, turn=turn)
    return ReplayedTurn(
        state.head, entry._replace(data=entry_queries.data_after_turn(db, replayed_head, turn))
    )
