"""The tables, and the migrations that bring an older file to them.

    session   one row a session: its name, its head, and the lease of the turn that runs on it
    entry     one row for every accepted prompt and every edit of the data: the timeline, a tree
    waiting   the wait queues: prompts that wait for a session, in order of arrival
    words     the full-text index that searches use; `indexed`, of one row, tells how far it goes
              (search/fts_index.py)

Some columns have older names than the rest of Flue, and keep them so that old stores open: `line` is the
branch of an entry, `splice` a delta, `kept` marks an undone fork, `words.said` is the text of an entry.

The branch of an entry (`line`) is the id of the branch's first entry; `parent` is the entry before it. So a
range of turns on one branch is one index scan. Data is stored as a `snapshot` of the whole text, as a delta
to the parent's data (`splice`, see text_delta.py), or not at all where nothing changed. `base` is the turn
of the last snapshot, 0 for the empty start. `total` counts the messages of the history up to and including
the entry. `session.used` orders sessions by use; it is a counter, since clocks go back. `head` and `running`
are entry ids without a foreign key, or each delete of an entry would scan all sessions.

Undo moves `head` and stores in `tip` the entry where redo ends. An entry that is added then begins a new
branch, and the undone branch becomes an undone fork: a session with `kept` = 1 whose head is on the branch
while its `parent` owns the entries. It is deleted with its parent. A fork that a person makes copies the
entries and outlives its parent, so `parent`, `parent_name` and `parent_turn` have no foreign key.

`agent_origins` is a JSON array of the places that the session's agents came from, NULL for none. `label` can
change after the turn: the checksum of the entry does not cover it.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def sessions_and_entries(db: Database) -> None:
    """Create the first schema."""
    for statement in (
        """
        CREATE TABLE session (
            uid INTEGER PRIMARY KEY AUTOINCREMENT,
            agent TEXT NOT NULL,
            name TEXT NOT NULL,
            created_at INTEGER NOT NULL,
            updated_at INTEGER NOT NULL,
            used INTEGER NOT NULL,
            version INTEGER NOT NULL DEFAULT 0,
            head INTEGER,
            running INTEGER,
            fence INTEGER NOT NULL DEFAULT 0,
            owner TEXT,
            expires_at INTEGER,
            expires_monotonic INTEGER,
            UNIQUE (agent, name)
        ) STRICT
        """,
        "CREATE INDEX session_used ON session (used)",
        "CREATE INDEX session_name ON session (name)",
        """
        CREATE TABLE entry (
            id INTEGER PRIMARY KEY,
            session INTEGER NOT NULL REFERENCES session(uid) ON DELETE CASCADE,
            line INTEGER NOT NULL,
            turn INTEGER NOT NULL,
            parent INTEGER,
            total INTEGER NOT NULL,
            base INTEGER NOT NULL,
            kind TEXT NOT NULL,
            outcome TEXT NOT NULL,
            started_at INTEGER NOT NULL,
            finished_at INTEGER,
            checksum INTEGER NOT NULL,
            data_checksum INTEGER,
            snapshot TEXT,
            splice TEXT,
            key TEXT,
            error_type TEXT,
            error_message TEXT,
            meta TEXT,
            messages TEXT,
            prompt TEXT NOT NULL,
            reply TEXT
        ) STRICT
        """,
        "CREATE UNIQUE INDEX entry_place ON entry (session, line, turn)",
        """
        CREATE UNIQUE INDEX entry_key ON entry (session, key)
        WHERE key IS NOT NULL AND outcome = 'completed'
        """,
        """
        CREATE TABLE waiting (
            ticket INTEGER PRIMARY KEY AUTOINCREMENT,
            session INTEGER NOT NULL REFERENCES session(uid) ON DELETE CASCADE,
            owner TEXT NOT NULL,
            expires_at INTEGER NOT NULL,
            expires_monotonic INTEGER NOT NULL
        ) STRICT
        """,
        "CREATE INDEX waiting_session ON waiting (session, ticket)",
    ):
        db.execute(statement)


def undo_and_forks(db: Database) -> None:
    """Add the columns for redo and for the origin of a fork."""
    for statement in (
        "ALTER TABLE session ADD COLUMN tip INTEGER",
        "ALTER TABLE session ADD COLUMN parent INTEGER",
        "ALTER TABLE session ADD COLUMN parent_name TEXT",
        "ALTER TABLE session ADD COLUMN parent_turn INTEGER",
        "ALTER TABLE session ADD COLUMN kept INTEGER NOT NULL DEFAULT 0",
        "CREATE INDEX session_parent ON session (parent) WHERE parent IS NOT NULL",
    ):
        db.execute(statement)


def index_of_words(db: Database) -> None:
    """Create the full-text index, empty: commits and searches let it catch up."""
    for statement in (
        """
        CREATE VIRTUAL TABLE words USING fts5 (
            said, content = '', columnsize = 0, detail = none, tokenize = 'ascii'
        )
        """,
        "CREATE TABLE indexed (upto INTEGER NOT NULL, erased INTEGER NOT NULL) STRICT",
        "INSERT INTO indexed VALUES (0, 0)",
    ):
        db.execute(statement)


def agent_origins_and_labels(db: Database) -> None:
    """Add the origins of a session's agents, and the labels of entries."""
    db.execute("ALTER TABLE session ADD COLUMN agent_origins TEXT")
    db.execute("ALTER TABLE entry ADD COLUMN label TEXT")


def index_of_composed_words(db: Database) -> None:
    """Empty the full-text index: its words were not brought into Unicode's composed form."""
    db.execute("INSERT INTO words (words) VALUES ('delete-all')")
    db.execute("UPDATE indexed SET upto = 0, erased = 0")


MIGRATIONS = (
    sessions_and_entries,
    undo_and_forks,
    index_of_words,
    agent_origins_and_labels,
    index_of_composed_words,
)
"""All migrations in order; the file remembers them by the names of the functions."""
SCHEMA_VERSION = len(MIGRATIONS)
"""Value of `user_version` that this Flue writes; it grows with every migration."""


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the missing migrations, in the caller's transaction."""
    # Imported here: it takes as long as six starts of the interpreter.
    from sqlite_utils import Database, Migrations

    migrations = Migrations("flue")
    for migration in MIGRATIONS:
        migrations()(migration)
    migrations.apply(Database(connection, execute_plugins=False))
