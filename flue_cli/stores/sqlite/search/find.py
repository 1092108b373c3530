"""Search: the newest entries are scanned, older ones come from the full-text index."""

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
"""A word is common if more than one in so many of the newest entries has it."""

_FoundEntry = tuple[int, int, int, int, int, str, str | None]
"""Of an entry: id, session, line, turn, started_at, prompt, reply."""


class _VisibleRange(NamedTuple):
    """Turns of one branch that are visible in the session of `head`."""

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
    db.execute("BEGIN")  # one snapshot for all statements
    try:
        hits = _visible_hits(db, query, agent, with_undone_forks=with_undone_forks)
        return best_hits(hits, query, limit) if ranked else list(islice(hits, islice_limit(limit)))
    finally:
        db.execute("COMMIT")


def _visible_hits(
    db: sqlite3.Connection, query: SearchQuery, agent: str, *, with_undone_forks: bool
) -> Iterator[SearchHit]:
    ranges: dict[int, list[_VisibleRange]] = {}
    for entry, session, line, turn, started, prompt, reply in _matching_entries(db, query, agent):
        if session not in ranges:
            ranges[session] = list(_family_ranges(db, session, with_undone_forks=with_undone_forks))
        for visible in ranges[session]:
            if visible.branch in (line, -entry) and visible.first <= turn <= visible.last:
                head = visible.head
                yield SearchHit(head.agent, head.name, head.uid, turn, started, prompt, reply)
                break


def _matching_entries(db: sqlite3.Connection, query: SearchQuery, agent: str) -> Iterator[_FoundEntry]:
    """Yield the entries that match `query`, newest first, visible or not."""
    upto, _, newest = fts_index.index_state(db)
    below = min(upto, newest - fts_index.SCANNED_ENTRIES) if make_fts_query(query.words) else 0
    counts = dict.fromkeys(query.words, 0)
    scanned = 0
    for row in _candidate_rows(db, "entry e", "e.id > :below", agent, below):
        terms = query.matching_terms(row[-2], row[-1])
        for word in terms:
            counts[word] += 1
        scanned += 1
        if len(terms) == len(counts):
            yield row
    if below <= 0:
        return
    # FTS5 is slow for a word that most entries have, and the rare words narrow the search as well.
    rare = [word for word in counts if counts[word] * _COMMON_RATIO <= scanned]
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
    of_agent = " AND e.session IN (SELECT uid FROM session WHERE agent = :agent)" if agent else ""
    order = "w.rowid" if fts_terms else "e.id"
    return db.execute(
        "SELECT e.id, e.session, e.line, e.turn, e.started_at, e.prompt, e.reply"  # noqa: S608 - our own words
        f" FROM {source} WHERE {condition} AND e.kind = 'prompt'{of_agent} ORDER BY {order} DESC",
        {"agent": agent, "below": below, "terms": fts_terms},
    )


def _family_ranges(db: sqlite3.Connection, owner: int, *, with_undone_forks: bool) -> Iterator[_VisibleRange]:
    """Yield the ranges in which entries of the session `owner` are visible, in it or in its undone forks.

    The session comes first, then its undone forks, oldest first. The prompt that runs is on no branch
    yet: the branch of its range is the negative id of its entry.
    """
    state = load_session_by_uid(db, owner)
    if state is None:
        return
    undone = (
        sorted(forks.load_undone_forks(db, owner), key=lambda fork: fork.head.uid)
        if with_undone_forks
        else []
    )
    for session in (state, *undone):
        if not session.is_undone_fork or with_undone_forks:
            yield from _session_ranges(db, session, with_undone_turns=with_undone_forks)


def _session_ranges(
    db: sqlite3.Connection, state: SessionRow, *, with_undone_turns: bool
) -> Iterator[_VisibleRange]:
    head = state.head
    end = timeline.redo_head(db, state) if with_undone_turns else head
    for segment in entry_queries.branch_segments(db, end, 1, end.turn):
        yield _VisibleRange(segment.branch, segment.first, segment.last, head)
    if state.running is not None:
        yield _VisibleRange(-state.running, head.turn + 1, head.turn + 1, head)
