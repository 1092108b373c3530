"""`flue sessions list`."""

from __future__ import annotations

import time
from typing import Annotated

import typer

from flue_cli.cli.commands import App
from flue_cli.cli.options import AgentOption, JsonOption, StoreOption, load_settings, opened
from flue_cli.errors import UsageError
from flue_cli.names import agent_name
from flue_cli.render import plain
from flue_cli.render.session_tree import Branch, family
from flue_cli.times import earlier, local_time


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
        bool, typer.Option("--all", help="All sessions, however many, and the forks that undoing kept.")
    ] = False,
    tree: Annotated[bool, typer.Option("--tree", help="Forks below what they were forked from.")] = False,
    as_json: JsonOption = False,
    store: StoreOption = "",
) -> None:
    """List sessions, last used first."""
    app: App = ctx.obj
    bound = moment_of("--since", since) if since else None
    with opened(load_settings(store)) as kept:
        whose = agent_name(agent) if agent else ""
        found = kept.sessions(agent=whose, limit=None if everything else limit, kept=everything, since=bound)
    branches = family(found) if tree else [Branch(summary) for summary in found]
    if found or as_json or not app.output.is_terminal:
        show(app, branches, with_origin=tree, as_json=as_json)
    elif bound is not None:
        app.output.note(f"no session was used since {local_time(bound)}")
    else:
        app.output.note("there are no sessions yet; begin one with: flue chat greeting")


def show(app: App, branches: list[Branch], *, with_origin: bool = False, as_json: bool = False) -> None:
    """A list of sessions: a table on a terminal, else lines, or a JSON document."""
    if as_json:
        documents = [plain.summary_document(branch.summary, with_origin=with_origin) for branch in branches]
        app.output.result(plain.as_json(documents, indent=2))
    elif app.output.is_terminal:
        from flue_cli.render.terminal import page, session_table

        page(app.output, session_table(branches))
    else:
        app.output.piece(plain.summaries([branch.summary for branch in branches], with_origin=with_origin))


def moment_of(option: str, text: str) -> int:
    """The moment that an option names, such as 7d; UsageError if it is none."""
    try:
        return earlier(text, time.time_ns() // 1000)
    except ValueError as error:
        raise UsageError(f"{option} {error}: not '{text}'") from error
