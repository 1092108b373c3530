"""Queries for sessions: lists, and the sessions that a name may mean."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any

from flue_cli.stores.records import PREVIEW_CHARACTERS, ForkOrigin, SessionHead, SessionSummary
from flue_cli.stores.rules import candidate_names
from flue_cli.stores.sqlite.session_rows import SELECT_SESSION, parse_agent_origins, parse_session_row

_MAX_INTEGER = 2**63 - 1
"""The largest integer of SQLite."""


def session_summaries(
    db: sqlite3.Connection,
    agent: str,
    limit: int | None,
    *,
    with_undone_forks: bool,
    since: int | None = None,
    project: str = "",
    before: int | None = None,
) -> list[SessionSummary]:
    """Return the sessions of `agent`, or with "" of all, last used first; see Store.sessions."""
    rows = db.execute(
        f"""
        SELECT s.uid, s.agent, s.name, coalesce(h.turn, 0), s.created_at, s.updated_at,
               substr(coalesce(r.prompt, CASE WHEN h.kind = 'edit' THEN (
                   WITH RECURSIVE back(kind, prompt, parent) AS (
                       SELECT h.kind, h.prompt, h.parent
                       UNION ALL
                       SELECT b.kind, b.prompt, b.parent FROM back JOIN entry b ON b.id = back.parent
                       WHERE back.kind = 'edit'
                   )
                   SELECT prompt FROM back WHERE kind = 'prompt'
               ) ELSE h.prompt END, ''), 1, {PREVIEW_CHARACTERS}),
               s.parent, s.parent_name, s.parent_turn, s.kept, s.agent_origins, s.used
        FROM session s
        LEFT JOIN entry h ON h.id = s.head
        LEFT JOIN entry r ON r.id = s.running
        WHERE (:agent = '' OR s.agent = :agent) AND (:kept OR NOT s.kept)
              AND (:before IS NULL OR s.used < :before)
              AND (:since IS NULL OR s.updated_at >= :since OR r.started_at >= :since)
              AND (:below = '/' OR s.agent_origins IS NULL OR EXISTS (
                  SELECT 1 FROM json_each(s.agent_origins)
                  WHERE instr(value, '/') = 0 OR substr(value, 1, length(:below)) = :below))
        ORDER BY s.used DESC, s.uid DESC LIMIT :limit
        """,  # noqa: S608 - our own words
        {
            "agent": agent,
            "kept": with_undone_forks,
            "limit": -1 if limit is None else min(limit, _MAX_INTEGER),
            "below": f"{project}/",
            "since": _clamp(since),
            "before": _clamp(before),
        },
    )
    return [_summary_of_row(row) for row in rows.fetchall()]


def _clamp(number: int | None) -> int | None:
    """Return the nearest integer that SQLite can hold."""
    return None if number is None else max(-_MAX_INTEGER, min(number, _MAX_INTEGER))


def _summary_of_row(row: Sequence[Any]) -> SessionSummary:
    *plain, parent, name, turn, is_kept, agent_origins, use_number = row
    origin = None if parent is None else ForkOrigin(parent, name, turn, bool(is_kept))
    return SessionSummary._make((*plain, origin, parse_agent_origins(agent_origins), use_number))


def resolve_name(db: sqlite3.Connection, name: str, agent: str) -> list[SessionHead]:
    """Return the sessions that `name` may mean; see Store.resolve."""
    heads: list[SessionHead] = []
    for agent_name, session_name in candidate_names(name, agent):
        only = "AND s.agent = :agent" if agent_name else ""
        rows = db.execute(
            f"{SELECT_SESSION} WHERE s.name = :name {only}", {"name": session_name, "agent": agent_name}
        )
        heads += [parse_session_row(row).head for row in rows.fetchall()]
    return heads
