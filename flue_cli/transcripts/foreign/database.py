"""SQLite files of other programs, which may be in use: only read, and left exactly as they are."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from flue_cli.errors import UsageError
from flue_cli.stores.sqlite.database_file import open_database
from flue_cli.transcripts.import_source import Source

_KINDS = {
    "llm": ({"threads", "turns", "messages", "parts"}, {"conversations", "responses"}),
    "openai-agents": ({"agent_sessions", "agent_messages"},),
}
"""Format to the sets of tables of which one must be there."""

_FORMAT_AT, _WAL = 18, 2

_PATIENCE = 10.0
"""Seconds to wait while the other program writes."""


def kind_of_database(source: Source) -> str:
    """The program that made it, by its tables; UsageError if we do not know it."""
    with open_foreign_database(source) as db:
        tables = tables_of(db)
    for kind, alternatives in _KINDS.items():
        if any(some <= tables for some in alternatives):
            return kind
    if {"session", "entry"} <= tables:
        raise UsageError(
            f"{source.called} is a store of Flue",
            hint=f"flue sessions export --all --store {shlex.quote(source.path)} | flue sessions import -",
        )
    raise UsageError(
        f"{source.called} is a database that cannot be imported",
        hint="logs of llm and sessions of openai-agents can be",
    )


def tables_of(db: sqlite3.Connection) -> set[str]:
    """The names of all tables."""
    return {name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


@contextmanager
def open_foreign_database(source: Source) -> Iterator[sqlite3.Connection]:
    """A connection that sees one moment of the database; what SQLite complains of is a UsageError."""
    if source.is_stdin:
        raise UsageError("a database cannot come through standard input", hint="name its file")
    with ExitStack() as stack, translate_errors(source):
        db = stack.enter_context(_connected(os.path.realpath(source.path)))
        db.row_factory = _row
        db.text_factory = str  # invalid text is the file's fault
        db.execute("PRAGMA query_only = ON")
        db.execute("BEGIN")
        db.execute("SELECT count(*) FROM sqlite_master").fetchone()  # from here on nothing changes for us
        yield db


_BYTES = "content"
"""The only column that holds bytes: files that were attached."""


def _row(cursor: sqlite3.Cursor, values: tuple[Any, ...]) -> sqlite3.Row:
    """A row; UsageError if there are bytes where a text must be."""
    for (column, *_), value in zip(cursor.description, values, strict=True):
        if isinstance(value, bytes) and column != _BYTES:
            raise UsageError(f"column {column} holds bytes where a text must be")
    return sqlite3.Row(cursor, values)


def text_in(value: Any, where: str) -> str:
    """A text that was found; UsageError for anything else."""
    if not isinstance(value, str):
        raise UsageError(f"{where} is not text")
    return value


@contextmanager
def translate_errors(source: Source) -> Iterator[None]:
    """SQLite's and the disk's errors as UsageError: it is the file that is wrong, not our store."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise UsageError(f"{source.called} cannot be read: {error}") from error


@contextmanager
def _connected(path: str) -> Iterator[sqlite3.Connection]:
    """The database, opened so that no file beside it is made, changed or removed."""
    log = f"{path}-wal"
    is_quiet = not os.path.exists(log) or not os.path.getsize(log)
    if _format(path) == _WAL and is_quiet:
        # Nobody has it open. To open it would leave two files beside it, or fail in a read-only folder.
        db = open_database(path, "mode=ro&immutable=1", timeout=_PATIENCE)
        before = _state(path)
    elif _format(path) == _WAL and not os.path.exists(f"{path}-shm"):
        # What a crash left in the log belongs to it, and reading it in place would make a file beside it.
        with tempfile.TemporaryDirectory() as folder:
            copy = os.path.join(folder, "copy.db")
            shutil.copyfile(path, copy)
            shutil.copyfile(log, f"{copy}-wal")
            db = open_database(copy, "mode=rw", timeout=_PATIENCE)
            try:
                yield db
            finally:
                db.close()
        return
    else:
        db = open_database(path, "mode=ro", timeout=_PATIENCE)
        before = None
    try:
        yield db
    finally:
        db.close()
    if before and before != _state(path):
        raise UsageError(f"{path} was changed while it was read", hint="import it again")


def _state(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_size, found.st_mtime_ns


def _format(path: str) -> int:
    with open(path, "rb") as file:
        return file.read(_FORMAT_AT + 1)[_FORMAT_AT]
