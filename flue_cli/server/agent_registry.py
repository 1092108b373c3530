"""The agents that are served."""

from __future__ import annotations

import sys
import threading
import zlib
from typing import NamedTuple, Protocol

from flue_cli.agents import discovery
from flue_cli.agents.description import describe
from flue_cli.agents.discovery import Agent, AgentFunction
from flue_cli.errors import AgentNotFound, UsageError
from flue_cli.names import check_agent_name
from flue_cli.settings import Settings


class AgentSummary(NamedTuple):
    """An agent in a list."""

    name: str
    description: str


class AgentRegistry(Protocol):
    """The agents that are served. Safe to use from several threads at once."""

    def serves(self, name: str) -> str:
        """The agent's name as sessions have it; BadName, and AgentNotFound if its sessions are not served."""
        ...

    def ready(self, name: str) -> Agent | None:
        """The agent, if it is loaded already."""
        ...

    def load(self, name: str) -> Agent:
        """The agent; AgentNotFound, AgentError if it cannot be loaded."""
        ...

    def described(self) -> list[AgentSummary]:
        """All agents, by name."""
        ...


class DiscoveredAgents:
    """The agents that `flue agents` lists, each loaded when it is first asked for, and once."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._loaded: dict[str, Agent] = {}
        self._lock = threading.Lock()

    def serves(self, name: str) -> str:
        """Any name: sessions stay readable when their agent's file is gone."""
        return check_agent_name(name)

    def ready(self, name: str) -> Agent | None:
        return self._loaded.get(name)

    def load(self, name: str) -> Agent:
        # One at a time: a module's code is not to run twice at once.
        with self._lock:
            if name not in self._loaded:
                self._loaded[name] = discovery.load_agent(discovery.find_agent(self._settings, name))
            return self._loaded[name]

    def described(self) -> list[AgentSummary]:
        found = ((source.name, describe(source)) for source in discovery.list_agents(self._settings))
        return [AgentSummary(name, about.summary) for name, about in found if not about.problem]


class RegisteredAgents:
    """Agents that a program names, one by one. Nobody sees sessions of other agents."""

    def __init__(self) -> None:
        self._agents: dict[str, Agent] = {}

    def add(self, name: str, function: AgentFunction) -> None:
        """Serve `function` as agent `name`; BadName, or UsageError for a taken name or no function."""
        name = check_agent_name(name)
        if name in self._agents:
            raise UsageError(f"there are two agents '{name}'")
        if not callable(function):
            raise UsageError(f"agent '{name}' cannot be called", hint=discovery.SIGNATURE_HINT)
        self._agents[name] = Agent(name, function, _fingerprint(function))

    def serves(self, name: str) -> str:
        return self.load(name).name

    def ready(self, name: str) -> Agent | None:
        return self._agents.get(name)

    def load(self, name: str) -> Agent:
        try:
            return self._agents[check_agent_name(name)]
        except KeyError:
            raise AgentNotFound(f"there is no agent '{name}'") from None

    def described(self) -> list[AgentSummary]:
        return [AgentSummary(name, _summary(agent.function)) for name, agent in sorted(self._agents.items())]


def _fingerprint(function: AgentFunction) -> str:
    """Identify the version of the agent's source, as for one that was loaded from its file."""
    import inspect

    try:
        with open(inspect.getsourcefile(inspect.unwrap(function)) or "", "rb") as file:
            code = file.read()
    except (OSError, TypeError, ValueError):
        code = b""
    return f"crc32:{zlib.crc32(code):08x}"


def _summary(function: AgentFunction) -> str:
    """The first line that the function, or else its module, says of itself."""
    module = sys.modules.get(getattr(function, "__module__", ""))
    said = getattr(function, "__doc__", None) or getattr(module, "__doc__", None) or ""
    return said.strip().partition("\n")[0]
