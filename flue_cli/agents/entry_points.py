"""Cheap check for installed packages that offer agents: file names only, nothing is imported."""

from __future__ import annotations

import os
import sys


def may_have_entry_points(group: str) -> bool:
    """True if some package on the import path has entry points of `group`.

    importlib.metadata, which tells which ones, costs as much as all of Typer. In doubt, as for an archive on
    the path, the answer is yes.
    """
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
    described = (name for name in names if name.endswith((".dist-info", ".egg-info")))
    return any(_mentions_group(os.path.join(folder, name, "entry_points.txt"), group) for name in described)


def _mentions_group(file: str, group: bytes) -> bool:
    try:
        with open(file, "rb") as points:
            return group in points.read()
    except OSError:  # most have none
        return False
