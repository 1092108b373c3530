"""Discovery of scripts: the given files, and all scripts below the given folders."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from flue_cli.errors import NotFound
from flue_cli.text import safe_line

SCRIPT_SUFFIX = ".flue"


def find_scripts(paths: Iterable[str]) -> list[str]:
    """Find the scripts, each once, sorted within a folder; NotFound for a path without any."""
    files: dict[str, str] = {}
    for path in paths:
        scripts = [path]
        if os.path.isdir(path):
            scripts = list(_scripts_below(path))
            if not scripts:
                raise NotFound(f"there is no *{SCRIPT_SUFFIX} file in {safe_line(path)}", hint=_HINT)
        elif not os.path.exists(path):
            raise NotFound(f"there is no file {safe_line(path)}")
        for file in scripts:
            files.setdefault(os.path.realpath(file), file)
    return list(files.values())


_HINT = "write one, or: flue sessions export SESSION -o NAME.flue"


def _scripts_below(folder: str) -> Iterator[str]:
    for parent, folders, names in os.walk(folder):
        # Installed packages and virtual environments have scripts of other people.
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".")
            and name != "node_modules"
            and not os.path.exists(os.path.join(parent, name, "pyvenv.cfg"))
        )
        for name in sorted(names):
            if name.endswith(SCRIPT_SUFFIX) and not name.startswith("."):
                yield os.path.normpath(os.path.join(parent, name))
