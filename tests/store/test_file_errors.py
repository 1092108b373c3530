"""A store that cannot be used: the cause is named, and what to do about it."""

from __future__ import annotations

import errno
import os
import resource
import sqlite3
import subprocess
from contextlib import closing, suppress
from typing import TYPE_CHECKING

import pytest
from support.requirements import needs, needs_root

from flue_cli.errors import StoreError
from flue_cli.stores import open_store
from flue_cli.stores.sqlite.file_errors import translate_sqlite_errors
from flue_cli.stores.sqlite.maintenance import checkup
from flue_cli.testing.run_turns import run_turn

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Flue


def refusal(path: Path | str) -> StoreError:
    """The error of the first prompt for a store at `path`."""
    with closing(open_store(str(path))) as store, pytest.raises(StoreError) as caught:
        run_turn(store, "hi")
    return caught.value


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    """A file name, or a path, that is too long is said to be that."""
    for path in (
        tmp_path / ("x" * 300),
        tmp_path / ("x" * 250),
        tmp_path / "/".join(["d" * 100] * 6) / "flue.db",
    ):
        error = refusal(path)
        assert "File name too long" in error.message
        assert "shorter path" in error.hint


def test_a_path_that_leads_nowhere(tmp_path: Path) -> None:
    """A file in place of a folder, and links in a circle, are named as the system names them."""
    (tmp_path / "file").write_text("x")
    error = refusal(tmp_path / "file" / "flue.db")
    assert ("Not a directory" in error.message, "is a file" in error.hint) == (True, True)
    (tmp_path / "one").symlink_to(tmp_path / "two")
    (tmp_path / "two").symlink_to(tmp_path / "one")
    assert "circle" in refusal(tmp_path / "one").hint


def test_too_few_descriptors(tmp_path: Path) -> None:
    """A process that may open no more files says that, and not to look at permissions."""
    path = tmp_path / "flue.db"
    with closing(open_store(str(path))) as store:
        run_turn(store, "first")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    opened: list[int] = []
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, 256), hard))
    try:
        with suppress(OSError):
            while True:
                opened.append(os.open(os.devnull, os.O_RDONLY))
        for descriptor in opened[-3:]:  # a few are free: not enough for the file, its log and its memory
            os.close(descriptor)
        del opened[-3:]
        with closing(open_store(str(path))) as store, pytest.raises(StoreError) as caught:
            run_turn(store, "second")
    finally:
        for descriptor in opened:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert "Too many open files" in caught.value.message
    assert "ulimit" in caught.value.hint


@pytest.mark.parametrize(
    "number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.ENOLCK, errno.EACCES]
)
def test_an_error_of_the_system_has_a_hint(tmp_path: Path, number: int) -> None:
    """What the system refuses is told in its own words, with advice."""
    with pytest.raises(StoreError) as caught, translate_sqlite_errors(str(tmp_path / "flue.db")):
        raise OSError(number, os.strerror(number))
    assert os.strerror(number) in caught.value.message
    assert caught.value.hint


def test_a_disk_that_lacks_something_before_the_first_prompt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check-up tries out locks and shared memory where the store will be, and leaves nothing there."""
    path = tmp_path / "new" / "flue.db"

    def problems() -> list[str]:
        return [finding.message for finding in checkup.check_disk(str(path)) if "without" in finding.message]

    def refuse(*_: object) -> None:
        raise OSError(errno.ENODEV, os.strerror(errno.ENODEV))

    assert problems() == []
    for function, feature in (("mmap.mmap", "shared memory"), ("fcntl.lockf", "locks")):
        monkeypatch.setattr(function, refuse)
        assert problems() == [f"the store {path} is on a file system without {feature}, which a store needs"]
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_mounted_read_only(tmp_path: Path) -> None:
    """A store on a read-only disk is not blamed on permissions: changing them would not help."""
    needs_root()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "none", tmp_path], check=False)
    needs(mounted.returncode == 0, "to mount a small disk")
    try:
        path = tmp_path / "flue.db"
        with closing(open_store(str(path))) as store:
            run_turn(store, "first")
        subprocess.run(["mount", "-o", "remount,ro", tmp_path], check=True)
        error = refusal(path)
    finally:
        subprocess.run(["umount", tmp_path], check=True)
    assert "Read-only file system" in error.message
    assert "mounted read-only" in error.hint


def sqlite_error(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = code
    return error


@pytest.mark.parametrize(
    ("code", "words"),
    [
        (sqlite3.SQLITE_IOERR_SHMMAP, "without shared memory"),
        (sqlite3.SQLITE_IOERR_SHMOPEN, "without shared memory"),
        (sqlite3.SQLITE_IOERR_LOCK, "without locks"),
        (sqlite3.SQLITE_BUSY, "locked by another program"),
    ],
)
def test_a_file_system_that_lacks_something(tmp_path: Path, code: int, words: str) -> None:
    """SQLite's "disk I/O error" becomes the property that the disk lacks."""
    with pytest.raises(StoreError, match=words), translate_sqlite_errors(str(tmp_path / "flue.db")):
        raise sqlite_error(code)


def test_locks_that_nobody_can_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the file system refuses every lock, no other program is blamed for one."""

    def refuse(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr("fcntl.lockf", refuse)
    with pytest.raises(StoreError, match="without locks"), translate_sqlite_errors(str(tmp_path / "flue.db")):
        raise sqlite_error(sqlite3.SQLITE_BUSY)


@pytest.mark.parametrize("limit", [7, 10])
def test_a_low_limit_of_open_files(flue: Flue, limit: int) -> None:
    """Wherever a command runs out of files to open, it says that, and calls it no bug of its own."""
    assert flue("chat", "greeting", "-s", "a", "my name is Ada").code == 0

    def lower() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))

    process = flue.start("chat", "greeting", "-s", "a", "hi", preexec_fn=lower)
    out, err = process.communicate()
    assert process.returncode in (5, 71)
    assert out == b""
    assert b"Too many open files" in err
    assert b"ulimit -n" in err
    assert flue("chat", "greeting", "-s", "a", "hi").out.startswith("Hello again, Ada")
