"""The agent of a chat as it was loaded, and whether its file has changed since."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import NamedTuple

from flue_cli import times
from flue_cli.agents import discovery
from flue_cli.agents.discovery import Agent, AgentSource
from flue_cli.errors import AgentError, AgentNotFound, UsageError
from flue_cli.turns.cancellation import AgentStopped, Cancellation

Stamp = tuple[tuple[str, int, int], ...]
"""What tells one state of an agent's files from another: name, time of change and size of each."""


class Loaded(NamedTuple):
    """An agent that was loaded at the time `at`, from `source` (None: from no file) as `stamp` saw it.

    `noticed` is a later state of its files, of which the person knows. `remark` is what there is to say when
    they begin to talk to it, "" for nothing.
    """

    agent: Agent
    source: AgentSource | None = None
    stamp: Stamp = ()
    noticed: Stamp = ()
    at: int = 0
    remark: str = ""

    @property
    def file(self) -> str:
        """The name of its file, without the folder; for a package's `__init__.py`, with it."""
        path = self.source.path if self.source else ""
        folder, name = os.path.split(path)
        return os.path.join(os.path.basename(folder), name) if name == "__init__.py" else name

    def now(self) -> Stamp:
        """Its files as they are now; as they were if they are not there, as while an editor saves.

        A package's are taken not to change: they are loaded once.
        """
        if self.source is None or self.source.module:
            return self.stamp
        return stamp_of(self.source) or self.stamp


def _no_agent(name: str) -> Loaded:
    raise AgentNotFound(f"there is no agent '{name}'")


class Agents(NamedTuple):
    """The agents that a chat can turn to, and whether it follows the file of its own as it changes.

    `load` raises as discovery.find_agent and discovery.load_agent.
    """

    load: Callable[[str], Loaded] = _no_agent
    found: Callable[[], list[AgentSource]] = list
    watches: bool = False


def loaded(source: AgentSource) -> Loaded:
    """The agent of `source` as its file is now; raises as discovery.load_agent."""
    stamp = stamp_of(source)  # before it is read: what is saved meanwhile counts as a change
    return Loaded(discovery.load_agent(source), source, stamp, at=times.now())


def reloaded(old: Loaded) -> Loaded:
    """The same agent as its file is now; UsageError if that cannot be had, else as discovery.load_agent."""
    if old.source is None:
        raise UsageError(f"agent '{old.agent.name}' has no file that could be loaded again")
    if old.source.module:  # import_module would give what it gave before
        raise UsageError(
            f"agent '{old.agent.name}' belongs to {old.source.origin}, which is loaded once",
            hint="leave the chat and come back",
        )
    return loaded(old.source)._replace(remark=old.remark)


def stoppable(load: Callable[[], Loaded], cancellation: Cancellation) -> Loaded:
    """What `load` gives; a request ends it where it stands, and raises its reason."""
    try:
        with cancellation.stops_thread():
            return load()
    except (AgentError, AgentStopped):
        cancellation.check()
        raise


def stamp_of(source: AgentSource) -> Stamp:
    """The state of an agent's file, or of all Python files of its folder; () if it is not there."""
    folder, name = os.path.split(source.path)
    try:
        return tuple(_files(folder)) if name == "__init__.py" else (_file(source.path),)
    except OSError:
        return ()


def _files(folder: str) -> list[tuple[str, int, int]]:
    found = []
    for above, _, names in os.walk(folder):
        found += [_file(os.path.join(above, name)) for name in sorted(names) if name.endswith(".py")]
    return found


def _file(path: str) -> tuple[str, int, int]:
    state = os.stat(path)
    return path, state.st_mtime_ns, state.st_size
