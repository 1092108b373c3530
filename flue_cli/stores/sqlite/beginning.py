"""The beginning of a turn: what a crash left is settled, the prompt recorded, the lease taken."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from flue_cli.stores.records import Ask, Begun, Entry, Replayed
from flue_cli.stores.rules import same_prompt
from flue_cli.stores.sqlite import forks, reading, timeline
from flue_cli.stores.sqlite.claims import Claims
from flue_cli.stores.sqlite.entries import insert_running, interrupt
from flue_cli.stores.sqlite.owner import Owner, term
from flue_cli.stores.sqlite.rows import SessionRow, load_session, now_us, take

if TYPE_CHECKING:
    from flue_cli.stores.records import Pause


class Beginning:
    """The beginning of the turns of one store, as this process does it."""

    def __init__(self, owner: Owner, claims: Claims) -> None:
        self._owner = owner
        self._claims = claims

    def begin(self, ask: Ask, pause: Pause, lease_seconds: float) -> Begun | Replayed:
        """As Store.begin does."""

        def act(db: sqlite3.Connection, state: SessionRow) -> Begun | Replayed:
            return self._take(db, state, ask, lease_seconds)

        def replay(db: sqlite3.Connection, state: SessionRow) -> Replayed | None:
            return _replay(db, state, ask)

        return self._claims.when_free(ask, pause, act, early=replay)

    def settled(self, db: sqlite3.Connection, state: SessionRow) -> tuple[SessionRow, Entry | None]:
        """The session once the prompt that a crash left unanswered is settled, and that prompt."""
        if state.running is None:
            return state, None
        interrupted = interrupt(db, state, state.running, now_us())
        return load_session(db, state.head.agent, state.head.name) or state, interrupted

    def _take(self, db: sqlite3.Connection, state: SessionRow, ask: Ask, lease_seconds: float) -> Begun:
        """Settle what a crash left, record the prompt as running, take the lease."""
        self._owner.show()
        now = now_us()
        state, interrupted = self.settled(db, state)
        forks.fork_undone_branch(db, state)
        lease = insert_running(db, state, ask, reading.data_at(db, state.head, state.head.turn), now)
        take(db, state, lease, self._owner.name, term(lease_seconds))
        self._claims.begun(lease)
        return Begun(lease, interrupted)


def _replay(db: sqlite3.Connection, state: SessionRow, ask: Ask) -> Replayed | None:
    """The turn that this key completed before, wherever on the session's tree it is."""
    if ask.key is None:
        return None
    row = timeline.completed(db, state, ask.key)
    if row is None:
        return None
    identity, line, turn = row
    entry = reading.one_entry(db, identity, ask.name)
    same_prompt(ask, entry.prompt)
    there = state.head._replace(line=line, turn=turn)
    return Replayed(state.head, entry._replace(data=reading.data_at(db, there, turn)))
