"""When the index of words is brought up to date, and when it lets go of what was deleted."""

from __future__ import annotations

import sqlite3
import time

from flue_cli.errors import StoreError
from flue_cli.stores.sqlite import words
from flue_cli.stores.sqlite.connections import Connections

_PATIENCE = 2.0
"""How long a search may spend on the index before it looks for anything, in seconds."""
_AT_ONCE = 1000
"""How many entries it brings into the index in one transaction, which keeps other writers out."""
_SMALL = 4096
"""An index of up to so many entries is swept in the time that a few commits take."""


class Indexing:
    """The index of one store, as this process cares for it."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._owes = False

    def catch_up(self) -> None:
        """Before a search: bring the index up to date if it is far behind, and sweep what a crash left."""
        enough = time.monotonic() + _PATIENCE
        try:
            while time.monotonic() < enough:
                with self._connections.reading() as db:
                    found = words.extent(db) if db else None
                if found is None or (found.newest - found.upto <= words.LOOKED_THROUGH and not found.erased):
                    return
                with self._connections.writing(durable=False, patience=0) as db:
                    words.sweep(db) if found.erased else words.catch_up(db, _AT_ONCE)
                if found.erased:
                    self._empty_log()
        except StoreError:  # read-only, full or busy: what is not in the index is looked through
            return

    def renew(self) -> None:
        """Make the index anew, of all that there is."""
        with self._connections.reading() as db:
            if db is None:
                return
        with self._connections.writing() as db:
            words.clear(db)
        behind = True
        while behind:
            with self._connections.writing(durable=False) as db:
                words.catch_up(db, _AT_ONCE)
                found = words.extent(db)
                behind = found.upto < found.newest
        self._empty_log()

    def erased(self, db: sqlite3.Connection) -> None:
        """In a transaction that deleted something: sweep the index now, or if that takes long, in the end.

        Deleting many sessions would else go over all of a large index for each of them.
        """
        found = words.extent(db)
        if found.erased and found.upto <= _SMALL:
            words.sweep(db)
        elif found.erased:
            self._owes = True

    def settle(self) -> None:
        """Sweep what was left for the end."""
        if not self._owes:
            return
        self._owes = False
        try:
            with self._connections.writing() as db:
                words.sweep(db)
            self._empty_log()
        except StoreError:  # the store remembers, and the next search or delete sees to it
            return

    def _empty_log(self) -> None:
        """The log still has what was just overwritten in the file."""
        with self._connections.reading() as db:
            if db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
