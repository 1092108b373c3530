"""The full-text index: it finds candidates, and search_query.py decides which of them match.

The table `words` is an FTS5 table without content, positions and sizes (`detail=none`), about a fifth of the
size of the text. Each entry is indexed as the list of its distinct words, made by tokenizer.py, so that the
tokenizer of the SQLite at hand does not matter.

The index lags behind. Entries with ids up to `indexed.upto` are in it; a search scans the newer ones. A
commit lets the index catch up once 64 entries are missing, which costs FTS5 little more than one entry. For
the same reason forks and older versions of Flue need not write to the index.

Deleting an entry writes a tombstone; its words stay in older segments of the index until FTS5 merges these.
`purge_deleted_words` forces the merge; `indexed.erased` is 1 while words of deleted entries may remain.

Each function runs in a transaction of its caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from flue_cli.errors import StoreError
from flue_cli.stores.records import HealthFinding
from flue_cli.stores.sqlite.connections import Connections
from flue_cli.times import monotonic

SCANNED_ENTRIES = 500
"""Number of newest entries that a search always scans; they show which words are common."""
BATCH_ENTRIES = 64
"""Number of entries that the index may lag behind before a commit lets it catch up."""
_LARGE_ENTRY = 65_536
"""Size of an entry, in characters, from which it is indexed at once: it would be slow to scan."""
_CATCH_UP_SECONDS = 2.0
"""Longest time that a search spends on letting the index catch up, in seconds."""
_CATCH_UP_ENTRIES = 1000
"""Number of entries that are indexed in one transaction, which keeps other writers out."""
SMALL_INDEX = 4096
"""Number of entries up to which a purge takes no longer than a few commits."""
EntryText = tuple[int, str, str | None]
"""The id of an entry, its prompt, its reply."""


class IndexState(NamedTuple):
    """The id of the newest indexed entry and of the newest entry; True if deleted words may remain."""

    upto: int
    has_deleted_words: bool
    newest: int


def index_state(db: sqlite3.Connection) -> IndexState:
    """Read the state of the index."""
    upto, erased, newest = db.execute(
        "SELECT upto, erased, (SELECT coalesce(max(id), 0) FROM entry) FROM indexed"
    ).fetchone()
    return IndexState(upto, bool(erased), newest)


def index_entry(db: sqlite3.Connection, entry: int, size: int) -> None:
    """Index the settled `entry`, of `size` characters, if it is due: now, with others, or later."""
    (upto,) = db.execute("SELECT upto FROM indexed").fetchone()
    if entry <= upto:  # it was indexed while it ran, without its reply
        _insert_words(db, db.execute("SELECT id, prompt, reply FROM entry WHERE id = ?", (entry,)).fetchall())
    elif entry - upto >= BATCH_ENTRIES or size > _LARGE_ENTRY:
        index_next_entries(db, 2 * BATCH_ENTRIES)


def index_next_entries(db: sqlite3.Connection, count: int) -> None:
    """Index the next `count` entries."""
    rows = db.execute(
        "SELECT id, prompt, reply FROM entry WHERE id > (SELECT upto FROM indexed) ORDER BY id LIMIT ?",
        (count,),
    ).fetchall()
    if rows:
        _insert_words(db, rows)
        db.execute("UPDATE indexed SET upto = ?", (rows[-1][0],))


def delete_entries(db: sqlite3.Connection, condition: str, values: Sequence[int]) -> None:
    """Remove the entries for which the SQL `condition` holds; call it before their rows are deleted."""
    texts = db.execute(
        f"SELECT id, prompt, reply FROM entry WHERE {condition} AND id <= (SELECT upto FROM indexed)",  # noqa: S608 - our own words
        values,
    )
    done = db.executemany(
        "INSERT INTO words (words, rowid, said) VALUES ('delete', ?, ?)", _entry_words(texts)
    )
    if done.rowcount > 0:
        db.execute("UPDATE indexed SET erased = 1")


def clamp_upto(db: sqlite3.Connection) -> None:
    """Lower `upto` after rows were deleted: new entries may get their ids, and are not indexed yet."""
    db.execute("UPDATE indexed SET upto = min(upto, (SELECT coalesce(max(id), 0) FROM entry))")


def purge_deleted_words(db: sqlite3.Connection) -> None:
    """Merge the index into one segment, in which no word of a deleted entry remains."""
    db.execute("INSERT INTO words (words) VALUES ('optimize')")
    db.execute("UPDATE indexed SET erased = 0")


def clear_index(db: sqlite3.Connection) -> None:
    """Empty the index."""
    db.execute("INSERT INTO words (words) VALUES ('delete-all')")
    db.execute("UPDATE indexed SET upto = 0, erased = 0")


def check_index(db: sqlite3.Connection) -> Iterator[HealthFinding]:
    """Yield the faults of the index. Each entry is looked up by its longest word."""
    advice = "rebuild it: flue sessions search --reindex WORD"
    upto, erased, _ = index_state(db)
    missing = 0
    try:
        for entry, words in _entry_words(
            db.execute("SELECT id, prompt, reply FROM entry WHERE id <= ? ORDER BY id", (upto,))
        ):
            longest = max(words.split(), key=len)
            found = db.execute(
                "SELECT 1 FROM words WHERE words MATCH ? AND rowid = ?", (f'"{longest}"', entry)
            )
            missing += found.fetchone() is None
    except sqlite3.DatabaseError as error:
        yield HealthFinding("problem", f"the full-text index is damaged: {error}", advice)
        return
    if missing:
        yield HealthFinding("problem", f"{missing} of {upto} entries are not found by their words", advice)
    if erased:
        yield HealthFinding(
            "note",
            "words of deleted sessions are still in the full-text index",
            "nothing to do: the next search or delete removes them",
        )


class IndexMaintenance:
    """The upkeep of one store's index, in transactions of its own."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._is_purge_deferred = False

    def catch_up(self) -> None:
        """Let the index catch up before a search, and finish a purge that a crash interrupted."""
        deadline = monotonic() + _CATCH_UP_SECONDS
        try:
            while monotonic() < deadline:
                with self._connections.reader() as db:
                    state = index_state(db) if db else None
                if state is None or (
                    state.newest - state.upto <= SCANNED_ENTRIES and not state.has_deleted_words
                ):
                    return
                with self._connections.transaction(durable=False, patience=0) as db:
                    purge_deleted_words(db) if state.has_deleted_words else index_next_entries(
                        db, _CATCH_UP_ENTRIES
                    )
                if state.has_deleted_words:
                    self._connections.empty_wal()
        except StoreError:  # read-only, full or busy: the search scans more
            return

    def rebuild(self) -> None:
        """Build the index anew."""
        with self._connections.reader() as db:
            if db is None:
                return
        with self._connections.transaction() as db:
            clear_index(db)
        behind = True
        while behind:
            with self._connections.transaction(durable=False) as db:
                index_next_entries(db, _CATCH_UP_ENTRIES)
                state = index_state(db)
                behind = state.upto < state.newest
        self._connections.empty_wal()

    def purge_or_defer(self, db: sqlite3.Connection) -> None:
        """Purge deleted words in the transaction of a delete; from a large index, when the store closes.

        Else each of many deletes would rewrite the whole index.
        """
        state = index_state(db)
        if state.has_deleted_words and state.upto <= SMALL_INDEX:
            purge_deleted_words(db)
        elif state.has_deleted_words:
            self._is_purge_deferred = True

    def purge_deferred(self) -> None:
        """Do the purge that `purge_or_defer` deferred."""
        if not self._is_purge_deferred:
            return
        self._is_purge_deferred = False
        try:
            with self._connections.transaction() as db:
                purge_deleted_words(db)
            self._connections.empty_wal()
        except StoreError:  # `indexed.erased` is still 1: the next search purges
            return


def _insert_words(db: sqlite3.Connection, texts: Iterable[EntryText]) -> None:
    db.executemany("INSERT INTO words (rowid, said) VALUES (?, ?)", _entry_words(texts))


def _entry_words(texts: Iterable[EntryText]) -> Iterator[tuple[int, str]]:
    """Yield the id and the distinct words of each entry that has any."""
    from flue_cli.stores.sqlite.search.tokenizer import tokenize

    for entry, prompt, reply in texts:
        words = tokenize(f"{prompt} {reply or ''}")
        if words:
            yield entry, " ".join(words)
