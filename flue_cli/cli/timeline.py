"""`flue sessions undo`, `redo`, `rewind`, `fork`: going back and forth, and branching off."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated

import typer

from flue_cli import timeline
from flue_cli.cli.commands import App
from flue_cli.cli.options import (
    AgentOption,
    AtOption,
    SessionArgument,
    StoreOption,
    WaitOption,
    load_settings,
    one_session,
    opened,
    patiently,
)
from flue_cli.names import bare_name
from flue_cli.render.remarks import say_moved
from flue_cli.text import session_label
from flue_cli.timeline import Moved

CountArgument = Annotated[
    int, typer.Argument(metavar="[N]", min=1, help="How many turns.", show_default=False)
]


def undo(
    ctx: typer.Context,
    session: SessionArgument,
    count: CountArgument = 1,
    agent: AgentOption = "",
    wait: WaitOption = None,
    store: StoreOption = "",
) -> None:
    """Take back the newest turn, or N: history and data as before. Failed turns do not count."""
    _move(
        ctx.obj,
        session,
        agent,
        wait,
        store,
        lambda kept, head, **how: timeline.undo(kept, head, count, **how),
    )


def redo(
    ctx: typer.Context,
    session: SessionArgument,
    count: CountArgument = 1,
    agent: AgentOption = "",
    wait: WaitOption = None,
    store: StoreOption = "",
) -> None:
    """Bring back what was undone, a turn or N, as long as nothing new was said."""
    _move(
        ctx.obj,
        session,
        agent,
        wait,
        store,
        lambda kept, head, **how: timeline.redo(kept, head, count, **how),
    )


def rewind(
    ctx: typer.Context,
    session: SessionArgument,
    to: Annotated[int, typer.Option("--to", metavar="N", min=0, help="The turn to go to; 0 is the start.")],
    agent: AgentOption = "",
    wait: WaitOption = None,
    store: StoreOption = "",
) -> None:
    """Go to a turn: history and data as they were after it."""
    _move(
        ctx.obj, session, agent, wait, store, lambda kept, head, **how: timeline.rewind(kept, head, to, **how)
    )


def fork(
    ctx: typer.Context,
    session: SessionArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The name of the copy, without AGENT/.")],
    at: AtOption = None,
    agent: AgentOption = "",
    store: StoreOption = "",
) -> None:
    """Copy a session, as it is or as of a turn; the two go on independently."""
    app: App = ctx.obj
    with opened(load_settings(store)) as kept:
        head = one_session(kept, session, agent, at=at)
        made = kept.fork(head, bare_name(new, head.agent))
    app.output.note(f"{session_label(made)} is a copy of {session_label(head)} as of turn {head.turn}")


def _move(
    app: App,
    session: str,
    agent: str,
    wait: float | None,
    store: str,
    move: Callable[..., Moved],
) -> None:
    settings = load_settings(store, wait=wait)
    with opened(settings) as kept:
        head = one_session(kept, session, agent)
        moved = timeline.newest(kept, head, move, wait=settings.wait, pause=patiently(app))
    say_moved(app.output, moved)
