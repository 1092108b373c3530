"""`flue sessions undo`, `redo`, `rewind`, `fork`: move along the timeline, and fork it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from flue_cli.cli.app import App
from flue_cli.cli.options import (
    AgentOption,
    AtOption,
    SessionArgument,
    StoreOption,
    WaitOption,
    load_settings,
    open_run_store,
    resolve_session,
)
from flue_cli.cli.session_change import session_to_change
from flue_cli.names import bare_name
from flue_cli.render.notices import note_timeline_move
from flue_cli.sessions import timeline
from flue_cli.sessions.timeline import TimelineMove
from flue_cli.text import session_label

CountArgument = Annotated[
    int, typer.Argument(metavar="[N]", min=1, help="How many turns.", show_default=False)
]


def undo(
    ctx: typer.Context,
    session: SessionArgument,
    count: CountArgument = 1,
    agent: AgentOption = "",
    wait: WaitOption = None,
    store_url: StoreOption = "",
) -> None:
    """Undo the last turn, or the last N turns. Failed turns do not count."""
    _move_session(
        ctx.obj,
        session,
        agent,
        wait,
        store_url,
        lambda store, head, **waiting: timeline.undo_turns(store, head, count, **waiting),
    )


def redo(
    ctx: typer.Context,
    session: SessionArgument,
    count: CountArgument = 1,
    agent: AgentOption = "",
    wait: WaitOption = None,
    store_url: StoreOption = "",
) -> None:
    """Redo the turn that was undone last, or the last N.

    That is possible until another turn or edit is added to the session.
    """
    _move_session(
        ctx.obj,
        session,
        agent,
        wait,
        store_url,
        lambda store, head, **waiting: timeline.redo_turns(store, head, count, **waiting),
    )


def rewind(
    ctx: typer.Context,
    session: SessionArgument,
    to: Annotated[int, typer.Option("--to", metavar="N", min=0, help="The turn to go to; 0 is the start.")],
    agent: AgentOption = "",
    wait: WaitOption = None,
    store_url: StoreOption = "",
) -> None:
    """Go to turn N: history and data become those after it."""
    _move_session(
        ctx.obj,
        session,
        agent,
        wait,
        store_url,
        lambda store, head, **waiting: timeline.rewind_to_turn(store, head, to, **waiting),
    )


def fork(
    ctx: typer.Context,
    session: SessionArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name of the copy, without AGENT/.")],
    at: AtOption = None,
    agent: AgentOption = "",
    store_url: StoreOption = "",
) -> None:
    """Copy a session, as it is now or was at a turn.

    The session and its copy go on independently.
    """
    app: App = ctx.obj
    with open_run_store(load_settings(store_url)) as store:
        head = resolve_session(store, session, agent, at=at)
        made = store.fork(head, bare_name(new, head.agent))
    app.output.note(f"{session_label(made)} is a copy of {session_label(head)} as of turn {head.turn}")


def _move_session(
    app: App,
    session: str,
    agent: str,
    wait: float | None,
    store: str,
    move: Callable[..., TimelineMove],
) -> None:
    with session_to_change(app, session, agent, wait, store) as target:
        waiting = target.waiting
        moved = timeline.move_when_idle(
            target.store, target.head, move, wait=waiting.seconds, pause=waiting.pause
        )
    note_timeline_move(app.output, moved)
