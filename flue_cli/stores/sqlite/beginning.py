"""How a turn begins: where this process left the session, or where it finds it."""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

from flue_cli.errors import StoreLocked
from flue_cli.stores.records import ABSENT, Ask, Begun, Entry, Head, Replayed
from flue_cli.stores.rules import same_prompt
from flue_cli.stores.sqlite import reading, tree
from flue_cli.stores.sqlite.claims import Claims
from flue_cli.stores.sqlite.connections import Connections
from flue_cli.stores.sqlite.entries import interrupt, record
from flue_cli.stores.sqlite.left import Left
from flue_cli.stores.sqlite.owner import Owner, term
from flue_cli.stores.sqlite.rows import State, load_state, now_us, retake, take

if TYPE_CHECKING:
    from flue_cli.stores.records import Pause


class Beginning:
    """The beginning of the turns of one store, as this process does it."""

    def __init__(self, connections: Connections, owner: Owner, claims: Claims, left: Left) -> None:
        self._connections = connections
        self._owner = owner
        self._claims = claims
        self._left = left

    def begin(self, ask: Ask, pause: Pause, lease_seconds: float) -> Begun | Replayed:
        """As Store.begin does."""
        begun = self._resume(ask, lease_seconds)
        if begun:
            return begun

        def act(db: sqlite3.Connection, state: State) -> Begun | Replayed:
            return self._take(db, state, ask, lease_seconds)

        def replay(db: sqlite3.Connection, state: State) -> Replayed | None:
            return _replay(db, state, ask)

        return self._claims.when_free(ask, pause, act, early=replay)

    def settled(self, db: sqlite3.Connection, state: State) -> tuple[State, Entry | None]:
        """The session once the prompt that a crash left unanswered is settled, and that prompt."""
        if state.running is None:
            return state, None
        interrupted = interrupt(db, state, state.running, now_us())
        return load_state(db, state.head.agent, state.head.name) or state, interrupted

    def data(self, db: sqlite3.Connection, head: Head) -> str:
        """The data that the next turn starts from: what we left there ourselves need not be read."""
        if (data := self._left.data(head)) is not None:
            return data
        return reading.data_at(db, head, head.turn)

    def _resume(self, ask: Ask, lease_seconds: float) -> Begun | None:
        """Go on where this process left the session, without a look at it; None if it stands elsewhere.

        Or if others wait for it, or a turn key has to be looked up.
        """
        left = self._left.end(ask.agent, ask.name)
        if left is None or ask.key is not None or ask.expect == "new":
            return None
        end, data = left
        if ask.uid not in (ABSENT, end.head.uid):
            return None
        try:
            with self._connections.writing(patience=0.0, together=True) as db:
                self._owner.show()
                if not retake(db, end, self._owner.name, term(lease_seconds)):
                    return None
                lease = record(db, end, ask, data, now_us())
                self._claims.begun(lease)
        except StoreLocked:
            return None
        return Begun(lease)

    def _take(self, db: sqlite3.Connection, state: State, ask: Ask, lease_seconds: float) -> Begun:
        """Settle what a crash left, record the prompt as running, take the lease."""
        self._owner.show()
        now = now_us()
        state, interrupted = self.settled(db, state)
        tree.leave_undone(db, state)
        lease = record(db, state.end, ask, self.data(db, state.head), now)
        take(db, state, lease, self._owner.name, term(lease_seconds))
        self._claims.begun(lease)
        return Begun(lease, interrupted)


def _replay(db: sqlite3.Connection, state: State, ask: Ask) -> Replayed | None:
    """The turn that this key completed before, wherever on the session's tree it is."""
    if ask.key is None:
        return None
    row = tree.completed(db, state, ask.key)
    if row is None:
        return None
    identity, line, turn = row
    entry = reading.one_entry(db, identity, ask.name)
    same_prompt(ask, entry.prompt)
    there = state.head._replace(line=line, turn=turn)
    return Replayed(state.head, entry._replace(data=reading.data_at(db, there, turn)))
