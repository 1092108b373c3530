"""Cheap check for installed packages that offer agents: it reads file names and imports nothing."""

from __future__ import annotations

import os
import sys


def may_have_entry_points(group: str) -> bool:
    """True if a package on the import path may have entry points of `group`; in doubt, as for an archive."""
    # importlib.metadata would list them, but importing it takes as long as importing Typer.
    return any(_may_have_entry_points_in(folder, group.encode()) for folder in sys.path)


def _may_have_entry_points_in(folder: str, group: bytes) -> bool:
    try:
        names = os.listdir(folder or ".")
    except NotADirectoryError:
        return True
    except OSError:
        return False
    if any(name.endswith(".egg") for name in names):
        return True
    packages = (name for name in names if name.endswith((".dist-info", ".egg-info")))
    return any(_mentions_group(os.path.join(folder, name, "entry_points.txt"), group) for name in packages)


def _mentions_group(file: str, group: bytes) -> bool:
    try:
        with open(file, "rb") as points:
            return group in points.read()
    except OSError:  # most packages have no such file
        return False


def find_module_file(module: str) -> str:
    """Return the source file of a dotted module, "" if there is none."""
    # Not importlib.util.find_spec, which would import the parents of the module.
    from importlib.machinery import PathFinder

    search: list[str] | None = None
    path = ""
    name = ""
    for part in module.split("."):
        name = f"{name}.{part}" if name else part
        spec = PathFinder.find_spec(name, search)
        if spec is None:
            return ""
        path = spec.origin or ""
        search = list(spec.submodule_search_locations or ())
    return path if path.endswith(".py") else ""
