"""`flue sessions watch`: follow a session live."""

from __future__ import annotations

import typer

from flue_cli.cli.app import App
from flue_cli.cli.options import (
    AgentOption,
    JsonOption,
    SessionArgument,
    StoreOption,
    load_settings,
    open_run_store,
    resolve_session,
)
from flue_cli.render.watch_output import WatchJson, WatchText
from flue_cli.sessions.follow import follow
from flue_cli.text import session_label


def watch(
    ctx: typer.Context,
    session: SessionArgument,
    agent: AgentOption = "",
    as_json: JsonOption = False,
    store_url: StoreOption = "",
) -> None:
    """Follow a session: show the turns of other processes live.

    Ctrl-C ends it. With --json an event a line: turn.started, and with its
    reply and data turn.completed, turn.failed or turn.cancelled; data.edited,
    turns.undone, session.renamed.
    """
    app: App = ctx.obj
    with open_run_store(load_settings(store_url)) as store:
        head = resolve_session(store, session, agent)
        if app.output.notices_on_terminal:
            where = f"{session_label(head)} is at turn {head.turn}"
            app.output.note(f"{where}; what comes is shown here, until Ctrl-C")
        shown = WatchJson(app.output, head) if as_json else WatchText(app.output)
        for what in follow(store, head, with_data=as_json):
            shown(what)
