"""`flue sessions diff`: differences between two turns of a session, or between two sessions."""

from __future__ import annotations

from typing import Annotated

import typer

from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_sessions
from flue_cli.cli.options import (
    AgentOption,
    JsonOption,
    StoreOption,
    load_settings,
    open_run_store,
    resolve_session,
)
from flue_cli.render import diff_lines, machine_output
from flue_cli.sessions.comparison import Comparison, SessionAtTurn, compare_sessions
from flue_cli.stores.contract import Store


def diff(
    ctx: typer.Context,
    session: Annotated[
        str,
        typer.Argument(
            metavar="SESSION", help="A session's name, or AGENT/NAME.", autocompletion=complete_sessions
        ),
    ],
    other: Annotated[
        str,
        typer.Argument(
            metavar="[OTHER]",
            autocompletion=complete_sessions,
            help="Another session to compare it with.",
            show_default=False,
        ),
    ] = "",
    at: Annotated[
        int | None,
        typer.Option("--at", metavar="N", min=0, help="SESSION as of turn N."),
    ] = None,
    to: Annotated[
        int | None, typer.Option("--to", metavar="M", min=0, help="OTHER, or SESSION itself, as of turn M.")
    ] = None,
    agent: AgentOption = "",
    as_json: JsonOption = False,
    store_url: StoreOption = "",
) -> None:
    """Show differences of replies and data, side by side.

    Of one session: between turn N and turn M; M is the newest turn unless
    given, N the one before M. With OTHER: between the two as they stand now,
    or as of turns N and M.
    """
    app: App = ctx.obj
    with open_run_store(load_settings(store_url)) as store:
        found = compare_sessions(store, *_moments(store, (session, other), (at, to), agent))
        if as_json:
            app.output.result(machine_output.as_json(diff_lines.comparison_document(found), indent=2))
        elif not _show_comparison(app, found):
            before, after = (diff_lines.session_turn_title(side) for side in (found.before, found.after))
            app.output.note(f"no difference: {before}, {after}")


def _moments(
    store: Store, names: tuple[str, str], turns: tuple[int | None, int | None], agent: str
) -> tuple[SessionAtTurn, SessionAtTurn]:
    """Resolve the two moments to compare."""
    at, to = turns
    before = resolve_session(store, names[0], agent)
    after = resolve_session(store, names[1], agent) if names[1] else before
    to = after.turn if to is None else to
    if at is None:
        at = before.turn if names[1] else max(0, to - 1)
    return SessionAtTurn(before, at), SessionAtTurn(after, to)


def _show_comparison(app: App, found: Comparison) -> bool:
    """Show the differences; return True if there are any."""
    if app.output.is_terminal:
        from flue_cli.render.diff_table import comparison_view
        from flue_cli.render.tables import show_paged_renderable

        what = comparison_view(found)
        if what is not None:
            show_paged_renderable(app.output, what)
        return what is not None
    differs = False
    for line in diff_lines.unified_diff(found):
        app.output.write(str(line))
        differs = True
    return differs
