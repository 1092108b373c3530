"""A folder of agents that a chat can reload and switch to."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

from flue_cli.agents.search_path import AgentSource
from flue_cli.errors import AgentNotFound
from flue_cli.repl.agent_file import AgentLoader, LoadedAgent, load_agent_file
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.options import ChatOptions
from support.fake_terminal import ChatDriver


def saying(word: str) -> str:
    """The source of an agent that says `word` before the prompt."""
    return f"def agent(prompt, session, context):\n    return '{word} ' + prompt\n"


class AgentFolder:
    """A folder of agents, reached as the command reaches them."""

    def __init__(self, path: Path) -> None:
        self.path = path
        path.mkdir()

    def write(self, name: str, source: str) -> Path:
        """Save an agent's file as an editor does: it is a new file, of a time of its own."""
        path = self.path / f"{name}.py"
        draft = self.path / ".draft"
        draft.write_text(source)
        changed = (path.stat().st_mtime_ns if path.exists() else time.time_ns()) + 1_000_000_000
        os.utime(draft, ns=(changed, changed))
        draft.replace(path)
        return path

    def source(self, name: str) -> AgentSource:
        path = self.path / f"{name}.py"
        if not path.exists():
            raise AgentNotFound(f"there is no agent '{name}'")
        return AgentSource(name, str(path), "./agents")

    def load(self, name: str) -> LoadedAgent:
        return load_agent_file(self.source(name))

    def agents(self, *, watches: bool = False) -> AgentLoader:
        return AgentLoader(
            self.load,
            lambda: [self.source(path.stem) for path in sorted(self.path.glob("*.py"))],
            reloads_on_change=watches,
        )


def talking_to(
    driver: ChatDriver, folder: AgentFolder, *, watches: bool = False, **options: Any
) -> Conversation:
    """A conversation with the agent `tester` of the folder."""
    return driver.conversation(
        load_agent_file(folder.source("tester")),
        agents=folder.agents(watches=watches),
        options=ChatOptions(0, None, is_saved=True, **options),
    )
