"""`flue sessions stats`: figures about what is kept."""

from __future__ import annotations

import typer

from flue_cli.cli.commands import App
from flue_cli.cli.options import AgentOption, JsonOption, StoreOption, load_settings, opened
from flue_cli.names import agent_name
from flue_cli.render import plain, stats_output
from flue_cli.times import ahead_of_utc


def stats(
    ctx: typer.Context, agent: AgentOption = "", as_json: JsonOption = False, store: StoreOption = ""
) -> None:
    """Show figures: sessions, turns, messages, bytes, the busiest and the slowest."""
    app: App = ctx.obj
    with opened(load_settings(store)) as kept:
        found = kept.statistics(agent=agent_name(agent) if agent else "", ahead=ahead_of_utc())
    if as_json:
        app.output.result(plain.as_json(stats_output.document(found), indent=2))
    elif app.output.is_terminal:
        from flue_cli.render.stats_charts import charts
        from flue_cli.render.terminal import page

        page(app.output, charts(found))
    else:
        app.output.piece(plain.rows(stats_output.lines(found)))
