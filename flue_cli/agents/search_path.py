"""Folders in which agents are searched: those of the working folder and its repository, and their owners."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator

from flue_cli.agents.origin import repository_root
from flue_cli.errors import UsageError


def project_folders() -> Iterator[tuple[str, str]]:
    """Yield (origin, folder) of `./agents`, and in a repository of `../agents` and so on, up to its root."""
    yield "./agents", "agents"
    try:
        folder = os.getcwd()
    except OSError:  # the folder was removed
        return
    root = repository_root(folder)
    above = ""
    while root and folder != root:
        folder = os.path.dirname(folder)
        above += "../"
        yield f"{above}agents", os.path.join(folder, "agents")


def refuse_foreign_folder(agent: str, origin: str, path: str, folder: str) -> None:
    """Raise UsageError if the agent in the file `path` is in a project's `folder` of another user."""
    # As git's safe.directory: in a shared folder anybody could place an ./agents.
    if not origin.startswith("."):
        return
    owners = {os.lstat(folder).st_uid, os.stat(folder).st_uid, os.stat(path).st_uid}
    if owners != {os.geteuid()}:
        raise UsageError(
            f"{origin} belongs to another user, so its agent '{agent}' is not run",
            hint=f"if you trust it: --agents {origin}",
        )


def describe_search(places: Iterable[tuple[str, str]]) -> str:
    """Describe the folders of a search path, given as (origin, folder), in the order of search."""
    words = []
    for origin, folder in places:
        name = origin if origin.startswith(".") else shorten_home(folder)
        if os.path.isdir(folder):
            words.append(name)
        elif not origin.startswith("../"):
            words.append(f"{name} (not there)")
    return ", ".join(words)


def short_path(path: str, origin: str) -> str:
    """Return an agent's path as it is shown: `./agents/a.py`, `../agents/a.py`, `~/agents/a.py`."""
    below = os.path.relpath(path)
    if not below.startswith(".."):
        return os.path.join(".", below)
    return below if origin.startswith("..") else shorten_home(path)


def shorten_home(path: str) -> str:
    """Return `path` with `~` for the home folder."""
    home = os.path.expanduser("~")
    below = os.path.join(home, "")
    return f"~/{path.removeprefix(below)}" if path.startswith(below) and home != "/" else path


def is_agent_path(text: str) -> bool:
    """True if `text`, given in place of an agent's name, is a path: `./a.py`, `a.py`, `../b/a`."""
    return "/" in text or text.endswith(".py")
