"""Figures about a store, and room that is given back."""

from __future__ import annotations

import os
import sqlite3
import threading
from contextlib import closing, suppress

from flue_cli.stores.sqlite.checkpoint import empty_wal
from flue_cli.stores.sqlite.database_file import open_database
from flue_cli.stores.sqlite.entry_codec import TEXT_COLUMNS
from flue_cli.stores.statistics import DAY, SessionCount, Statistics, TurnTally, compute_statistics

_FREE_PAGE_RATIO = 10
"""Room is given back when a page in so many is free: less than that the next turns use up."""


def store_statistics(db: sqlite3.Connection, path: str, agent: str, ahead: int) -> Statistics:
    """Figures about the sessions of `agent`, or with "" of all, in one pass over the entries."""
    whose = {"agent": agent, "ahead": ahead * 1_000_000}
    db.execute("BEGIN")  # both looks see the same moment
    try:
        sessions = db.execute(
            "SELECT s.uid, s.agent, s.name, coalesce(h.total, 0), s.kept"
            " FROM session s LEFT JOIN entry h ON h.id = s.head WHERE :agent = '' OR s.agent = :agent",
            whose,
        ).fetchall()
        only = "WHERE session IN (SELECT uid FROM session WHERE agent = :agent)" if agent else ""
        # By +session, or the rows would be fetched one by one in an index's order.
        tallies = db.execute(
            f"""
            SELECT session,
                   (started_at + :ahead - ((started_at + :ahead) % {DAY} + {DAY}) % {DAY}) / {DAY} AS day,
                   sum(kind = 'prompt'), sum(kind = 'edit'), sum(kind = 'prompt' AND outcome = 'completed'),
                   sum(outcome = 'failed'), sum(outcome = 'cancelled'), sum(outcome = 'interrupted'),
                   max(CASE WHEN kind = 'prompt' AND outcome IN ('completed', 'failed', 'cancelled')
                            THEN coalesce(max(finished_at - started_at, 0), -1) ELSE -1 END),
                   turn
            FROM entry {only} GROUP BY +session, day
            """,  # noqa: S608 - our own words
            whose,
        ).fetchall()
        size = _agent_bytes(db, agent) if agent else _store_bytes(path)
    finally:
        db.execute("COMMIT")
    return compute_statistics(map(SessionCount._make, sessions), map(TurnTally._make, tallies), size)


def vacuum_file(path: str, seconds: float) -> int:
    """Give what is free in the file back to the file system; the bytes.

    VACUUM keeps writers waiting, so it is broken off after `seconds`; a store that is in use, or a disk
    that has no room for the second copy it makes, leaves things as they are. Readers go on meanwhile.
    """
    before = _store_bytes(path)
    with suppress(sqlite3.Error, OSError), closing(open_database(path, "mode=rw")) as db:
        (free,) = db.execute("PRAGMA freelist_count").fetchone()
        (pages,) = db.execute("PRAGMA page_count").fetchone()
        (page,) = db.execute("PRAGMA page_size").fetchone()
        room = os.statvfs(os.path.dirname(path))
        if free * _FREE_PAGE_RATIO < pages or room.f_bavail * room.f_frsize < 2 * (pages - free) * page:
            return 0
        db.execute("PRAGMA secure_delete = ON")
        _execute_within(db, "VACUUM", seconds)
        empty_wal(db, path)
    return max(0, before - _store_bytes(path))


def _execute_within(db: sqlite3.Connection, statement: str, seconds: float) -> None:
    """Execute a statement in a thread, where signals need not wait for it; sqlite3.Error if broken off."""
    failed: list[sqlite3.Error] = []

    def work() -> None:
        try:
            db.execute(statement)
        except sqlite3.Error as error:
            failed.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    try:
        worker.join(seconds)
    finally:
        while worker.is_alive():
            db.interrupt()
            worker.join(0.01)
    if failed:
        raise failed[0]


def _store_bytes(path: str) -> int:
    """The bytes of a store with its log."""
    return sum(os.path.getsize(file) for file in (path, f"{path}-wal") if os.path.exists(file))


def _agent_bytes(db: sqlite3.Connection, agent: str) -> int:
    """The bytes of everything that an agent's entries hold."""
    held = " + ".join(f"coalesce(length(CAST({column} AS BLOB)), 0)" for column in TEXT_COLUMNS)
    (size,) = db.execute(
        f"SELECT coalesce(sum({held}), 0) FROM entry"  # noqa: S608 - our own words
        " WHERE session IN (SELECT uid FROM session WHERE agent = ?)",
        (agent,),
    ).fetchone()
    return int(size)
