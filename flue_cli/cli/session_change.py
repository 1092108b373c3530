"""The session that a command changes, with the settings for waiting behind a running turn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from flue_cli.cli.app import App
from flue_cli.cli.options import load_settings, open_run_store, pause_with_notice, resolve_session
from flue_cli.errors import UsageError
from flue_cli.sessions.data_edits import WaitOptions
from flue_cli.stores.records import SessionHead
from flue_cli.text import session_label

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


def rename_session(
    app: App, store: Store, head: SessionHead, name: str, *, agent: str = "", wait: float
) -> None:
    """Rename a session, or give it to `agent`, and say so. Raises as Store.rename, and UsageError."""
    origin = store.origin(head)
    if origin and origin.is_undone_fork:
        raise UsageError(
            f"session '{head.name}' has undone turns of '{origin.name}', and is named after it",
            hint=f"make it one of your own: flue sessions fork {quote(session_label(head))} NEW",
        )
    renamed = store.rename(head, name, agent=agent, wait=wait, pause=pause_with_notice(app))
    app.output.note(f"{session_label(head)} is now {session_label(renamed)}")
