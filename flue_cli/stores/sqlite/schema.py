"""The tables, and the migrations that bring an older file to them.

    session   one row a session: its name, its head, and the lease of the turn that runs on it
    entry     one row for every accepted prompt and every edit of the data: the timeline, a tree
    waiting   prompts that wait for a session, in order of arrival
    words     the full-text index that searches use; `indexed`, of one row, tells how far it goes
              (search/fts_index.py)

An entry's `line` is the id of the first entry of its line, its `parent` the entry before it; so a
range of turns is one index scan, and only where lines meet a step up. Data is kept as the change
from the parent's: a `snapshot` of the whole text, or a `splice` (see text_delta.py), or neither where
nothing changed; `base` is the turn of the last snapshot, 0 for the empty start. `total` counts the
history's messages up to and including the entry. `session.used` orders sessions by use with a
number, since clocks go back. `head` and `running` are entry ids without a foreign key: deleting an
entry would have to look through all sessions for one that points at it.

Undo moves `head` and remembers in `tip` where redo ends; an entry after it starts a new line. The line
that is left is kept as a session (`kept`) whose head lies on it though its `parent` owns the entries, and
goes with it; a person's own fork copies them. `parent`, `parent_name` and `parent_turn` say what a fork
of either kind was forked from: no foreign key, since a person's fork outlives its parent.
"""

from __future__ import annotations

import sqlite3
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlite_utils import Database


def sessions_and_entries(db: Database) -> None:
    """The first schema."""
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
    """Columns for the end of redo, and for the source of a fork."""
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
    """An index of words, with nothing in it yet: commits and searches bring it up to date."""
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


MIGRATIONS = (sessions_and_entries, undo_and_forks, index_of_words)
"""All migrations in order; the file remembers them by the names of the functions."""
SCHEMA_VERSION = len(MIGRATIONS)
"""Value of `user_version` that this Flue writes; it grows with every migration."""


def migrate(connection: sqlite3.Connection) -> None:
    """Bring the tables to today's form, inside the caller's transaction."""
    # sqlite-utils takes as long to import as six interpreters take to start.
    from sqlite_utils import Database, Migrations

    migrations = Migrations("flue")
    for migration in MIGRATIONS:
        migrations()(migration)
    migrations.apply(Database(connection, execute_plugins=False))
