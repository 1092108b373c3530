"""Errors of SQLite and of the system about the database file, in plain words and with their causes.

SQLite often says no more than "unable to open database file" or "disk I/O error". The cause is then looked
for at the file and its folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress

from flue_cli.errors import FlueError, StoreDamaged, StoreError, StoreLocked

_MAX_PATH_BYTES = 512
"""Longest path that SQLite opens on Unix, in bytes (MAX_PATHNAME in its os_unix.c)."""
_LONGEST_ENDING = "-journal"
_LOCAL_DISK_HINT = "keep the store on a local disk, and name it with --store or FLUE_STORE"
_SHARED_MEMORY_CODES = frozenset(
    {
        sqlite3.SQLITE_IOERR_SHMOPEN,
        sqlite3.SQLITE_IOERR_SHMSIZE,
        sqlite3.SQLITE_IOERR_SHMLOCK,
        sqlite3.SQLITE_IOERR_SHMMAP,
    }
)
_LOCK_CODES = frozenset(
    {
        sqlite3.SQLITE_IOERR_LOCK,
        sqlite3.SQLITE_IOERR_RDLOCK,
        sqlite3.SQLITE_IOERR_UNLOCK,
        sqlite3.SQLITE_IOERR_CHECKRESERVEDLOCK,
    }
)
_FAILED_SYNC_HINT = (
    "the disk did not confirm what was written last: look whether it is there before you repeat it"
)
"""Hint for a failed sync. The next write overwrites the refused transaction; without one, the next process to
open the store may find it whole in the log, and cannot know that it was refused."""
_ERRNO_HINTS = {
    errno.ENAMETOOLONG: "name a store with a shorter path: --store or FLUE_STORE",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or end some sessions",
    errno.ENFILE: "the whole machine has too many open files: end some programs",
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "your quota on this disk is used up: free some space and try again",
    errno.EROFS: "the disk is mounted read-only: name another store with --store",
    errno.EIO: "the disk fails: save what can be read, and look at the system's log",
    errno.ENOTDIR: "a part of the path is a file and no folder: look at it",
    errno.EISDIR: "name a file in the folder with --store",
    errno.ELOOP: "its symbolic links lead in a circle: look at them",
    errno.ENOLCK: _LOCAL_DISK_HINT,
    errno.EACCES: "look at the permissions of the file and its folder",
    errno.EPERM: "look at the permissions of the file and its folder",
}


@contextmanager
def translate_sqlite_errors(path: str) -> Iterator[None]:
    """Raise errors of SQLite and of the system inside, about the store at `path`, as StoreError."""
    try:
        yield
    except sqlite3.Error as error:
        raise _sqlite_error(error, path) from error
    except OSError as error:
        raise _system_error(error, path) from error


def read_only_error(path: str) -> StoreError:
    """Make the error for a store that cannot be written."""
    return StoreError(
        f"the store {path} is read-only", hint="change its permissions, or name another with --store"
    )


def not_a_store_error(path: str) -> StoreDamaged:
    """Make the error for a file that is no store, as far as can be told."""
    return StoreDamaged(
        f"the file {path} is not a Flue store",
        hint="name another file with --store; if this one was a store, restore it from a backup",
    )


def _sqlite_error(error: sqlite3.Error, path: str) -> FlueError:
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF  # the primary code, without its details
    if code == sqlite3.SQLITE_NOTADB:
        return not_a_store_error(path)
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreDamaged(f"the store {path} is damaged: {error}", hint="restore it from a backup")
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR and _is_disk_full(path)):
        return StoreError(f"the store {path} cannot grow: the disk is full", hint=_ERRNO_HINTS[errno.ENOSPC])
    if code == sqlite3.SQLITE_READONLY or (code == sqlite3.SQLITE_CANTOPEN and _is_read_only(path)):
        return read_only_error(path)
    if code == sqlite3.SQLITE_CANTOPEN:
        return _cannot_open_error(path)
    if extended in _SHARED_MEMORY_CODES:
        return StoreError(
            f"the store {path} is on a file system without shared memory, which its readers and writers need",
            hint=_LOCAL_DISK_HINT,
        )
    is_busy = code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
    if extended in _LOCK_CODES or (is_busy and _has_no_locks(path)):
        return StoreError(f"the store {path} is on a file system without locks", hint=_LOCAL_DISK_HINT)
    if is_busy:
        return StoreLocked(f"the store {path} is locked by another program", hint="try again")
    unconfirmed = extended == sqlite3.SQLITE_IOERR_FSYNC
    return StoreError(f"the store {path} failed: {error}", hint=_FAILED_SYNC_HINT if unconfirmed else "")


def _system_error(error: OSError, path: str) -> StoreError:
    return StoreError(
        f"the store {path} cannot be used: {error.strerror or error}",
        hint=_ERRNO_HINTS.get(error.errno or 0, ""),
    )


def _cannot_open_error(path: str) -> StoreError:
    """Find the reason why SQLite cannot open the store, of which it tells nothing."""
    name = os.fsencode(os.path.basename(path))
    if len(os.fsencode(path)) + len(_LONGEST_ENDING) > _MAX_PATH_BYTES:
        return _system_error(OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG)), path)
    try:
        if len(name) + len(_LONGEST_ENDING) > os.pathconf(os.path.dirname(path), "PC_NAME_MAX"):
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
        os.stat(path)
        _check_descriptors(3)  # SQLite opens the file, its log and its shared memory
    except OSError as error:
        return _system_error(error, path)
    return StoreError(f"the store {path} cannot be opened", hint=_ERRNO_HINTS[errno.EACCES])


def _check_descriptors(count: int) -> None:
    """Raise OSError (EMFILE, ENFILE) unless this process may open `count` more files."""
    with ExitStack() as opened:
        for _ in range(count):
            opened.callback(os.close, os.open(os.devnull, os.O_RDONLY))


def _has_no_locks(path: str) -> bool:
    """True if the file system refuses a lock that nobody can hold, on a file made for this look."""
    import tempfile

    # Never on the store itself: closing it would drop all locks that this process has on it (fcntl(2)).
    with suppress(OSError), tempfile.TemporaryFile(dir=os.path.dirname(path)) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return True
    return False


def _is_read_only(path: str) -> bool:
    """True if nothing can be written beside the store, and so not to it."""
    return not os.access(os.path.dirname(path), os.W_OK)


def _is_disk_full(path: str) -> bool:
    """With not a byte free SQLite cannot make its side files, and says no more than that I/O failed."""
    try:
        return os.statvfs(os.path.dirname(path)).f_bavail == 0
    except OSError:
        return False
