"""Records that wait on disk until all of them are there, so that memory is no limit."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Iterator
from typing import Generic, TypeVar

from flue_cli.errors import OutputFailed

Record = TypeVar("Record")


class Spool(Generic[Record]):
    """A private file without a name: records go in, and come out in the same order."""

    def __init__(self) -> None:
        self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed by `close`

    def add(self, record: Record) -> None:
        """Put a record at the end; OutputFailed if there is no room."""
        try:
            pickle.dump(record, self._file)
        except OSError as error:
            raise OutputFailed(f"no room for what is to be kept: {error.strerror}") from error

    def __iter__(self) -> Iterator[Record]:
        self._file.seek(0)
        while True:
            try:
                yield pickle.load(self._file)  # noqa: S301 - what we wrote ourselves
            except EOFError:
                return

    def close(self) -> None:
        """Let the file go, and what is in it."""
        self._file.close()
