"""Searching: the newest entries are looked through, older ones are looked up by their words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from flue_cli.stores.records import SearchHit, SessionHead
from flue_cli.stores.search_query import SearchQuery, best_hits, islice_limit
from flue_cli.stores.sqlite import entry_queries, forks, timeline
from flue_cli.stores.sqlite.search import fts_index
from flue_cli.stores.sqlite.search.tokenizer import make_fts_query
from flue_cli.stores.sqlite.session_rows import SessionRow, load_session_by_uid

_COMMON_RATIO = 20
"""A word is common if more than one in so many of the newest entries says it."""

_FoundEntry = tuple[int, int, int, int, int, str, str | None]
"""Of an entry: id, session, line, turn, started_at, prompt, reply."""


class _VisibleRange(NamedTuple):
    """Turns of one line that a session shows."""

    branch: int
    first: int
    last: int
    head: SessionHead


def find_hits(
    db: sqlite3.Connection,
    query: SearchQuery,
    *,
    agent: str,
    limit: int | None,
    ranked: bool,
    with_undone_forks: bool,
) -> list[SearchHit]:
    """Find the turns that match `query`, newest or best first; see Store.search."""
    db.execute("BEGIN")  # all of it as of one moment
    try:
        hits = _visible_hits(db, query, agent, with_undone_forks=with_undone_forks)
        return best_hits(hits, query, limit) if ranked else list(islice(hits, islice_limit(limit)))
    finally:
        db.execute("COMMIT")


def _visible_hits(
    db: sqlite3.Connection, query: SearchQuery, agent: str, *, with_undone_forks: bool
) -> Iterator[SearchHit]:
    places: dict[int, list[_VisibleRange]] = {}
    for entry, session, line, turn, started, prompt, reply in _matching_entries(db, query, agent):
        if session not in places:
            places[session] = list(_family_ranges(db, session, with_undone_forks=with_undone_forks))
        for place in places[session]:
            if place.branch in (line, -entry) and place.first <= turn <= place.last:
                head = place.head
                yield SearchHit(head.agent, head.name, head.uid, turn, started, prompt, reply)
                break


def _matching_entries(db: sqlite3.Connection, query: SearchQuery, agent: str) -> Iterator[_FoundEntry]:
    """The entries that `query` finds, newest first, wherever they lie."""
    upto, _, newest = fts_index.index_state(db)
    below = min(upto, newest - fts_index.SCANNED_ENTRIES) if make_fts_query(query.words) else 0
    counts = dict.fromkeys(query.words, 0)
    looked_through = 0
    for row in _candidate_rows(db, "entry e", "e.id > :below", agent, below):
        found = query.matching_terms(row[-2], row[-1])
        for word in found:
            counts[word] += 1
        looked_through += 1
        if len(found) == len(counts):
            yield row
    if below <= 0:
        return
    # The index is slow where a word is in most entries, and another word narrows as well without it.
    rare = [word for word in counts if counts[word] * _COMMON_RATIO <= looked_through]
    narrow = (
        make_fts_query(rare)
        or make_fts_query([min(counts, key=lambda word: counts[word])])
        or make_fts_query(counts)
    )
    index = "words w CROSS JOIN entry e ON e.id = w.rowid"
    for row in _candidate_rows(db, index, "w.words MATCH :terms AND w.rowid <= :below", agent, below, narrow):
        if query.matches(row[-2], row[-1]):
            yield row


def _candidate_rows(
    db: sqlite3.Connection, source: str, condition: str, agent: str, below: int, fts_terms: str = ""
) -> Iterator[_FoundEntry]:
    whose = " AND e.session IN (SELECT uid FROM session WHERE agent = :agent)" if agent else ""
    place = "w.rowid" if fts_terms else "e.id"
    return db.execute(
        "SELECT e.id, e.session, e.line, e.turn, e.started_at, e.prompt, e.reply"  # noqa: S608 - our own words
        f" FROM {source} WHERE {condition} AND e.kind = 'prompt'{whose} ORDER BY {place} DESC",
        {"agent": agent, "below": below, "terms": fts_terms},
    )


def _family_ranges(db: sqlite3.Connection, owner: int, *, with_undone_forks: bool) -> Iterator[_VisibleRange]:
    """Yield the stretches that show entries of the session `owner`, each with the session that shows it.

    On its own line, then on those of its undone forks, oldest first. The prompt that runs,
    which is on no line yet, is a line of its own, whose number is its id's negative.
    """
    state = load_session_by_uid(db, owner)
    if state is None:
        return
    undone = (
        sorted(forks.load_undone_forks(db, owner), key=lambda fork: fork.head.uid)
        if with_undone_forks
        else []
    )
    for one in (state, *undone):
        if not one.is_undone_fork or with_undone_forks:
            yield from _session_ranges(db, one, with_undone_turns=with_undone_forks)


def _session_ranges(
    db: sqlite3.Connection, state: SessionRow, *, with_undone_turns: bool
) -> Iterator[_VisibleRange]:
    head = state.head
    end = timeline.redo_head(db, state) if with_undone_turns else head
    for segment in entry_queries.branch_segments(db, end, 1, end.turn):
        yield _VisibleRange(segment.branch, segment.first, segment.last, head)
    if state.running is not None:
        yield _VisibleRange(-state.running, head.turn + 1, head.turn + 1, head)
