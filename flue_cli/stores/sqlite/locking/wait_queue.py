"""The wait queue of a session: its prompts in order of arrival.

A place in it is a row, a ticket. It counts as long as its owner lives; a ticket whose process died is
skipped at once. Nothing here needs to survive a power failure.
"""

from __future__ import annotations

import sqlite3

from flue_cli.stores.records import LEASE_SECONDS
from flue_cli.stores.sqlite.connections import Connections
from flue_cli.stores.sqlite.locking.process_liveness import LeaseOwner, LeaseTerm, lease_term

_RENEWAL_AGE = int(LEASE_SECONDS * 1_000_000 / 3)
"""Age at which the owner of a ticket renews its claim, in microseconds."""


class WaitQueue:
    """The waiting prompts of every session of one store, as seen by one process."""

    def __init__(self, connections: Connections, owner: LeaseOwner) -> None:
        self._connections = connections
        self._owner = owner

    def position(self, db: sqlite3.Connection, session: int, ticket: int) -> int:
        """The place of `ticket` in the queue (0: behind all): 1 is next. Dead waiters ahead do not count.

        Liveness is checked only up to the first live waiter; everybody behind it waits anyway.
        """
        rows = db.execute(
            "SELECT owner, expires_at, expires_monotonic FROM waiting"
            " WHERE session = ? AND (? = 0 OR ticket < ?) ORDER BY ticket",
            (session, ticket, ticket),
        ).fetchall()
        for number, (owner, *expires) in enumerate(rows):
            if self._owner.is_lease_valid(owner, LeaseTerm(*expires)):
                return 1 + len(rows) - number
        return 1

    def join(self, session: int) -> int:
        """Take a ticket at the end of the queue; 0 if the session is gone."""
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
        """Keep the claim on a place; most calls find that it is fresh enough and write nothing."""
        row = db.execute("SELECT expires_monotonic FROM waiting WHERE ticket = ?", (ticket,)).fetchone()
        if row and row[0] + _RENEWAL_AGE < lease_term().monotonic:
            with self._connections.transaction(durable=False) as writer:
                writer.execute(
                    "UPDATE waiting SET expires_at = ?, expires_monotonic = ? WHERE ticket = ?",
                    (*lease_term(), ticket),
                )

    def leave(self, ticket: int) -> None:
        """Give up a place."""
        with self._connections.transaction(durable=False) as db:
            db.execute("DELETE FROM waiting WHERE ticket = ?", (ticket,))

    def clear(self, db: sqlite3.Connection, session: int, ticket: int) -> None:
        """Remove `ticket`, whose turn it is, and those before it, whose owners are dead (0: all)."""
        db.execute(
            "DELETE FROM waiting WHERE session = ? AND (? = 0 OR ticket <= ?)", (session, ticket, ticket)
        )
