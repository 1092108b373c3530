"""Files that are private to their owner, and written whole or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable

from flue_cli.errors import FileExists, OutputFailed


def make_private_folder(folder: str) -> None:
    """Make `folder`, and what is missing above it, for its owner alone (0700); raises OSError."""
    if os.path.isdir(folder):
        return
    above = os.path.dirname(folder)
    if above == folder:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), folder)
    make_private_folder(above)
    try:
        os.mkdir(folder, 0o700)
    except FileExistsError:
        return
    sync_folder(above)


def sync_folder(folder: str) -> None:
    """Make a folder's entries durable: a file that survives without its name is lost. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno != errno.EINVAL:  # some file systems cannot sync folders
            raise
    finally:
        os.close(descriptor)


def write_whole(path: str, pieces: Iterable[str], *, force: bool) -> None:
    """Write a private file (0600) whole or not at all; a device or pipe is written to as it is.

    Raises FileExists unless `force`, OutputFailed when it cannot be written.
    """
    try:
        if os.path.exists(path) and (not os.path.isfile(path) or _is_of_the_system(path)):
            # Replacing /dev/null by a file would break the whole machine.
            with open(path, "w", encoding="utf-8", newline="") as device:
                device.writelines(pieces)
        elif os.path.lexists(path) and not force:
            raise FileExistsError
        else:
            _write_and_place(path, pieces, force=force)
    except FileExistsError as error:
        raise FileExists(f"{path} exists already", hint="replace it with --force") from error
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from error


def _is_of_the_system(path: str) -> bool:
    """Whether it is one of the names in /dev, such as /dev/stderr, that may lead to a file."""
    return os.path.dirname(os.path.abspath(path)) == "/dev"


def _write_and_place(path: str, pieces: Iterable[str], *, force: bool) -> None:
    folder, name = os.path.split(os.path.abspath(path))
    draft = os.path.join(folder, f".{name[:100]}.{os.urandom(4).hex()}")
    descriptor = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with open(descriptor, "w", encoding="utf-8", newline="") as file:
            file.writelines(pieces)
            file.flush()
            os.fsync(descriptor)
        if force:
            os.replace(draft, path)
        else:
            os.link(draft, path)  # fails if something came into the way meanwhile
    finally:
        if os.path.lexists(draft):
            os.unlink(draft)
