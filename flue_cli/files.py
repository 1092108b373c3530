"""Private files, written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress

from flue_cli.errors import FileExists, OutputFailed

_NO_HARD_LINKS = {
    *(errno.EPERM, errno.EACCES, errno.EMLINK),
    *(errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP),
}
"""Errors where there are no hard links: exFAT, Android, FUSE, folders shared with virtual machines."""


def make_private_folder(folder: str) -> None:
    """Create `folder` and its missing parents, for the owner only (0700); raises OSError."""
    if os.path.isdir(folder):
        return
    parent = os.path.dirname(folder)
    if parent == folder:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    make_private_folder(parent)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    sync_folder(parent)


def sync_folder(folder: str) -> None:
    """Make the names in a folder durable: a synced file without its name is lost. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync folders
            raise
    finally:
        os.close(descriptor)


def atomic_write(path: str, pieces: Iterable[bytes], *, replace: bool, mode: int = 0o600) -> None:
    """Write a file durably, whole or not at all; no reader ever sees a part of it.

    Raises FileExistsError unless `replace`, and other OSErrors.
    """
    with draft_beside(path) as draft:
        descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
        with open(descriptor, "wb") as file:
            file.writelines(pieces)
            if mode != 0o600:
                os.fchmod(descriptor, mode)
            file.flush()
            os.fsync(descriptor)
        move_into_place(draft, path, replace=replace)


@contextmanager
def draft_beside(path: str, endings: Sequence[str] = ()) -> Iterator[str]:
    """Context with a free file name in the folder of `path`; such a file is removed at the end.

    So are files with the same name and one of `endings`.
    """
    draft = os.path.join(os.path.dirname(os.path.abspath(path)), f".flue-{os.urandom(6).hex()}")
    try:
        yield draft
    finally:
        for leftover in (draft, *(draft + ending for ending in endings)):
            if os.path.lexists(leftover):  # on a read-only disk unlink fails even for a missing file
                os.unlink(leftover)


def move_into_place(draft: str, path: str, *, replace: bool) -> None:
    """Give the durable file `draft` the name `path`, durably; it may keep its own name too.

    Raises FileExistsError unless `replace`, also if the other file was created at the same moment.
    """
    folder = os.path.dirname(os.path.abspath(path))
    if replace:
        os.replace(draft, path)
    elif not try_hard_link(draft, path):
        _move_if_free(draft, path, folder)
    with suppress(PermissionError):  # a folder without read permission cannot be synced
        sync_folder(folder)


def try_hard_link(path: str, name: str) -> bool:
    """Give the file at `path` a second name; False if the file system has no hard links.

    Raises FileExistsError and other OSErrors.
    """
    try:
        os.link(path, name)
    except OSError as error:
        if error.errno in _NO_HARD_LINKS:
            return False
        raise
    return True


def _move_if_free(draft: str, path: str, folder: str) -> None:
    """Rename the draft unless `path` exists; a lock on the folder excludes other Flue processes."""
    import fcntl

    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # not every file system can lock a folder
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path)
        os.rename(draft, path)
    finally:
        os.close(descriptor)


def write_whole(path: str, pieces: Iterable[str], *, force: bool) -> None:
    """Write a private file (0600) whole or not at all; a device or pipe is written to directly.

    Raises FileExists unless `force`, and OutputFailed if it cannot be written.
    """
    try:
        if os.path.exists(path) and (not os.path.isfile(path) or _is_device_path(path)):
            # Replacing /dev/null by a file would break the machine.
            with open(path, "w", encoding="utf-8", newline="") as device:
                device.writelines(pieces)
        elif os.path.lexists(path) and not force:
            raise FileExistsError
        else:
            atomic_write(path, (piece.encode() for piece in pieces), replace=force)
    except FileExistsError as error:
        raise FileExists(f"{path} exists already", hint="replace it with --force") from error
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from error


def _is_device_path(path: str) -> bool:
    """True for a name in /dev, such as /dev/stderr, which may be a link to a regular file."""
    return os.path.dirname(os.path.abspath(path)) == "/dev"
