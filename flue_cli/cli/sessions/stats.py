"""`flue sessions stats`: statistics of the store."""

from __future__ import annotations

import typer

from flue_cli.cli.command_table import App
from flue_cli.cli.options import AgentOption, JsonOption, StoreOption, load_settings, open_run_store
from flue_cli.names import agent_or_any
from flue_cli.render import machine_output, stats_output
from flue_cli.times import ahead_of_utc


def stats(
    ctx: typer.Context, agent: AgentOption = "", as_json: JsonOption = False, store: StoreOption = ""
) -> None:
    """Show statistics: sessions, turns, bytes, the busiest and slowest."""
    app: App = ctx.obj
    with open_run_store(load_settings(store)) as kept:
        found = kept.statistics(agent=agent_or_any(agent), ahead=ahead_of_utc())
    if as_json:
        app.output.result(machine_output.as_json(stats_output.document(found), indent=2))
    elif app.output.is_terminal:
        from flue_cli.render.stats_charts import charts
        from flue_cli.render.tables import page

        page(app.output, charts(found))
    else:
        app.output.piece(machine_output.rows(stats_output.lines(found)))
