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

FileStamp = tuple[tuple[str, int, int], ...]
"""Fingerprint of an agent's files: name, modification time and size of each."""


class LoadedAgent(NamedTuple):
    """An agent that was loaded at the time `at`, from `source` (None: from no file) as `stamp` saw it.

    `noticed` is a later state of its files, of which the person knows. `remark` is what there is to say when
    they begin to talk to it, "" for nothing.
    """

    agent: Agent
    source: AgentSource | None = None
    stamp: FileStamp = ()
    reported_stamp: FileStamp = ()
    loaded_at: int = 0
    notice: str = ""

    @property
    def file_name(self) -> str:
        """The name of its file, without the folder; for a package's `__init__.py`, with it."""
        path = self.source.path if self.source else ""
        folder, name = os.path.split(path)
        return os.path.join(os.path.basename(folder), name) if name == "__init__.py" else name

    def current_stamp(self) -> FileStamp:
        """Its files as they are now; as they were if they are not there, as while an editor saves.

        A package's are taken not to change: they are loaded once.
        """
        if self.source is None or self.source.module:
            return self.stamp
        return file_stamp(self.source) or self.stamp


def _refuse_any_agent(name: str) -> LoadedAgent:
    raise AgentNotFound(f"there is no agent '{name}'")


class AgentLoader(NamedTuple):
    """Access to the agents a chat can switch to; `watches`: reload the agent's file as it changes.

    `load` raises as discovery.find_agent and discovery.load_agent.
    """

    load: Callable[[str], LoadedAgent] = _refuse_any_agent
    list_sources: Callable[[], list[AgentSource]] = list
    reloads_on_change: bool = False


def load_agent_file(source: AgentSource) -> LoadedAgent:
    """The agent of `source` as its file is now; raises as discovery.load_agent."""
    stamp = file_stamp(source)  # before it is read: what is saved meanwhile counts as a change
    return LoadedAgent(discovery.load_agent(source), source, stamp, loaded_at=times.now())


def reload_agent_file(loaded: LoadedAgent) -> LoadedAgent:
    """The same agent as its file is now; UsageError if that cannot be had, else as discovery.load_agent."""
    if loaded.source is None:
        raise UsageError(f"agent '{loaded.agent.name}' has no file that could be loaded again")
    if loaded.source.module:  # import_module would give what it gave before
        raise UsageError(
            f"agent '{loaded.agent.name}' belongs to {loaded.source.origin}, which is loaded once",
            hint="leave the chat and come back",
        )
    return load_agent_file(loaded.source)._replace(notice=loaded.notice)


def load_interruptibly(load: Callable[[], LoadedAgent], cancellation: Cancellation) -> LoadedAgent:
    """Call `load` and give its result; a cancellation ends it at any point and raises its reason."""
    try:
        with cancellation.thread_stop():
            return load()
    except (AgentError, AgentStopped):
        cancellation.check()
        raise


def file_stamp(source: AgentSource) -> FileStamp:
    """The state of an agent's file, or of all Python files of its folder; () if it is not there."""
    folder, name = os.path.split(source.path)
    try:
        return tuple(_folder_stamp(folder)) if name == "__init__.py" else (_path_stamp(source.path),)
    except OSError:
        return ()


def _folder_stamp(folder: str) -> list[tuple[str, int, int]]:
    found = []
    for above, _, names in os.walk(folder):
        found += [_path_stamp(os.path.join(above, name)) for name in sorted(names) if name.endswith(".py")]
    return found


def _path_stamp(path: str) -> tuple[str, int, int]:
    state = os.stat(path)
    return path, state.st_mtime_ns, state.st_size
