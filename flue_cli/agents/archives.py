"""Agents in a zip archive: Flue's samples, or a package's, where all is one file (`python -m zipapp`)."""

from __future__ import annotations

import os
from collections.abc import Iterator


def read_code(path: str) -> bytes:
    """Read the file at `path`, which may be inside a zip archive. Raises OSError."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except NotADirectoryError:
        archive = os.path.dirname(path)
        while archive and not os.path.isfile(archive):
            archive = os.path.dirname(archive)
        return _read_from_archive(archive, path)


def names_in_archive(folder: str) -> Iterator[str]:
    """Yield the names of the Python files in `folder` of Flue's package, which is inside an archive."""
    from importlib.resources import files

    place = files("flue_cli").joinpath(folder)
    if place.is_dir():
        yield from (file.name for file in place.iterdir() if file.name.endswith(".py"))


def _read_from_archive(archive: str, path: str) -> bytes:
    from zipimport import ZipImportError, zipimporter

    try:
        return zipimporter(archive).get_data(path)
    except ZipImportError as error:
        raise FileNotFoundError(2, "not in a zip archive", path) from error
