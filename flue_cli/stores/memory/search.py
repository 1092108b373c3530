"""Searching sessions in memory: everything is looked through."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice

from flue_cli.stores.memory.sessions import Session
from flue_cli.stores.records import Entry, SearchHit, SessionHead
from flue_cli.stores.search_query import SearchQuery, best_hits, islice_limit


def search_sessions(
    sessions: Iterable[Session], query: SearchQuery, *, limit: int | None, ranked: bool, undone: bool
) -> list[SearchHit]:
    """The turns of `sessions` that `query` finds, newest or best first; see Store.search."""
    if not query.words:
        return []
    found: dict[int, tuple[SessionHead, Entry]] = {}
    # What a session shares with its undone forks counts as the session's, so it comes first.
    for session in sorted(sessions, key=lambda session: (session.is_undone_fork, session.head.uid)):
        line = session.branch
        end = len(line.entries) if undone else session.head.turn
        for number, entry in zip(line.numbers[:end], line.entries, strict=False):
            found.setdefault(number, (session.head, entry))
        if session.running:
            found.setdefault(session.running_number, (session.head, session.running))
    hits = (
        SearchHit(head.agent, head.name, head.uid, entry.turn, entry.started_at, entry.prompt, entry.reply)
        for head, entry in (found[number] for number in sorted(found, reverse=True))
        if query.matches(entry.prompt, entry.reply)
    )
    return best_hits(hits, query, limit) if ranked else list(islice(hits, islice_limit(limit)))
