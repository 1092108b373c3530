"""`flue sessions data`, `set`, `unset`, `edit`: show and edit a session's data."""

from __future__ import annotations

import shlex
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
    repeat_flags,
    resolve_session,
)
from flue_cli.cli.session_change import session_to_change
from flue_cli.jsondata import path as data_path
from flue_cli.render import machine_output
from flue_cli.sessions import data_edits
from flue_cli.sessions.data_edits import DraftFolder
from flue_cli.turns.result import parse_data

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
    store_url: StoreOption = "",
) -> None:
    """Print a session's data as JSON, all of it or what is at PATH."""
    app: App = ctx.obj
    steps = data_path.parse_path(path)
    with open_run_store(load_settings(store_url)) as store:
        head = resolve_session(store, session, agent, at=at)
        text = store.data_at(head, head.turn)
    value = data_path.get_value(parse_data(text, head.name), steps)
    app.output.result(machine_output.as_json(value, indent=2))


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
    app: App = ctx.obj
    with session_to_change(app, session, agent, wait, store) as target:
        edited = data_edits.set_value(target.store, target.head, path, value, target.waiting)
    app.output.note(edited.message)


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
    app: App = ctx.obj
    with session_to_change(app, session, agent, wait, store) as target:
        edited = data_edits.unset_value(target.store, target.head, path, target.waiting)
    app.output.note(edited.message)


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
    with session_to_change(app, session, agent, wait, store) as target:
        name = f"{target.head.agent}/{target.head.name}"
        again = shlex.join(("flue", "sessions", "set", name, "", *repeat_flags(store, None)))
        drafts = DraftFolder(load_settings(store).drafts, again, app.output.note)
        edited = data_edits.edit_as_text(target.store, target.head, drafts, target.waiting)
    app.output.note(edited.message)
