"""Origins of agents: the project and file, or the package, that an agent comes from.

A session keeps the origins of the agents that have answered in it, so that agents of one name from two
projects do not answer in each other's sessions. An origin has no absolute path: it stays the same when a
project's folder is moved, or is checked out on another machine.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from flue_cli.agents.search_path import AgentSource

USER_FOLDER = "the user's agents folder"
"""Origin of agents that belong to the person and to no project."""


def agent_origin(source: AgentSource, samples_folder: str) -> str:
    """Return the origin of an agent.

    That is `shop/agents/assistant.py`, the path from the folder of its project; or `sample`, `package NAME`
    or USER_FOLDER, which have no slash and belong to no project.
    """
    if source.module:
        return source.origin
    path = os.path.realpath(source.path)
    if source.origin == "sample" or path.startswith(os.path.join(os.path.realpath(samples_folder), "")):
        return "sample"
    if source.origin == "user":
        return USER_FOLDER
    folder = os.path.dirname(path)
    if os.path.basename(path) == "__init__.py":
        folder = os.path.dirname(folder)
    project = repository_root(folder) or os.path.dirname(folder)
    return os.path.join(os.path.basename(project), os.path.relpath(path, project))


def current_project() -> str:
    """Return the name of the project's folder that this process is in: the repository's root, or itself."""
    try:
        folder = os.path.realpath(os.getcwd())
    except OSError:  # the folder was removed
        return ""
    return os.path.basename(repository_root(folder) or folder)


def repository_root(folder: str) -> str:
    """Return the nearest folder with a `.git`, from `folder` up; "" if there is none."""
    while not os.path.lexists(os.path.join(folder, ".git")):
        parent = os.path.dirname(folder)
        if parent == folder:
            return ""
        folder = parent
    return folder
