"""All the folders in which an agent may be."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

from flue_cli.agents import discovery
from flue_cli.agents.description import Description, describe
from flue_cli.agents.search_path import AgentSource
from flue_cli.settings import Settings

if TYPE_CHECKING:
    pass


SAYS = """
    def agent(prompt, session, context):
        return "{}"
"""


class Folders:
    """Everywhere an agent may be: `named` (--agents), `env` (FLUE_AGENTS), `here` (./agents), `user`."""

    def __init__(self, root: Path) -> None:
        self.named = root / "named"
        self.env = root / "env"
        self.here = root / "work" / "agents"
        self.user = root / "home" / "agents"
        for folder in (self.named, self.env, self.here, self.user):
            folder.mkdir(parents=True)
        self.settings = Settings(
            home=str(root / "home"),
            store="memory:",
            agent_dirs=(str(self.named),),
            agent_path=(str(self.env), str(root / "not there")),
        )

    def find(self, name: str) -> AgentSource:
        return discovery.find_agent(self.settings, name)

    def load(self, name: str) -> discovery.Agent:
        return discovery.load_agent(self.find(name))

    def describe(self, name: str) -> Description:
        (source,) = [source for source in discovery.list_agents(self.settings) if source.name == name]
        return describe(source)


def write(path: Path, source: str = SAYS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    return path
