"""The places in which agents are searched, in their order, and the agents in each."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from flue_cli.agents.origin import repository_root
from flue_cli.errors import UsageError
from flue_cli.settings import Settings
from flue_cli.text import safe_line

ENTRY_POINTS = "flue.agents"
"""The entry-point group under which an installed package offers agents."""


class AgentSource(NamedTuple):
    """Source of an agent: its name, its file, and the place of discovery.

    `origin` is `--agents`, `FLUE_AGENTS`, `config.toml`, `./agents` (or `../agents` and so on), `user`,
    `sample`, `package NAME`, or `file` if the agent was named by the path of its file.
    For a package's agent, `module` is the module to import and `attribute` the dotted name in it.
    """

    name: str
    path: str
    origin: str
    module: str = ""
    attribute: str = "agent"


def search_folders(settings: Settings) -> Iterator[tuple[str, str]]:
    """Yield (origin, folder) in the order of search; UsageError if a folder of `--agents` does not exist."""
    for folder in settings.agent_dirs:
        if not os.path.isdir(folder):
            raise UsageError(f"--agents: there is no folder {safe_line(folder)}")
        yield "--agents", folder
    yield from (("FLUE_AGENTS", folder) for folder in settings.agent_path)
    yield from (("config.toml", folder) for folder in settings.config_agents)
    yield from project_folders()
    yield "user", os.path.join(settings.home, "agents")
    yield "sample", samples_folder()


def samples_folder() -> str:
    """Return the folder of the samples: the wheel's copy, or in a checkout its original."""
    package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    shipped, original = os.path.join(package, "samples"), os.path.join(os.path.dirname(package), "agents")
    return original if os.path.isdir(original) and not os.path.isdir(shipped) else shipped


def agents_in_folder(origin: str, folder: str) -> Iterator[AgentSource]:
    """Yield the agents in a folder of the search path; of two spellings of a name, the one with `_` first."""
    try:
        names, is_packed = os.listdir(folder), False
    except NotADirectoryError:
        from flue_cli.agents.archives import names_in_archive

        names, is_packed = list(names_in_archive("samples")) if origin == "sample" else [], True
    except OSError:
        return
    for name in sorted(names, reverse=True):  # 'a_b.py' before 'a-b.py'
        if name.startswith(("_", ".")):
            continue
        path = os.path.abspath(os.path.join(folder, name))
        if name.endswith(".py") and (is_packed or os.path.isfile(path)):
            yield AgentSource(name.removesuffix(".py").replace("_", "-"), path, origin)
        elif os.path.isfile(package := os.path.join(path, "__init__.py")):
            yield AgentSource(name.replace("_", "-"), package, origin)


def agents_in_packages() -> Iterator[AgentSource]:
    """Locate the agents of installed packages, without importing them."""
    from flue_cli.agents.entry_points import find_module_file, may_have_entry_points

    if not may_have_entry_points(ENTRY_POINTS):
        return
    from importlib.metadata import entry_points

    for point in entry_points(group=ENTRY_POINTS):
        path = find_module_file(point.module)
        if path:
            distribution = point.dist.name if point.dist else point.module
            name = point.name.replace("_", "-")
            yield AgentSource(name, path, f"package {distribution}", point.module, point.attr or "agent")


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
