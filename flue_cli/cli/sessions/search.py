"""`flue sessions search`: full-text search in prompts and replies."""

from __future__ import annotations

from typing import Annotated

import typer

from flue_cli.cli.app import App
from flue_cli.cli.options import AgentOption, JsonOption, StoreOption, load_settings, open_run_store
from flue_cli.errors import UsageError
from flue_cli.names import check_agent_filter
from flue_cli.render import machine_output
from flue_cli.render.search_hits import hit_document, hit_rows
from flue_cli.stores.search_query import SearchQuery

_LIMIT = 20


def search(
    ctx: typer.Context,
    query: Annotated[
        list[str],
        typer.Argument(metavar="QUERY...", help="Words that one turn has, all of them, in prompt or reply."),
    ],
    agent: AgentOption = "",
    rank: Annotated[
        bool,
        typer.Option("--rank", help="The best first, those with the words in the prompt before the others."),
    ] = False,
    limit: Annotated[
        int | None,
        typer.Option("--limit", metavar="N", min=0, help=f"At most N turns. [default: {_LIMIT}]"),
    ] = None,
    everything: Annotated[
        bool, typer.Option("--all", help="All turns, however many, and those that were undone.")
    ] = False,
    reindex: Annotated[bool, typer.Option("--reindex", help="First rebuild the full-text index.")] = False,
    as_json: JsonOption = False,
    store_url: StoreOption = "",
) -> None:
    """Search prompts and replies for words, newest first.

    Every word must occur as typed, ignoring case, where a word begins: deploy finds "Deployment".
    """
    app: App = ctx.obj
    words = " ".join(query).split()
    if not words:
        raise UsageError("there is nothing to look for", hint="flue sessions search WORD")
    most = limit if limit is not None else None if everything else _LIMIT
    with open_run_store(load_settings(store_url)) as store:
        if reindex:
            store.reindex()
        found = store.search(
            words,
            agent=check_agent_filter(agent),
            limit=None if most is None else most + 1,
            ranked=rank,
            with_undone_forks=everything,
        )
    hits = found[:most]
    if as_json:
        app.output.result(machine_output.as_json([hit_document(hit) for hit in hits], indent=2))
    elif not app.output.is_terminal:
        app.output.write(hit_rows(hits, SearchQuery(words)))
    elif hits:
        from flue_cli.render.tables import hit_table, show_paged_renderable

        show_paged_renderable(app.output, hit_table(hits, SearchQuery(words)))
        if len(found) > len(hits):
            app.output.note("there are more: --limit N, or --all")
    else:
        app.output.note("nothing was found")
