"""Errors of SQLite and of the system about the database file, in plain words and with their causes.

SQLite often says no more than "unable to open database file" or "disk I/O error". The cause is then looked
for at the file and its folder.
"""

from __future__ import annotations

import errno
import fcntl
import mmap
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
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_MAP_BYTES = 32_768
"""Size of the shared memory that SQLite maps first (WALINDEX_PGSZ in its wal.c)."""
_ERRNO_HINTS = {
    errno.ENAMETOOLONG: "name a store with a shorter path: --store or FLUE_STORE",
    errno.EMFILE: "raise the limit of open files (ulimit -n), or end some sessions",
    errno.ENFILE: "the whole machine has too many open files: end some programs",
    errno.ENOSPC: "free some space and try again",
    errno.EDQUOT: "free some space and try again",
    errno.EROFS: "the disk is mounted read-only: name another store with --store",
    errno.EIO: "the disk fails: save what can be read, and look at the system's log",
    errno.ENOTDIR: "a part of the path is a file and no folder: look at it",
    errno.EISDIR: "name a file in the folder with --store",
    errno.ELOOP: "its symbolic links lead in a circle: look at them",
    errno.ENOLCK: _LOCAL_DISK_HINT,
    errno.ENOSYS: _LOCAL_DISK_HINT,
    errno.EOPNOTSUPP: _LOCAL_DISK_HINT,
    errno.ENOTSUP: _LOCAL_DISK_HINT,
    errno.ESTALE: _LOCAL_DISK_HINT,
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
    if _is_disk_read_only(path):
        return _system_error(OSError(errno.EROFS, os.strerror(errno.EROFS)), path)
    return StoreError(
        f"the store {path} is read-only", hint="change its permissions, or name another with --store"
    )


def not_a_store_error(path: str) -> StoreDamaged:
    """Make the error for a file that is no store, as far as can be told."""
    return StoreDamaged(
        f"the file {path} is not a Flue store",
        hint="name another file with --store; if this one was a store, restore it from a backup",
    )


def missing_feature(folder: str) -> str:
    """Name what a store needs and the file system of `folder` lacks: "locks", "shared memory", or "".

    Tried out on a file without a name; "" too if none can be made there.
    """
    import tempfile

    # Never on the store itself: closing it would drop all locks that this process has on it (fcntl(2)).
    with suppress(OSError), tempfile.TemporaryFile(dir=folder) as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return "locks"
        file.truncate(_MAP_BYTES)
        try:
            mmap.mmap(file.fileno(), _MAP_BYTES).close()
        except OSError:
            return "shared memory"
    return ""


def missing_feature_error(path: str, feature: str) -> StoreError:
    """Make the error for a store at `path` whose file system lacks `feature`."""
    return StoreError(
        f"the store {path} is on a file system without {feature}, which a store needs", hint=_LOCAL_DISK_HINT
    )


def _sqlite_error(error: sqlite3.Error, path: str) -> FlueError:
    extended = getattr(error, "sqlite_errorcode", 0)
    code = extended & 0xFF  # the primary code, without its details
    if code == sqlite3.SQLITE_NOTADB:
        return not_a_store_error(path)
    if code == sqlite3.SQLITE_CORRUPT:
        return StoreDamaged(f"the store {path} is damaged: {error}", hint="restore it from a backup")
    if code == sqlite3.SQLITE_FULL:
        return _no_space_error(path, errno.ENOSPC)
    if code == sqlite3.SQLITE_READONLY or (code == sqlite3.SQLITE_CANTOPEN and _is_read_only(path)):
        return read_only_error(path)
    if code == sqlite3.SQLITE_CANTOPEN:
        return _cannot_open_error(path)
    if code == sqlite3.SQLITE_IOERR:
        return _io_error(error, extended, path)
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        if missing_feature(os.path.dirname(path)) == "locks":
            return missing_feature_error(path, "locks")
        return StoreLocked(f"the store {path} is locked by another program", hint="try again")
    return StoreError(f"the store {path} failed: {error}")


def _io_error(error: sqlite3.Error, code: int, path: str) -> StoreError:
    """Find the reason for a disk I/O error with the extended `code`."""
    if code in _LOCK_CODES:
        return missing_feature_error(path, "locks")
    if code == sqlite3.SQLITE_IOERR_FSYNC:
        return StoreError(f"the store {path} failed: {error}", hint=_FAILED_SYNC_HINT)
    refusal = _refused_write(os.path.dirname(path))
    if refusal in _NO_SPACE:
        return _no_space_error(path, refusal)
    if code in _SHARED_MEMORY_CODES and not refusal:
        return missing_feature_error(path, "shared memory")
    return StoreError(f"the store {path} failed: {error}", hint=_ERRNO_HINTS[refusal or errno.EIO])


def _no_space_error(path: str, number: int) -> StoreError:
    cause = "your quota is used up" if number == errno.EDQUOT else "the disk is full"
    return StoreError(f"the store {path} cannot grow: {cause}", hint=_ERRNO_HINTS[number])


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


def _is_read_only(path: str) -> bool:
    """True if nothing can be written beside the store, and so not to it."""
    return not os.access(os.path.dirname(path), os.W_OK)


def _is_disk_read_only(path: str) -> bool:
    try:
        return bool(os.statvfs(os.path.dirname(path)).f_flag & os.ST_RDONLY)
    except OSError:
        return False


def _refused_write(folder: str) -> int:
    """Return the errno with which the disk of `folder` refuses a file of one page; 0 if it takes it.

    SQLite says no more than that I/O failed where no byte is free for its side files, or a quota is used up.
    """
    import tempfile

    try:
        if os.statvfs(folder).f_bavail == 0:
            return errno.ENOSPC
        with tempfile.TemporaryFile(dir=folder) as file:
            os.pwrite(file.fileno(), bytes(4096), 0)
            os.fsync(file.fileno())
    except OSError as error:
        return error.errno if error.errno in _ERRNO_HINTS else 0
    return 0
