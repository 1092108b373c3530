"""`flue sessions stats`: statistics of the store."""

from __future__ import annotations

import typer

from flue_cli.cli.app import App
from flue_cli.cli.options import AgentOption, JsonOption, StoreOption, load_settings, open_run_store
from flue_cli.names import check_agent_filter
from flue_cli.render import machine_output, stats_output
from flue_cli.times import utc_offset_seconds


def stats(
    ctx: typer.Context, agent: AgentOption = "", as_json: JsonOption = False, store_url: StoreOption = ""
) -> None:
    """Show statistics: sessions, turns, bytes, the busiest and slowest."""
    app: App = ctx.obj
    with open_run_store(load_settings(store_url)) as store:
        found = store.statistics(agent=check_agent_filter(agent), ahead=utc_offset_seconds())
    if as_json:
        app.output.result(machine_output.as_json(stats_output.statistics_document(found), indent=2))
    elif app.output.is_terminal:
        from flue_cli.render.stats_charts import statistics_charts
        from flue_cli.render.tables import show_paged_renderable

        show_paged_renderable(app.output, statistics_charts(found))
    else:
        app.output.write(machine_output.tab_separated(stats_output.statistics_rows(found)))
