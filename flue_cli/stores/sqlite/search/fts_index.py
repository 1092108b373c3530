"""The full-text index: candidates for a search. It narrows, and search_query.py decides.

An FTS5 table without content, positions and sizes, which makes it a fifth of the text. What FTS5 takes
for a text is the words of a turn, each once, as tokenizer.py makes them: no SQLite's idea of a word matters.

Entries up to `indexed.upto` are in it with all that they say. The newer ones are looked through, which
for so few is as fast; a commit brings the index up to date when they get many, since 64 turns at once
cost FTS5 little more than one. So a fork copies no words, and a Flue that knows no index does no harm.

What is deleted is deleted here too, but older parts of the index keep its words until FTS5 merges them
with newer ones; `sweep` makes it do so. `indexed.erased` tells that there is something to sweep.

Each function works inside a transaction of the caller's.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from flue_cli.errors import StoreError
from flue_cli.stores.records import HealthFinding
from flue_cli.stores.sqlite.connections import Connections

SCANNED_ENTRIES = 500
"""Number of entries that a search scans before it asks the index: common words are found among them."""
BATCH_ENTRIES = 64
"""Number of entries behind the index at which a commit lets it catch up."""
_LARGE_ENTRY = 65_536
"""Characters of an entry that is indexed at once: it would be slow to scan."""
_CATCH_UP_SECONDS = 2.0
"""Time that a search may spend on bringing the index up to date, in seconds."""
_CATCH_UP_ENTRIES = 1000
"""Number of entries that it indexes in one transaction, which keeps other writers out."""
SMALL_INDEX = 4096
"""An index of up to so many entries is swept in the time that a few commits take."""
EntryText = tuple[int, str, str | None]
"""The id of an entry, its prompt, its reply."""


class IndexState(NamedTuple):
    """The newest entry in the index, True if there are deleted words to sweep, the newest entry of all."""

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
    """After an entry got its last word, of `size` characters in all: the index never falls far behind."""
    (upto,) = db.execute("SELECT upto FROM indexed").fetchone()
    if entry <= upto:  # when the index came by, it was still running
        _insert_words(db, db.execute("SELECT id, prompt, reply FROM entry WHERE id = ?", (entry,)).fetchall())
    elif entry - upto >= BATCH_ENTRIES or size > _LARGE_ENTRY:
        index_next_entries(db, 2 * BATCH_ENTRIES)


def index_next_entries(db: sqlite3.Connection, count: int) -> None:
    """Bring the next `count` entries into the index."""
    rows = db.execute(
        "SELECT id, prompt, reply FROM entry WHERE id > (SELECT upto FROM indexed) ORDER BY id LIMIT ?",
        (count,),
    ).fetchall()
    if rows:
        _insert_words(db, rows)
        db.execute("UPDATE indexed SET upto = ?", (rows[-1][0],))


def delete_entries(db: sqlite3.Connection, condition: str, values: Sequence[int]) -> None:
    """Before entries are deleted, those for which the condition `which` holds."""
    said = db.execute(
        f"SELECT id, prompt, reply FROM entry WHERE {condition} AND id <= (SELECT upto FROM indexed)",  # noqa: S608 - our own words
        values,
    )
    done = db.executemany(
        "INSERT INTO words (words, rowid, said) VALUES ('delete', ?, ?)", _entry_words(said)
    )
    if done.rowcount > 0:
        db.execute("UPDATE indexed SET erased = 1")


def clamp_upto(db: sqlite3.Connection) -> None:
    """After entries were deleted: new ones may get their ids, and must not pass for old ones."""
    db.execute("UPDATE indexed SET upto = min(upto, (SELECT coalesce(max(id), 0) FROM entry))")


def purge_deleted_words(db: sqlite3.Connection) -> None:
    """Leave no word of what was deleted in the index."""
    db.execute("INSERT INTO words (words) VALUES ('optimize')")
    db.execute("UPDATE indexed SET erased = 0")


def clear_index(db: sqlite3.Connection) -> None:
    """Begin the index anew: nothing is in it."""
    db.execute("INSERT INTO words (words) VALUES ('delete-all')")
    db.execute("UPDATE indexed SET upto = 0, erased = 0")


def check_index(db: sqlite3.Connection) -> Iterator[HealthFinding]:
    """Yield the faults of the index; an entry is looked up by the longest of its words."""
    advice = "make it anew: flue sessions search --reindex WORD"
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
        yield HealthFinding("problem", f"what searches look words up in is damaged: {error}", advice)
        return
    if missing:
        yield HealthFinding("problem", f"{missing} of {upto} entries are not found by their words", advice)
    if erased:
        yield HealthFinding(
            "note",
            "words of deleted sessions are still in the index of words",
            "nothing to do: the next search or delete takes them out",
        )


class IndexMaintenance:
    """The index of one store, as this process cares for it."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._is_purge_deferred = False

    def catch_up(self) -> None:
        """Before a search: bring the index up to date if it is far behind, and sweep what a crash left."""
        enough = time.monotonic() + _CATCH_UP_SECONDS
        try:
            while time.monotonic() < enough:
                with self._connections.reader() as db:
                    found = index_state(db) if db else None
                if found is None or (
                    found.newest - found.upto <= SCANNED_ENTRIES and not found.has_deleted_words
                ):
                    return
                with self._connections.transaction(durable=False, patience=0) as db:
                    purge_deleted_words(db) if found.has_deleted_words else index_next_entries(
                        db, _CATCH_UP_ENTRIES
                    )
                if found.has_deleted_words:
                    self._checkpoint()
        except StoreError:  # read-only, full or busy: what is not in the index is looked through
            return

    def rebuild(self) -> None:
        """Make the index anew, of all that there is."""
        with self._connections.reader() as db:
            if db is None:
                return
        with self._connections.transaction() as db:
            clear_index(db)
        behind = True
        while behind:
            with self._connections.transaction(durable=False) as db:
                index_next_entries(db, _CATCH_UP_ENTRIES)
                found = index_state(db)
                behind = found.upto < found.newest
        self._checkpoint()

    def purge_or_defer(self, db: sqlite3.Connection) -> None:
        """In a transaction that deleted something: sweep the index now, or if that takes long, in the end.

        Deleting many sessions would else go over all of a large index for each of them.
        """
        found = index_state(db)
        if found.has_deleted_words and found.upto <= SMALL_INDEX:
            purge_deleted_words(db)
        elif found.has_deleted_words:
            self._is_purge_deferred = True

    def purge_deferred(self) -> None:
        """Sweep what was left for the end."""
        if not self._is_purge_deferred:
            return
        self._is_purge_deferred = False
        try:
            with self._connections.transaction() as db:
                purge_deleted_words(db)
            self._checkpoint()
        except StoreError:  # the store remembers, and the next search or delete sees to it
            return

    def _checkpoint(self) -> None:
        """The log still has what was just overwritten in the file."""
        with self._connections.reader() as db:
            if db:
                db.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _insert_words(db: sqlite3.Connection, said: Iterable[EntryText]) -> None:
    db.executemany("INSERT INTO words (rowid, said) VALUES (?, ?)", _entry_words(said))


def _entry_words(said: Iterable[EntryText]) -> Iterator[tuple[int, str]]:
    """The words of entries, each once, as a line for FTS5; entries without any are left out."""
    from flue_cli.stores.sqlite.search.tokenizer import tokenize

    for entry, prompt, reply in said:
        words = tokenize(f"{prompt} {reply or ''}")
        if words:
            yield entry, " ".join(words)
