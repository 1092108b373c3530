"""Paths that are half typed, and the files that they may become."""

from __future__ import annotations

import os
from collections.abc import Iterator

from flue_cli.text import safe_line


def paths(typed: str) -> Iterator[str]:
    """The files, and the folders with a slash, whose paths begin with `typed`, in order of their names.

    Hidden ones only for a name that begins with a dot. Raises OSError.
    """
    folder, slash, start = typed.rpartition("/")
    above = os.path.expanduser(folder + slash) or "."
    with os.scandir(above) as entries:
        found = sorted(
            (entry.name, entry.is_dir())
            for entry in entries
            if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith("."))
        )
    for name, is_folder in found:
        if safe_line(name) == name:  # else it could not be told what would be named
            yield f"{folder}{slash}{name}{'/' if is_folder else ''}"


def named_files(typed: str) -> Iterator[str]:
    """The same for what stands behind an `@`: with quotes around a path that has blanks."""
    for path in paths(typed.removeprefix('"')):
        if '"' in path:
            continue
        if typed.startswith('"') or any(character.isspace() for character in path):
            yield f'"{path}' if path.endswith("/") else f'"{path}"'
        else:
            yield path
