"""The session that a command changes, with the settings for waiting behind a running turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, NamedTuple

from flue_cli.cli.app import App
from flue_cli.cli.options import load_settings, open_run_store, pause_with_notice, resolve_session
from flue_cli.sessions.data_edits import WaitOptions
from flue_cli.stores.records import SessionHead

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store


class SessionToChange(NamedTuple):
    """An open store, a session in it, and how long a change of it may wait behind a turn."""

    store: Store
    head: SessionHead
    waiting: WaitOptions


@contextmanager
def session_to_change(
    app: App, session: str, agent: str, wait: float | None, store: str
) -> Iterator[SessionToChange]:
    """Open the store and give the session that SESSION means; raises as `one_session`."""
    settings = load_settings(store, wait=wait)
    with open_run_store(settings) as opened_store:
        head = resolve_session(opened_store, session, agent)
        yield SessionToChange(opened_store, head, WaitOptions(settings.wait, pause_with_notice(app)))
