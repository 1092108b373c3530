"""Choice of an agent from a list, on a terminal."""

from __future__ import annotations

from shutil import get_terminal_size

from flue_cli.agents import discovery
from flue_cli.agents.description import describe
from flue_cli.cli import stdin
from flue_cli.cli.app import App
from flue_cli.errors import AgentNotFound, BadName
from flue_cli.settings import Settings
from flue_cli.text import safe_line


def ask_for_agent(app: App, settings: Settings) -> str:
    """List the agents and ask for one, by number or name. Raises UsageError if nobody answers."""
    sources = discovery.list_agents(settings)
    columns = get_terminal_size().columns
    width = max(len(source.name) for source in sources)
    for number, source in enumerate(sources, 1):
        line = f"{number:>3}  {source.name:<{width}}  {describe(source).problem_or_summary}"
        app.output.note(safe_line(line)[: columns - 1].rstrip())
    while True:
        answer = stdin.ask(f"Talk to which agent, 1 to {len(sources)} or a name? ")
        if answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(sources):
            return sources[int(answer) - 1].name
        if answer:
            try:
                return discovery.find_agent(settings, answer).name
            except (AgentNotFound, BadName) as error:
                app.output.error(error)
