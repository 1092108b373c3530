"""`flue sessions data`, `set`, `unset`, `edit`: show and edit a session's data."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Annotated

import typer

from flue_cli import data_path, hand_edits
from flue_cli.cli.command_table import App
from flue_cli.cli.options import (
    AgentOption,
    AtOption,
    SessionArgument,
    StoreOption,
    WaitOption,
    load_settings,
    open_run_store,
    pause_with_notice,
    repeat_flags,
    resolve_session,
)
from flue_cli.hand_edits import Drafts, Edited, Waiting
from flue_cli.kept import data_of
from flue_cli.render import plain
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Head

PathArgument = Annotated[
    str, typer.Argument(metavar="PATH", help='A place in the data: tasks[0].title, ["any key"].')
]


def data(
    ctx: typer.Context,
    session: SessionArgument,
    path: Annotated[
        str,
        typer.Argument(
            metavar="[PATH]", help="A place in it: tasks[0].title, tasks[-1].", show_default=False
        ),
    ] = "",
    at: AtOption = None,
    agent: AgentOption = "",
    store: StoreOption = "",
) -> None:
    """Print a session's data as JSON, all of it or what is at PATH."""
    app: App = ctx.obj
    steps = data_path.parse(path)
    with open_run_store(load_settings(store)) as kept:
        head = resolve_session(kept, session, agent, at=at)
        text = kept.data_at(head, head.turn)
    value = data_path.get(data_of(text, head.name), steps)
    app.output.result(plain.as_json(value, indent=2))


def set_(
    ctx: typer.Context,
    session: SessionArgument,
    path: PathArgument,
    value: Annotated[
        str,
        typer.Argument(
            metavar="VALUE", help="JSON: 42, true, '\"text\"', '[1, 2]'; after -- if it is negative."
        ),
    ],
    agent: AgentOption = "",
    wait: WaitOption = None,
    store: StoreOption = "",
) -> None:
    """Set a value in a session's data; missing objects are created.

    The change is a turn of its own: flue sessions undo takes it back.
    """
    _edit(
        ctx.obj,
        session,
        agent,
        wait,
        store,
        lambda kept, head, waiting: hand_edits.put(kept, head, path, value, waiting),
    )


def unset(
    ctx: typer.Context,
    session: SessionArgument,
    path: PathArgument,
    agent: AgentOption = "",
    wait: WaitOption = None,
    store: StoreOption = "",
) -> None:
    """Remove a value from a session's data.

    The change is a turn of its own: flue sessions undo takes it back.
    """
    _edit(
        ctx.obj,
        session,
        agent,
        wait,
        store,
        lambda kept, head, waiting: hand_edits.take_out(kept, head, path, waiting),
    )


def edit(
    ctx: typer.Context,
    session: SessionArgument,
    agent: AgentOption = "",
    wait: WaitOption = None,
    store: StoreOption = "",
) -> None:
    """Change a session's data in your editor.

    That is VISUAL, EDITOR, or vi. Valid JSON is saved as a turn of its own: flue
    sessions undo takes it back.
    """
    app: App = ctx.obj

    def edited(kept: Store, head: Head, waiting: Waiting) -> Edited:
        again = shlex.join(
            ("flue", "sessions", "set", f"{head.agent}/{head.name}", "", *repeat_flags(store, None))
        )
        drafts = Drafts(load_settings(store).drafts, again, app.output.note)
        return hand_edits.in_editor(kept, head, drafts, waiting)

    _edit(app, session, agent, wait, store, edited)


def _edit(
    app: App,
    session: str,
    agent: str,
    wait: float | None,
    store: str,
    change: Callable[[Store, Head, Waiting], Edited],
) -> None:
    settings = load_settings(store, wait=wait)
    with open_run_store(settings) as kept:
        edited = change(
            kept, resolve_session(kept, session, agent), Waiting(settings.wait, pause_with_notice(app))
        )
    app.output.note(edited.words)
