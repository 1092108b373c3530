"""The session picker: a list that fills the screen, with filter, preview, rename and delete."""

from __future__ import annotations

from flue_cli.errors import SessionNotFound
from flue_cli.render.streams import Output
from flue_cli.repl.picker.full_screen import run_full_screen
from flue_cli.repl.picker.key_bindings import picker_key_bindings
from flue_cli.repl.picker.layout import picker_layout
from flue_cli.repl.picker.session_list import SessionList
from flue_cli.repl.picker.state import Picker
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
    session: SessionSummary | None = run_full_screen(
        picker,
        picker_layout(picker),
        picker_key_bindings(picker),
        output,
        cancelling,
        refresh=picker.refresh,
        refresh_seconds=REFRESH_SECONDS,
    )
    return session
