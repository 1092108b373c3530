"""`flue sessions watch`: a session that others talk to, live."""

from __future__ import annotations

import typer

from flue_cli.cli.commands import App
from flue_cli.cli.options import (
    AgentOption,
    JsonOption,
    SessionArgument,
    StoreOption,
    load_settings,
    one_session,
    opened,
)
from flue_cli.render.watch_output import WatchJson, WatchText
from flue_cli.text import safe_line
from flue_cli.watching import follow


def watch(
    ctx: typer.Context,
    session: SessionArgument,
    agent: AgentOption = "",
    as_json: JsonOption = False,
    store: StoreOption = "",
) -> None:
    """Follow a session: every turn that another process makes, as it comes.

    Ctrl-C ends it. With --json an event a line: turn.started, and with its
    reply and data turn.completed, turn.failed or turn.cancelled; data.edited,
    turns.undone, session.renamed.
    """
    app: App = ctx.obj
    with opened(load_settings(store)) as kept:
        head = one_session(kept, session, agent)
        if app.output.remarks_on_terminal:
            where = f"{safe_line(head.agent)}/{safe_line(head.name)} is at turn {head.turn}"
            app.output.note(f"{where}; what comes is shown here, until Ctrl-C")
        shown = WatchJson(app.output, head) if as_json else WatchText(app.output)
        for what in follow(kept, head, with_data=as_json):
            shown(what)
