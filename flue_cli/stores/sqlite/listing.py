"""Finding sessions: lists, and what a name may mean."""

from __future__ import annotations

import sqlite3

from flue_cli.stores.contract import PREVIEW, Head, Summary
from flue_cli.stores.rules import meant
from flue_cli.stores.sqlite.rows import STATE, state_of


def sessions(db: sqlite3.Connection, agent: str, limit: int | None) -> list[Summary]:
    """Sessions of `agent`, or with "" of all, last used first."""
    rows = db.execute(
        f"""
        SELECT s.uid, s.agent, s.name, coalesce(h.turn, 0), s.created_at, s.updated_at,
               coalesce(substr(e.prompt, 1, {PREVIEW}), '')
        FROM session s
        LEFT JOIN entry h ON h.id = s.head
        LEFT JOIN entry e ON e.id = coalesce(s.running, s.head)
        {"WHERE s.agent = :agent" if agent else ""}
        ORDER BY s.used DESC LIMIT :limit
        """,  # noqa: S608 - our own words
        {"agent": agent, "limit": -1 if limit is None else limit},
    )
    return [Summary(*row) for row in rows.fetchall()]


def resolve(db: sqlite3.Connection, name: str, agent: str) -> list[Head]:
    """The sessions that `name` may mean."""
    found: list[Head] = []
    for whose, what in meant(name, agent):
        only = "AND s.agent = :agent" if whose else ""
        rows = db.execute(f"{STATE} WHERE s.name = :name {only}", {"name": what, "agent": whose})
        found += [state_of(row).head for row in rows.fetchall()]
    return found
