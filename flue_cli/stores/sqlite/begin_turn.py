"""The beginning of a turn: what a crash left is settled, the prompt recorded, the lease taken."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from flue_cli import times
from flue_cli.stores.records import BegunTurn, Entry, ReplayedTurn, TurnRequest
from flue_cli.stores.rules import check_same_prompt
from flue_cli.stores.sqlite import entry_queries, forks, timeline
from flue_cli.stores.sqlite.entry_rows import insert_running, interrupt
from flue_cli.stores.sqlite.locking.process_liveness import LeaseOwner, lease_term
from flue_cli.stores.sqlite.locking.session_lock import SessionLocks
from flue_cli.stores.sqlite.session_rows import SessionRow, load_session, take

if TYPE_CHECKING:
    from flue_cli.stores.records import Pause


class TurnStarter:
    """The beginning of the turns of one store, as this process does it."""

    def __init__(self, owner: LeaseOwner, claims: SessionLocks) -> None:
        self._owner = owner
        self._locks = claims

    def begin(self, ask: TurnRequest, pause: Pause, lease_seconds: float) -> BegunTurn | ReplayedTurn:
        """Begin a turn; see Store.begin."""

        def act(db: sqlite3.Connection, state: SessionRow) -> BegunTurn | ReplayedTurn:
            return self._take(db, state, ask, lease_seconds)

        def replay(db: sqlite3.Connection, state: SessionRow) -> ReplayedTurn | None:
            return _replay(db, state, ask)

        return self._locks.when_free(ask, pause, act, early=replay)

    def settled(self, db: sqlite3.Connection, state: SessionRow) -> tuple[SessionRow, Entry | None]:
        """The session once the prompt that a crash left unanswered is settled, and that prompt."""
        if state.running is None:
            return state, None
        interrupted = interrupt(db, state, state.running, times.now())
        return load_session(db, state.head.agent, state.head.name) or state, interrupted

    def _take(
        self, db: sqlite3.Connection, state: SessionRow, ask: TurnRequest, lease_seconds: float
    ) -> BegunTurn:
        """Settle what a crash left, record the prompt as running, take the lease."""
        self._owner.acquire()
        now = times.now()
        state, interrupted = self.settled(db, state)
        fork = forks.fork_undone_branch(db, state)
        lease = insert_running(db, state, ask, entry_queries.data_at(db, state.head, state.head.turn), now)
        take(db, state, lease, self._owner.name, lease_term(lease_seconds))
        self._locks.begun(lease)
        return BegunTurn(lease, interrupted, fork)


def _replay(db: sqlite3.Connection, state: SessionRow, ask: TurnRequest) -> ReplayedTurn | None:
    """The turn that this key completed before, wherever on the session's tree it is."""
    if ask.key is None:
        return None
    row = timeline.find_completed_key(db, state, ask.key)
    if row is None:
        return None
    identity, line, turn = row
    entry = entry_queries.one_entry(db, identity, ask.name)
    check_same_prompt(ask, entry.prompt)
    there = state.head._replace(branch=line, turn=turn)
    return ReplayedTurn(state.head, entry._replace(data=entry_queries.data_at(db, there, turn)))
