"""The agent of a chat as it was loaded, and the state of its file, to notice changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import NamedTuple

from flue_cli import times
from flue_cli.agents import discovery
from flue_cli.agents.discovery import Agent
from flue_cli.agents.search_path import AgentSource
from flue_cli.errors import AgentError, AgentNotFound, UsageError
from flue_cli.turns.cancellation import AgentStopped, Cancellation

FileStamp = tuple[tuple[str, int, int], ...]
"""Fingerprint of an agent's files: name, modification time and size of each."""


class LoadedAgent(NamedTuple):
    """An agent loaded at `loaded_at` from `source` (None: from no file); `stamp` is its files' state then.

    `reported_stamp` is a later state that the person was told about. `notice` is shown when a conversation
    with the agent begins; "" for none. `helpers` are the files of the modules that an agent of one file has
    imported from its folder.
    """

    agent: Agent
    source: AgentSource | None = None
    stamp: FileStamp = ()
    reported_stamp: FileStamp = ()
    loaded_at: int = 0
    notice: str = ""
    helpers: tuple[str, ...] = ()

    @property
    def file_name(self) -> str:
        """The name of its file; for an `__init__.py`, with the name of its folder."""
        path = self.source.path if self.source else ""
        folder, name = os.path.split(path)
        return os.path.join(os.path.basename(folder), name) if name == "__init__.py" else name

    def current_stamp(self) -> FileStamp:
        """Read the present state of its files; the one at loading if they are missing.

        Files of an installed package are taken not to change: Python imports them once.
        """
        if self.source is None or self.source.module:
            return self.stamp
        return (
            file_stamp(self.source, self.helpers) or self.stamp
        )  # an editor may remove the file while it saves


def _refuse_any_agent(name: str) -> LoadedAgent:
    raise AgentNotFound(f"there is no agent '{name}'")


class AgentLoader(NamedTuple):
    """Access to the agents a chat can switch to. `load` raises as find_agent and load_agent of discovery.

    With `reloads_on_change` the chat loads the agent's file again after each change.
    """

    load: Callable[[str], LoadedAgent] = _refuse_any_agent
    list_sources: Callable[[], list[AgentSource]] = list
    reloads_on_change: bool = False


def load_agent_file(source: AgentSource) -> LoadedAgent:
    """Load the agent of `source`; raises as discovery.load_agent."""
    stamp = file_stamp(source)  # before the file is read, so that a save in between counts as a change
    agent = discovery.load_agent(source)
    helpers = () if discovery.is_folder_agent(source) else tuple(discovery.loaded_helpers(source))
    stamp += tuple(_path_stamp(path) for path in helpers if os.path.exists(path))
    return LoadedAgent(agent, source, stamp, loaded_at=times.now(), helpers=helpers)


def reload_agent_file(loaded: LoadedAgent) -> LoadedAgent:
    """Load the agent's file again. Raises UsageError if it has none, and as discovery.load_agent."""
    if loaded.source is None:
        raise UsageError(f"agent '{loaded.agent.name}' has no file to load again")
    if loaded.source.module:  # import_module would return the module it imported before
        raise UsageError(
            f"agent '{loaded.agent.name}' belongs to {loaded.source.origin}, which is loaded only once",
            hint="leave the chat and start it again",
        )
    return load_agent_file(loaded.source)._replace(notice=loaded.notice)


def load_interruptibly(load: Callable[[], LoadedAgent], cancellation: Cancellation) -> LoadedAgent:
    """Call `load` and return its result; a cancellation ends it at any point and raises its reason."""
    try:
        with cancellation.thread_stop():
            return load()
    except (AgentError, AgentStopped):
        cancellation.check()
        raise


def file_stamp(source: AgentSource, helpers: Sequence[str] = ()) -> FileStamp:
    """Read the state of an agent's file and `helpers`, or of a folder agent's files; () if one is missing."""
    try:
        if discovery.is_folder_agent(source):
            return tuple(_folder_stamp(os.path.dirname(source.path)))
        return tuple(_path_stamp(path) for path in (source.path, *helpers))
    except OSError:
        return ()


def _folder_stamp(folder: str) -> list[tuple[str, int, int]]:
    stamps = []
    for parent, _, names in os.walk(folder):
        stamps += [_path_stamp(os.path.join(parent, name)) for name in sorted(names) if name.endswith(".py")]
    return stamps


def _path_stamp(path: str) -> tuple[str, int, int]:
    status = os.stat(path)
    return path, status.st_mtime_ns, status.st_size
