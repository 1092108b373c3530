"""`flue sessions list`."""

from __future__ import annotations

from typing import Annotated

import typer

from flue_cli import times
from flue_cli.cli.app import App
from flue_cli.cli.options import AgentOption, JsonOption, StoreOption, load_settings, open_run_store
from flue_cli.errors import UsageError
from flue_cli.names import check_agent_filter
from flue_cli.render import machine_output
from flue_cli.render.session_tree import TreeNode, session_tree
from flue_cli.times import format_local_time, parse_since


def list_sessions(
    ctx: typer.Context,
    agent: AgentOption = "",
    since: Annotated[
        str,
        typer.Option(
            "--since", metavar="T", help="Used since T: 30m, 12h, 7d, 2w, or a date or time in ISO form."
        ),
    ] = "",
    limit: Annotated[int, typer.Option("--limit", metavar="N", min=0, help="At most N sessions.")] = 50,
    everything: Annotated[
        bool, typer.Option("--all", help="All sessions, without a limit, and undone forks (NAME~1).")
    ] = False,
    tree: Annotated[bool, typer.Option("--tree", help="Forks below what they were forked from.")] = False,
    as_json: JsonOption = False,
    store_url: StoreOption = "",
) -> None:
    """List sessions, last used first."""
    app: App = ctx.obj
    bound = moment_of("--since", since) if since else None
    with open_run_store(load_settings(store_url)) as store:
        agent_filter = check_agent_filter(agent)
        found = store.sessions(
            agent=agent_filter, limit=None if everything else limit, with_undone_forks=everything, since=bound
        )
    branches = session_tree(found) if tree else [TreeNode(summary) for summary in found]
    if found or as_json or not app.output.is_terminal:
        show(app, branches, with_origin=tree, as_json=as_json)
    elif bound is not None:
        app.output.note(f"no session was used since {format_local_time(bound)}")
    else:
        app.output.note("there are no sessions yet; begin one with: flue chat greeting")


def show(app: App, branches: list[TreeNode], *, with_origin: bool = False, as_json: bool = False) -> None:
    """Show a list of sessions: a table on a terminal, else lines, or a JSON document."""
    if as_json:
        documents = [
            machine_output.summary_document(branch.summary, with_origin=with_origin) for branch in branches
        ]
        app.output.result(machine_output.as_json(documents, indent=2))
    elif app.output.is_terminal:
        from flue_cli.render.tables import session_table, show_paged_renderable

        show_paged_renderable(app.output, session_table(branches))
    else:
        app.output.write(
            machine_output.summary_rows([branch.summary for branch in branches], with_origin=with_origin)
        )


def moment_of(option: str, text: str) -> int:
    """Parse the time of an option, such as 7d, to microseconds. Raises UsageError."""
    try:
        return parse_since(text, times.now())
    except ValueError as error:
        raise UsageError(f"{option} {error}: not '{text}'") from error
