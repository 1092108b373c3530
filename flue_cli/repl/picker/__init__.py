"""The session picker: a list that fills the screen, with filter, preview, rename and delete."""

from __future__ import annotations

import asyncio

from prompt_toolkit.application import Application
from prompt_toolkit.output import create_output
from prompt_toolkit.styles import Style

from flue_cli.errors import SessionNotFound
from flue_cli.render.streams import Output
from flue_cli.repl.exit_signals import run_app
from flue_cli.repl.picker.key_bindings import picker_key_bindings
from flue_cli.repl.picker.layout import PICKER_STYLE, picker_layout
from flue_cli.repl.picker.session_list import SessionList
from flue_cli.repl.picker.state import Picker
from flue_cli.repl.terminal import restore_terminal
from flue_cli.stores.contract import Store
from flue_cli.stores.records import ABSENT, SessionSummary
from flue_cli.turns.cancellation import SignalRoute

REFRESH_SECONDS = 0.5
"""Seconds between checks for changes that other processes made to the store."""


def pick_session(
    store: Store, output: Output, cancelling: SignalRoute, *, agent: str = "", current_uid: int = ABSENT
) -> SessionSummary | None:
    """Let the person choose a session of `agent`, or of any with ""; None if they choose none.

    The session `current_uid`, which they are in, cannot be renamed or deleted. Raises SessionNotFound if
    there is no session, and StoppedBySignal.
    """
    if not store.sessions(agent=agent, limit=1):
        raise SessionNotFound("there is no session to pick")
    picker = Picker(SessionList(store, agent), current_uid)
    with output.terminal_file() as screen, restore_terminal():
        app: Application[SessionSummary | None] = Application(
            layout=picker_layout(picker),
            key_bindings=picker_key_bindings(picker),
            style=Style.from_dict(PICKER_STYLE),
            full_screen=True,
            output=create_output(screen),
            refresh_interval=30,  # to keep "3 min ago" true
        )
        app.ttimeoutlen = app.timeoutlen = 0.1  # seconds until an Esc counts as the key itself
        app.key_processor.before_key_press += lambda _: picker.show_message("")
        return run_app(app, lambda: app.run(pre_run=lambda: _refresh_regularly(app, picker)), cancelling)


def _refresh_regularly(app: Application[SessionSummary | None], picker: Picker) -> None:
    """Update the list as other processes change the store, as long as the picker is open."""

    async def refresh() -> None:
        while True:
            await asyncio.sleep(REFRESH_SECONDS)
            if picker.attempt(picker.refresh):
                app.invalidate()

    app.create_background_task(refresh())
