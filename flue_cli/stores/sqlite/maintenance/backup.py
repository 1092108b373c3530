"""Backups: a copy of a store in use, and a copy put in the place of a store."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING

from flue_cli.errors import (
    Conflict,
    FileExists,
    FlueError,
    OutputFailed,
    StoreDamaged,
    StoreError,
    StoreNewer,
    UsageError,
)
from flue_cli.files import draft_beside, make_private_folder, move_into_place, try_hard_link
from flue_cli.installation import upgrade_hint
from flue_cli.stores.sqlite.database_file import (
    APPLICATION_ID,
    SIDE_FILES,
    connect,
    open_database,
)
from flue_cli.stores.sqlite.file_errors import translate_sqlite_errors
from flue_cli.stores.sqlite.schema import SCHEMA_VERSION

if TYPE_CHECKING:
    from flue_cli.stores.contract import ProgressCallback
    from flue_cli.stores.sqlite.locking.process_liveness import LeaseOwner

_PAGES_PER_STEP = 256
_SHARED_LOCK_RANGE = (510, 0x40000002)
"""The bytes of a database file that everybody who has it open holds a lock on: (how many, from where).

Source: SQLite's os.h, SHARED_SIZE and SHARED_FIRST."""


def back_up(
    source: sqlite3.Connection, path: str, file: str, advance: ProgressCallback, *, force: bool
) -> None:
    """Copy the store at `path` into `file`, which nobody sees before it is whole and was checked."""
    _check_target(file, path)
    if os.path.lexists(file) and not force:
        raise _file_exists_error(file)
    with draft_beside(file, SIDE_FILES) as draft:
        with translate_sqlite_errors(path):
            try:
                _copy_database(source, draft, advance)
            except (OSError, sqlite3.Error) as error:
                if words := _target_problem(error):
                    raise OutputFailed(f"{file} cannot be written: {words}") from error
                raise
        _check_copy(draft, f"the store {path}", advance)
        try:
            move_into_place(draft, file, replace=force)
        except FileExistsError as error:
            raise _file_exists_error(file) from error
        except OSError as error:
            raise OutputFailed(f"{file} cannot be written: {error.strerror}") from error


def restore(path: str, owner: LeaseOwner, file: str, advance: ProgressCallback, *, force: bool) -> str:
    """Put a copy of the backup `file` in the place of the store; where the present one is now, or ""."""
    if not os.path.isfile(file) or (os.path.exists(path) and os.path.samefile(file, path)):
        raise UsageError(f"{file} is {'the store itself' if os.path.isfile(file) else 'no file'}")
    _check_replaceable(path, force=force)
    with translate_sqlite_errors(path):
        make_private_folder(os.path.dirname(path))
    with draft_beside(path, SIDE_FILES) as draft:
        _copy_backup(file, draft, path, advance)
        _check_copy(draft, f"the backup {file}", advance)
        with translate_sqlite_errors(path):
            _check_replaceable(path, force=force)
            kept = (
                _replace_store(draft, path, owner) if os.path.lexists(path) else _place_new_store(draft, path)
            )
    if kept:
        with suppress(sqlite3.Error), closing(open_database(kept, "mode=rw")) as db:
            db.execute("PRAGMA journal_mode = WAL")  # as it was
    return kept


def _check_target(file: str, path: str) -> None:
    """Raise UsageError for what a backup must not replace, however much that is wanted.

    A file in the place of /dev/null would break the whole machine, one in the place of the log the store.
    """
    sides = [f"{path}{ending}" for ending in SIDE_FILES]
    if os.path.isdir(file):
        raise UsageError(f"{file} is a folder")
    if os.path.exists(file) and not os.path.isfile(file):
        raise UsageError(f"{file} is a device or a pipe", hint="a backup is a file: name one")
    if os.path.exists(file) and os.path.samefile(file, path):
        raise UsageError(f"{file} is the store itself")
    if os.path.realpath(file) in sides or os.path.abspath(file) in sides:
        raise UsageError(f"{file} belongs to the store itself")


