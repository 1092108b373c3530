"""The picker's list of sessions: filtered, with one selected, and updated from the store."""

from __future__ import annotations

from collections.abc import Sequence

from flue_cli import times
from flue_cli.agents.origin import current_project
from flue_cli.errors import SessionBusy
from flue_cli.repl.picker.filtered_list import FilteredList
from flue_cli.sessions.timeline import last_turns
from flue_cli.stores.contract import Store
from flue_cli.stores.contract_errors import session_changed_error
from flue_cli.stores.records import Entry, LeaseHolder, SessionHead, SessionSummary
from flue_cli.stores.rules import in_project_first


class SessionList(FilteredList[SessionSummary]):
    """A list of the store's sessions, last used first, and those of other projects after the rest.

    All methods may raise StoreError.
    """

    def __init__(self, store: Store, agent: str = "") -> None:
        """List the sessions of `agent`, or of all agents with ""."""
        super().__init__()
        self.store = store
        self._agent = agent
        self._change_token: object = None
        self.loaded_at = 0
        """Time when the list was read, in microseconds since the epoch."""
        self.reload()

    def reload(self) -> None:
        """Read the list again. The same session stays selected; if it is gone, the one now in its place."""
        self._change_token = self.store.change_token()
        self.loaded_at = times.now()
        sessions = in_project_first(self.store.sessions(agent=self._agent), current_project())
        texts = [f"{session.agent}/{session.name} {session.preview}" for session in sessions]
        self.replace_items(sessions, texts, [session.uid for session in sessions])

    def refresh(self) -> bool:
        """Read the list again if the store has changed. True if it has."""
        if self.store.change_token() == self._change_token:
            return False
        self.reload()
        return True

    # One session

    def current_head(self, session: SessionSummary) -> SessionHead:
        """Read the session's present head, also after a rename; SessionChanged if it is gone."""
        head = self.store.head(session.agent, session.name)
        if head.uid == session.uid:
            return head
        self.reload()
        for other in self.items:
            if other.uid == session.uid:
                return self.store.head(other.agent, other.name)
        raise session_changed_error(session.name)

    def last_turns(self, session: SessionSummary, count: int) -> list[Entry]:
        """Read the newest `count` turns, and the prompt that is being answered."""
        head = self.store.head(session.agent, session.name)
        if head.uid != session.uid:  # replaced meanwhile; the list is read again soon
            return []
        return last_turns(self.store, head, count)

    def rename(self, session: SessionSummary, name: str) -> SessionHead:
        """Rename a session. Raises SessionExists, SessionChanged, and SessionBusy if a turn runs."""
        renamed = self.store.rename(self.current_head(session), name, wait=0, pause=_refuse_to_wait)
        self.reload()
        return renamed

    def deletion_set(self, session: SessionSummary) -> list[SessionHead]:
        """Find the sessions that go if `session` is deleted: itself and its undone forks.

        Raises SessionChanged.
        """
        head = self.current_head(session)
        return [head, *self.store.undone_forks(head)]

    def delete(self, deletion_set: Sequence[SessionHead]) -> None:
        """Delete a deletion set. Raises SessionBusy if a turn runs, SessionChanged if the set has changed."""
        head, *forks = deletion_set
        self.store.delete(head, seen_forks=forks)
        self.reload()


def _refuse_to_wait(seconds: float, holder: LeaseHolder) -> None:
    raise SessionBusy("the session is busy: a turn runs")
