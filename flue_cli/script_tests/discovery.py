"""Search for scripts: files as they are named, folders with all scripts below them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from flue_cli.errors import NotFound
from flue_cli.text import safe_line

SCRIPT_SUFFIX = ".flue"


def find_scripts(paths: Iterable[str]) -> list[str]:
    """Find the files to play, each once, folders in order of name; NotFound where there is none."""
    files: dict[str, str] = {}
    for path in paths:
        below = [path]
        if os.path.isdir(path):
            below = list(_scripts_below(path))
            if not below:
                raise NotFound(f"there is no *{SCRIPT_SUFFIX} file in {safe_line(path)}", hint=_HINT)
        elif not os.path.exists(path):
            raise NotFound(f"there is no file {safe_line(path)}")
        for file in below:
            files.setdefault(os.path.realpath(file), file)
    return list(files.values())


_HINT = "write one, or: flue sessions export SESSION -o NAME.flue"


def _scripts_below(folder: str) -> Iterator[str]:
    for place, folders, names in os.walk(folder):
        # What others have installed here is not ours to test.
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name != "node_modules"
            and not os.path.exists(os.path.join(place, name, "pyvenv.cfg"))
        )
        for name in sorted(names):
            if name.endswith(SCRIPT_SUFFIX) and not name.startswith("."):
                yield os.path.normpath(os.path.join(place, name))
