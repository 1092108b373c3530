"""The database file: made whole or not at all, opened with care, its errors in plain words."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from urllib.parse import quote

from flue_cli.errors import FlueError, StoreDamaged, StoreError, StoreNewer
from flue_cli.files import draft_beside, make_private_folder, move_into_place
from flue_cli.installation import upgrade_hint
from flue_cli.stores.sqlite.file_errors import not_a_store_error, read_only_error, translate_sqlite_errors
from flue_cli.stores.sqlite.schema import SCHEMA_VERSION, migrate
from flue_cli.times import monotonic

APPLICATION_ID = 0x464C5545
"""`FLUE` in the file's header, so that `file` and we can tell our stores from others."""
SIDE_FILES = ("-journal", "-wal", "-shm")
"""The endings of the files that SQLite makes beside a database."""
BUSY_SECONDS = 0.25
"""Wait of a statement inside SQLite while another process writes, which takes milliseconds.

Short, because nothing can interrupt it: a caller that may wait longer tries again."""
MIGRATION_SECONDS = 60.0
"""Wait of a process while others bring the store to a newer schema: it may be large."""


def connect(path: str) -> sqlite3.Connection:
    """A connection to the store at `path`, of today's schema.

    Raises FileNotFoundError if there is no file, StoreNewer, StoreDamaged, StoreError.
    """
    found = os.stat(path)
    if stat.S_ISDIR(found.st_mode):
        raise StoreError(f"the store {path} is a folder", hint="name a file in it with --store")
    _restore_side_file_modes(path, found.st_mode)
    if found.st_size == 0:
        # Stores are put in their place whole, so this is a loss and not a store that is being made.
        raise StoreDamaged(
            f"the store {path} is empty (0 bytes)", hint="restore it, or move it out of the way"
        )
    if not _has_wal(path) and not os.access(path, os.W_OK):
        if not _is_database(path):
            raise not_a_store_error(path)
        raise read_only_error(path)  # SQLite would open it, and leave files beside it that it cannot remove
    with translate_sqlite_errors(path):
        connection = open_database(path)
        try:
            _set_pragmas(connection)
            _check_schema_version(connection, path)
            _ensure_wal_mode(connection)
        except BaseException:
            connection.close()
            raise
        return connection


def connect_to_read(path: str, error: StoreError) -> sqlite3.Connection:
    """A connection to a store that `connect` refused with `error`, if it can at least be read.

    A store in WAL mode needs room beside it for its shared memory, even to read. Where there is none
    (a full disk, a folder or disk that is read-only), it is read as it lies if its log is empty; else
    with its shared memory in our own, which keeps others out and still must write. Raises `error` when
    neither can be, or something else is wrong. See https://sqlite.org/wal.html#read_only_databases.
    """
    if type(error) is not StoreError or os.path.isdir(path):
        raise error
    has_log = _has_wal(path)
    connection = open_database(path, "mode=rw" if has_log else "mode=ro&immutable=1")
    try:
        if has_log:
            connection.execute("PRAGMA locking_mode = EXCLUSIVE")  # before the first read
        _set_pragmas(connection)
        _check_schema_version(connection, path)
    except (sqlite3.Error, FlueError) as failure:
        connection.close()
        if has_log:
            raise StoreError(
                f"the store {path} cannot be read where it is: its last turns are in {path}-wal,"
                " and only a place that can be written to will do",
                hint="copy both files elsewhere, and name the copy with --store",
            ) from failure
        raise error from failure
    return connection


def open_database(
    path: str, options: str = "mode=rw", *, timeout: float = BUSY_SECONDS
) -> sqlite3.Connection:
    """Open the file at `path`, unchecked, with SQLite's own URI options."""
    connection = sqlite3.connect(
        f"file:{quote(os.fsencode(os.path.abspath(path)))}?{options}",
        uri=True,
        timeout=timeout,
        isolation_level=None,
        check_same_thread=False,  # closed by whoever closes the store
    )
    # Bytes that are no text any more are found by their checksum, which can name the turn.
    connection.text_factory = lambda data: data.decode(errors="surrogateescape")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # see checkpoint.py
    return connection


def create_database(path: str) -> None:
    """Make an empty store at `path`, private to its owner; if another process was first, that is fine.

    Built beside its place and then put there, so that nobody ever sees half a store.
    """
    with translate_sqlite_errors(path):
        make_private_folder(os.path.dirname(os.path.abspath(path)))
        with draft_beside(path, SIDE_FILES) as draft:
            # SQLite gives its side files the mode of the database.
            os.close(os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
            _build_database(draft)
            with suppress(FileExistsError):
                move_into_place(draft, path, replace=False)


def begin_immediate(connection: sqlite3.Connection, patience: float) -> None:
    """BEGIN IMMEDIATE, asked again until it succeeds or `patience` seconds are over.

    SQLite's own waiting cannot be interrupted, so it is kept short and a signal is handled in between.
    """
    deadline = monotonic() + patience
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or monotonic() >= deadline:
                raise
        else:
            return


def _restore_side_file_modes(path: str, mode: int) -> None:
    """Give the side files the store's mode again.

    Reading a store while it was read-only leaves them read-only, and every later write would fail.
    """
    for side in (f"{path}-wal", f"{path}-shm"):
        with suppress(OSError):
            if os.stat(side).st_mode != mode:
                os.chmod(side, stat.S_IMODE(mode))


def _set_pragmas(connection: sqlite3.Connection) -> None:
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = ON")  # what was deleted is overwritten, not just unlinked
    connection.execute("PRAGMA foreign_keys = ON")


def _check_schema_version(connection: sqlite3.Connection, path: str) -> None:
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise not_a_store_error(path)
    if version > SCHEMA_VERSION:
        raise StoreNewer(
            f"the store {path} was made by a newer Flue"
            f" (its schema is {version}, this one knows {SCHEMA_VERSION})",
            hint=upgrade_hint(),
        )
    if version < SCHEMA_VERSION:
        _migrate_database(connection)


def _ensure_wal_mode(connection: sqlite3.Connection) -> None:
    """Bring a store back into write-ahead mode that a killed restore left without: readers keep writers out.

    Where others have it open just now, one of the next to open it will do it.
    """
    if connection.execute("PRAGMA journal_mode").fetchone()[0] != "wal":
        with suppress(sqlite3.OperationalError):
            connection.execute("PRAGMA journal_mode = WAL")


def _build_database(path: str) -> None:
    connection = open_database(path)
    try:
        _set_pragmas(connection)
        _migrate_database(connection)
        # Last: what a write-ahead log holds would be lost if closing could not bring it into the file.
        connection.execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def _migrate_database(connection: sqlite3.Connection) -> None:
    """Bring the file to this Flue's schema, in one transaction that nobody else can enter.

    sqlite-utils' own apply would let two processes try the same migration at once.
    """
    begin_immediate(connection, MIGRATION_SECONDS)
    try:
        migrate(connection)
        connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _is_database(path: str) -> bool:
    """True if a file that cannot be written begins as SQLite's files do, or cannot be read either."""
    # Only for a file that is read-only: closing one that is in use would drop this process's locks on it.
    try:
        with open(path, "rb") as file:
            return file.read(16) == b"SQLite format 3\0"
    except OSError:
        return True


def _has_wal(path: str) -> bool:
    """True if some turns are in the write-ahead log alone."""
    try:
        return os.path.getsize(f"{path}-wal") > 0
    except FileNotFoundError:
        return False
