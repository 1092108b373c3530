"""The source of an import: a file or standard input, and the sessions in it."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from typing import IO, Any, NamedTuple, Self

from flue_cli.errors import UsageError
from flue_cli.jsondata.strict import decode_utf8, parse_foreign
from flue_cli.stores.records import Entry
from flue_cli.text import safe_line

MAX_LINE = 256 * 2**20
"""The longest line, in bytes: a turn has several texts of up to 16 MiB, and JSON may escape each byte."""

MAX_DOCUMENT = 2**30
"""The largest document that is not in lines: it is read into memory whole."""

_PIECE = 2**20
"""Bytes to look through at a time."""

_SQLITE = b"SQLite format 3\0"

UNDATED = -(2**62)
"""The time of an entry of which nobody wrote down when it was."""

Skipped = Callable[[str], object]
"""Called with a sentence for everything that is left out, and where it stands: `row 17: no conversation`."""


class ImportedSession(NamedTuple):
    """A session that was found.

    `agent` is "" where the source does not say. `name` need not be a valid one. `entries` are to be read
    once, before the next session is asked for; UsageError where they cannot be. `origin` is the session
    (by name) and turn that it was forked from.
    """

    agent: str
    name: str
    entries: Iterable[Entry]
    origin: tuple[str, int] | None = None


def refused(error: UsageError) -> Iterator[Entry]:
    """The entries of a session that was found and cannot be read: to ask for one raises `error`."""

    def first(error: UsageError) -> Entry:
        raise error

    return map(first, (error,))


class Source:
    """A file to import from, or with `-` standard input. Use it as a context manager."""

    def __init__(self, path: str) -> None:
        """Raises UsageError for what cannot be opened."""
        self.path = path
        self.is_stdin = path == "-"
        self.called = "standard input" if self.is_stdin else safe_line(path)
        try:
            self._file = _seekable(path)
        except OSError as error:
            raise UsageError(f"{self.called} cannot be read: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    @property
    def is_database(self) -> bool:
        """True if it is an SQLite file."""
        return self.beginning(len(_SQLITE)) == _SQLITE

    @property
    def stem(self) -> str:
        """The file's name without its ending: what a session is called that has no name of its own."""
        name = "" if self.is_stdin else os.path.basename(self.path)
        return os.path.splitext(name)[0].removesuffix(".openai") or "imported"

    @cached_property
    def is_one_line(self) -> bool:
        """True if there is something in the first line, and nothing in any other."""
        self._file.seek(0)
        has_text = has_ended = False
        while data := self._read(_PIECE):
            first, newline, rest = (b"", b"", data) if has_ended else data.partition(b"\n")
            has_text = has_text or bool(first.strip())
            has_ended = has_ended or bool(newline)
            if rest.strip():
                return False
        return has_text

    def beginning(self, size: int) -> bytes:
        """The first `size` bytes."""
        self._file.seek(0)
        return self._read(size)

    def lines(self) -> Iterator[tuple[int, str]]:
        """Every line that is not blank, with its number; UsageError for what is not UTF-8 or too long."""
        for number, line in self.raw_lines():
            text = self.text_of(number, line)
            if text.strip():
                yield number, text

    def raw_lines(self) -> Iterator[tuple[int, bytes]]:
        """Every line as it stands, with its number; UsageError for one that is too long."""
        self._file.seek(0)
        number = 0
        while line := self._line():
            number += 1
            if len(line) > MAX_LINE:
                raise UsageError(f"line {number} of {self.called} has more than {MAX_LINE // 2**20} MiB")
            yield number, line

    def text_of(self, number: int, line: bytes) -> str:
        """A line's text; UsageError for what is not UTF-8."""
        return decode_utf8(line, f"line {number} of {self.called}", is_first=number == 1)

    @cached_property
    def document(self) -> Any:
        """The JSON value that the whole of it is; UsageError with line and column where it is none."""
        self._file.seek(0)
        data = self._read(MAX_DOCUMENT + 1)
        if len(data) > MAX_DOCUMENT:
            raise UsageError(
                f"{self.called} has more than {MAX_DOCUMENT // 2**20} MiB in one document",
                hint="jsonl, a turn a line, may be of any size",
            )
        return parse_foreign(decode_utf8(data, self.called, is_first=True), self.called)

    def _line(self) -> bytes:
        try:
            return self._file.readline(MAX_LINE + 1)
        except OSError as error:
            raise UsageError(f"{self.called} cannot be read: {error.strerror}") from error

    def _read(self, size: int) -> bytes:
        try:
            return self._file.read(size)
        except OSError as error:
            raise UsageError(f"{self.called} cannot be read: {error.strerror}") from error


def _seekable(path: str) -> IO[bytes]:
    """The file; what comes through a pipe is read to its end first.

    It is read twice, and no lock of the store may be held while a pipe is slow.
    """
    if path == "-":
        return _copied(sys.stdin.buffer if sys.stdin else open(os.devnull, "rb"))
    file = open(path, "rb")  # noqa: SIM115 - the caller closes it
    if stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        return file
    with file:
        return _copied(file)


def _copied(stream: IO[bytes]) -> IO[bytes]:
    import shutil
    import tempfile

    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(stream, copy)
    return copy
