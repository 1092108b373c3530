"""`flue agents`: which agents there are. Nothing here executes one."""

from __future__ import annotations

from typing import Annotated

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
        documents = [plain.agent_document(source, about) for source, about in found]
        app.output.result(plain.as_json(documents, indent=2))
    elif app.output.is_terminal:
        from flue_cli.render.terminal import agent_table, page

        page(app.output, agent_table(found))
    else:
        app.output.piece(plain.agent_rows(found))


def show(
    ctx: typer.Context,
    name: Annotated[str, typer.Argument(metavar="AGENT", help="The agent's name.")],
    as_json: JsonOption = False,
    agents_dirs: AgentsOption = None,
) -> None:
    """Show what an agent says of itself, and where it is."""
    app: App = ctx.obj
    source = agents.find(load_settings(agents=agents_dirs), name)
    about = agents.describe(source)
    if as_json:
        document = plain.agent_document(source, about) | {"docstring": about.docstring}
        app.output.result(plain.as_json(document, indent=2))
    else:
        app.output.result(plain.agent_page(source, about))


COMMANDS = {"list": list_agents, "show": show}
"""What `flue agents` offers."""
