"""Agents in a zip archive: Flue's samples, or a package's, where all is one file (`python -m zipapp`)."""

from __future__ import annotations

import os
from collections.abc import Iterator


def read_packed_file(path: str) -> bytes:
    """Read the file at `path` inside a zip archive. Raises OSError if there is none."""
    from zipimport import ZipImportError, zipimporter

    archive = os.path.dirname(path)
    while archive != os.path.dirname(archive) and not os.path.isfile(archive):
        archive = os.path.dirname(archive)
    try:
        return zipimporter(archive).get_data(path)
    except ZipImportError as error:
        raise FileNotFoundError(2, "not in a zip archive", path) from error


def names_in_archive(folder: str) -> Iterator[str]:
    """Yield the names of the Python files in `folder` of Flue's package, which is inside an archive."""
    from importlib.resources import files

    place = files("flue_cli").joinpath(folder)
    if place.is_dir():
        yield from (file.name for file in place.iterdir() if file.name.endswith(".py"))
