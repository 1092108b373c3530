"""The wait queue of a session: prompts in order of arrival.

A place in the queue is a row of the table `waiting`, a ticket. It is valid as long as its owner lives, as a
lease is: a ticket whose process died is skipped at once.
"""

from __future__ import annotations

import sqlite3

from flue_cli.stores.records import LEASE_SECONDS
from flue_cli.stores.sqlite.connections import Connections
from flue_cli.stores.sqlite.locking.process_liveness import LeaseOwner, LeaseTerm, lease_term

_RENEWAL_AGE = int(LEASE_SECONDS * 1_000_000 / 3)
"""Age at which a ticket is renewed, in microseconds."""


class WaitQueue:
    """The wait queues of all sessions of one store, as this process uses them."""

    def __init__(self, connections: Connections, owner: LeaseOwner) -> None:
        self._connections = connections
        self._owner = owner

    def position(self, db: sqlite3.Connection, session: int, ticket: int) -> int:
        """Return the position of `ticket` in the queue, 1 for the next; ticket 0 stands behind all others.

        Dead waiters in front are not counted up to the first live one; behind it, all are.
        """
        rows = db.execute(
            "SELECT owner, expires_at, expires_monotonic FROM waiting"
            " WHERE session = ? AND (? = 0 OR ticket < ?) ORDER BY ticket",
            (session, ticket, ticket),
        ).fetchall()
        # Each check opens a file, and one live waiter is enough to wait: those behind it are not checked.
        for number, (owner, *expires) in enumerate(rows):
            if self._owner.is_lease_valid(owner, LeaseTerm(*expires)):
                return 1 + len(rows) - number
        return 1

    def join(self, session: int) -> int:
        """Take a ticket at the end of the queue; 0 if the session is gone."""
        # Not durable: after a power failure nobody waits.
        with self._connections.transaction(durable=False) as db:
            self._owner.acquire()
            if not db.execute("SELECT 1 FROM session WHERE uid = ?", (session,)).fetchone():
                return 0
            done = db.execute(
                "INSERT INTO waiting (session, owner, expires_at, expires_monotonic) VALUES (?, ?, ?, ?)",
                (session, self._owner.name, *lease_term()),
            )
            return done.lastrowid or 0

    def renew(self, db: sqlite3.Connection, ticket: int) -> None:
        """Renew a ticket if it is old enough; most calls only read."""
        row = db.execute("SELECT expires_monotonic FROM waiting WHERE ticket = ?", (ticket,)).fetchone()
        if row and row[0] + _RENEWAL_AGE < lease_term().monotonic:
            with self._connections.transaction(durable=False) as writer:
                writer.execute(
                    "UPDATE waiting SET expires_at = ?, expires_monotonic = ? WHERE ticket = ?",
                    (*lease_term(), ticket),
                )

    def leave(self, ticket: int) -> None:
        """Remove a ticket."""
        with self._connections.transaction(durable=False) as db:
            db.execute("DELETE FROM waiting WHERE ticket = ?", (ticket,))

    def clear(self, db: sqlite3.Connection, session: int, ticket: int) -> None:
        """Remove `ticket`, which is next, and those in front of it, whose owners are dead; with 0, all."""
        db.execute(
            "DELETE FROM waiting WHERE session = ? AND (? = 0 OR ticket <= ?)", (session, ticket, ticket)
        )
