"""`flue agents`: which agents there are. Nothing here executes one."""

from __future__ import annotations

import typer

from flue_cli import agents
from flue_cli.cli.commands import App
from flue_cli.cli.options import AgentsOption, JsonOption, load_settings
from flue_cli.render import plain


def list_agents(ctx: typer.Context, as_json: JsonOption = False, agents_dirs: AgentsOption = None) -> None:
    """List the agents that can be chatted with."""
    app: App = ctx.obj
    found = [(source, agents.describe(source)) for source in agents.found(load_settings(agents=agents_dirs))]
    if as_json:
        app.output.result(plain.as_json([plain.agent_document(*pair) for pair in found], indent=2))
        return
    lines = [
        (
            source.name,
            f"broken: {about.problem}" if about.problem else about.summary,
            source.origin,
            source.path,
        )
        for source, about in found
    ]
    app.output.piece(plain.rows(lines))


COMMANDS = {"list": list_agents}
"""What `flue agents` offers."""