def _copy_database(source: sqlite3.Connection, target: str, advance: ProgressCallback) -> None:
    """Copy a store as of one moment into the new file `target`, 0600 and durable.

    One read transaction all along: writers go on, and do not make it begin again. It takes the file page by
    page, so what `advance` raises ends it at once. Raises sqlite3.Error and OSError.
    """
    os.close(os.open(target, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with closing(open_database(target, "mode=rw")) as copied:
        source.execute("BEGIN")
        try:
            source.execute("SELECT count(*) FROM sqlite_schema").fetchone()
            source.backup(
                copied,
                pages=_PAGES_PER_STEP,
                progress=lambda status, left, total: advance("copying", total - left, total),
            )
        finally:
            source.execute("COMMIT")
    file = os.open(target, os.O_RDWR)
    try:
        os.fsync(file)
    finally:
        os.close(file)


def _check_copy(path: str, name: str, advance: ProgressCallback) -> None:
    """Raise StoreDamaged unless the store at `path`, of today's schema, is sound; errors call it `name`.

    Looks at the file and at every row's checksum; leaves nothing beside it.
    """
    from flue_cli.stores.sqlite.maintenance import checkup

    with translate_sqlite_errors(name), closing(open_database(path, "mode=ro&immutable=1")) as db:
        for finding in checkup.check_rows(db, lambda done, total: advance("checking", done, total)):
            raise StoreDamaged(f"{name} is damaged: {finding.message}", hint="see: flue doctor")


def _copy_backup(file: str, draft: str, path: str, advance: ProgressCallback) -> None:
    """Copy the backup `file` into a draft of the store at `path`, of today's schema, with nobody's leases."""
    has_log = os.path.exists(f"{file}-wal") and os.path.getsize(f"{file}-wal") > 0
    try:
        with (
            translate_sqlite_errors(file),
            closing(open_database(file, f"mode=ro{'' if has_log else '&immutable=1'}")) as source,
        ):
            _check_backup_schema(source, file)
            try:
                _copy_database(source, draft, advance)
            except (OSError, sqlite3.Error) as error:
                if words := _target_problem(error):
                    raise StoreError(f"the store {path} cannot be written: {words}") from error
                raise
    except StoreDamaged as error:  # which is not the store, and has no backup of its own
        words = error.message.replace(f"the store {file}", f"the backup {file}")
        raise StoreDamaged(words, hint="take another backup") from error
    try:
        with translate_sqlite_errors(draft), closing(connect(draft)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("BEGIN IMMEDIATE")
            db.execute("UPDATE session SET owner = NULL WHERE owner IS NOT NULL")
            db.execute("DELETE FROM waiting")
            db.execute("COMMIT")
    except FlueError as error:
        raise type(error)(error.message.replace(draft, file), hint=error.hint) from error


def _check_backup_schema(source: sqlite3.Connection, file: str) -> None:
    """Raise StoreDamaged or StoreNewer unless the file is a store of this Flue's schema or an older one."""
    (application,) = source.execute("PRAGMA application_id").fetchone()
    (version,) = source.execute("PRAGMA user_version").fetchone()
    if application != APPLICATION_ID:
        raise StoreDamaged(f"{file} is not a backup of a Flue store")
    if version > SCHEMA_VERSION:
        raise StoreNewer(
            f"{file} was made by a newer Flue (its schema is {version}, this one knows {SCHEMA_VERSION})",
            hint=upgrade_hint(),
        )


def _check_replaceable(path: str, *, force: bool) -> None:
    if os.path.lexists(path) and not force:
        raise FileExists(
            f"the store {path} exists already",
            hint="replace it with --force: it then stays beside, under another name",
        )


def _replace_store(draft: str, path: str, owner: LeaseOwner) -> str:
    """Put the draft in the place of the store, which gets another name; that one. Conflict if in use."""
    try:
        with _exclusive_access(path):
            if owner.is_other_owner_alive():
                raise _store_in_use_error(path)
            return _exchange_files(draft, path)
    except sqlite3.Error:
        # So damaged that SQLite cannot say whether it is in use: its lock on the file can.
        with open(path, "rb+") as file:
            try:
                fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, *_SHARED_LOCK_RANGE)
            except OSError as error:
                raise _store_in_use_error(path) from error
            if owner.is_other_owner_alive():
                raise _store_in_use_error(path) from None
            return _exchange_files(draft, path)


def _place_new_store(draft: str, path: str) -> str:
    """Put the draft where no store is; the log of one that was lost would spoil it."""
    _set_wal_aside(path, _previous_store_name(path))
    try:
        move_into_place(draft, path, replace=False)
    except FileExistsError as error:  # somebody began a new one this moment
        raise FileExists(f"the store {path} exists already", hint="try again") from error
    return ""


@contextmanager
def _exclusive_access(path: str) -> Iterator[None]:
    """While inside, nobody else has the store open, and all of it is in one file; Conflict if somebody has.

    Out of write-ahead mode, since closing a store of that mode removes the log that lies at its path: by then
    that of another store.
    """
    place = os.stat(path).st_ino
    with closing(open_database(path, "mode=rw")) as db:
        db.execute("PRAGMA locking_mode = EXCLUSIVE")  # before the first look
        try:
            db.execute("BEGIN EXCLUSIVE")
            db.execute("COMMIT")
            db.execute("PRAGMA journal_mode = DELETE")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY:
                raise _store_in_use_error(path) from error
            raise
        try:
            yield
        except BaseException:
            if os.stat(path).st_ino == place:  # else its log would be made beside the other store
                db.execute("PRAGMA journal_mode = WAL")
            raise


def _exchange_files(draft: str, path: str) -> str:
    """Put the draft in the place of the store, which is never empty; the name that the store has then."""
    kept = _previous_store_name(path)
    is_linked = try_hard_link(path, kept)
    try:
        _set_wal_aside(path, kept)
        if not is_linked:
            os.rename(path, kept)
        move_into_place(draft, path, replace=True)
    except BaseException:
        if os.path.lexists(draft):
            if is_linked:  # a store of two names would be two stores, each with a log of its own
                os.unlink(kept)
            elif os.path.lexists(kept):
                os.rename(kept, path)
            with suppress(FileNotFoundError):
                os.rename(f"{kept}-wal", f"{path}-wal")
        raise
    return kept


def _previous_store_name(path: str) -> str:
    first = f"{path}.before-{time.strftime('%Y%m%d-%H%M%S')}"
    kept, number = first, 1
    while os.path.lexists(kept) or os.path.lexists(f"{kept}-wal"):
        number += 1
        kept = f"{first}-{number}"
    return kept


def _set_wal_aside(path: str, kept: str) -> None:
    """A log belongs to one store only: another one in its place must not find it."""
    with suppress(FileNotFoundError):
        if os.path.getsize(f"{path}-wal"):
            os.rename(f"{path}-wal", f"{kept}-wal")
        else:
            os.unlink(f"{path}-wal")
    with suppress(FileNotFoundError):
        os.unlink(f"{path}-shm")


def _target_problem(error: OSError | sqlite3.Error) -> str:
    """The reason why the copy cannot be written; "" if the source is at fault."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    of_disks = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY)
    return str(error) if code in of_disks else ""


def _file_exists_error(file: str) -> FileExists:
    return FileExists(f"{file} exists already", hint="replace it with --force")


def _store_in_use_error(path: str) -> Conflict:
    return Conflict(
        f"the store {path} is in use by another process",
        hint="end the chats and other commands that use it, then try again",
    )
