"""Searching: the newest entries are looked through, older ones are looked up by their words."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from itertools import islice
from typing import NamedTuple

from flue_cli.stores.records import SearchHit, SessionHead
from flue_cli.stores.search_query import SearchQuery, best_hits, sql_limit
from flue_cli.stores.sqlite import entry_queries, forks, timeline
from flue_cli.stores.sqlite.search import fts_index
from flue_cli.stores.sqlite.search.tokenizer import fts_query
from flue_cli.stores.sqlite.session_rows import SessionRow, load_session_by_uid

_COMMON = 20
"""A word is common if more than one in so many of the newest entries says it."""

_Row = tuple[int, int, int, int, int, str, str | None]
"""Of an entry: id, session, line, turn, started_at, prompt, reply."""


class _Stretch(NamedTuple):
    """Turns of one line that a session shows."""

    line: int
    first: int
    last: int
    head: SessionHead


def search(
    db: sqlite3.Connection, query: SearchQuery, *, agent: str, limit: int | None, ranked: bool, kept: bool
) -> list[SearchHit]:
    """Find the turns that match `query`, newest or best first; see Store.search."""
    db.execute("BEGIN")  # all of it as of one moment
    try:
        hits = _hits(db, query, agent, kept=kept)
        return best_hits(hits, query, limit) if ranked else list(islice(hits, sql_limit(limit)))
    finally:
        db.execute("COMMIT")


def _hits(db: sqlite3.Connection, query: SearchQuery, agent: str, *, kept: bool) -> Iterator[SearchHit]:
    places: dict[int, list[_Stretch]] = {}
    for entry, session, line, turn, started, prompt, reply in _matches(db, query, agent):
        if session not in places:
            places[session] = list(_places(db, session, kept=kept))
        for place in places[session]:
            if place.line in (line, -entry) and place.first <= turn <= place.last:
                head = place.head
                yield SearchHit(head.agent, head.name, head.uid, turn, started, prompt, reply)
                break


def _matches(db: sqlite3.Connection, query: SearchQuery, agent: str) -> Iterator[_Row]:
    """The entries that `query` finds, newest first, wherever they lie."""
    upto, _, newest = fts_index.index_state(db)
    below = min(upto, newest - fts_index.LOOKED_THROUGH) if fts_query(query.words) else 0
    counts = dict.fromkeys(query.words, 0)
    looked_through = 0
    for row in _rows(db, "entry e", "e.id > :below", agent, below):
        found = query.matching_terms(row[-2], row[-1])
        for word in found:
            counts[word] += 1
        looked_through += 1
        if len(found) == len(counts):
            yield row
    if below <= 0:
        return
    # The index is slow where a word is in most entries, and another word narrows as well without it.
    rare = [word for word in counts if counts[word] * _COMMON <= looked_through]
    narrow = fts_query(rare) or fts_query([min(counts, key=lambda word: counts[word])]) or fts_query(counts)
    index = "words w CROSS JOIN entry e ON e.id = w.rowid"
    for row in _rows(db, index, "w.words MATCH :terms AND w.rowid <= :below", agent, below, narrow):
        if query.matches(row[-2], row[-1]):
            yield row


def _rows(
    db: sqlite3.Connection, source: str, which: str, agent: str, below: int, narrow: str = ""
) -> Iterator[_Row]:
    whose = " AND e.session IN (SELECT uid FROM session WHERE agent = :agent)" if agent else ""
    place = "w.rowid" if narrow else "e.id"
    return db.execute(
        "SELECT e.id, e.session, e.line, e.turn, e.started_at, e.prompt, e.reply"  # noqa: S608 - our own words
        f" FROM {source} WHERE {which} AND e.kind = 'prompt'{whose} ORDER BY {place} DESC",
        {"agent": agent, "below": below, "terms": narrow},
    )


def _places(db: sqlite3.Connection, owner: int, *, kept: bool) -> Iterator[_Stretch]:
    """Yield the stretches that show entries of the session `owner`, each with the session that shows it.

    On its own line, then on those of its undone forks, oldest first. The prompt that runs,
    which is on no line yet, is a line of its own, whose number is its id's negative.
    """
    state = load_session_by_uid(db, owner)
    if state is None:
        return
    undone = sorted(forks.undone_forks(db, owner), key=lambda fork: fork.head.uid) if kept else []
    for one in (state, *undone):
        if not one.is_undone_fork or kept:
            yield from _lines(db, one, undone=kept)


def _lines(db: sqlite3.Connection, state: SessionRow, *, undone: bool) -> Iterator[_Stretch]:
    head = state.head
    end = timeline.redo_head(db, state) if undone else head
    for segment in entry_queries.segments(db, end, 1, end.turn):
        yield _Stretch(segment.line, segment.first, segment.last, head)
    if state.running is not None:
        yield _Stretch(-state.running, head.turn + 1, head.turn + 1, head)
