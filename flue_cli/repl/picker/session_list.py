"""The picker's list of sessions: filtered, with one selected, and updated from the store."""

from __future__ import annotations

from collections.abc import Sequence

from flue_cli import times
from flue_cli.agents.origin import current_project
from flue_cli.errors import SessionBusy
from flue_cli.sessions.timeline import last_turns
from flue_cli.stores.contract import Store
from flue_cli.stores.contract_errors import session_changed_error
from flue_cli.stores.records import ABSENT, Entry, LeaseHolder, SessionHead, SessionSummary
from flue_cli.stores.rules import in_project_first
from flue_cli.text import fold_text


class SessionList:
    """A list of the store's sessions, last used first, and those of other projects after the rest.

    All methods may raise StoreError.
    """

    def __init__(self, store: Store, agent: str = "") -> None:
        """List the sessions of `agent`, or of all agents with ""."""
        self.store = store
        self._agent = agent
        self._words: list[str] = []
        self._change_token: object = None
        self._first_row = 0
        self.sessions: Sequence[SessionSummary] = ()
        self.filtered: Sequence[SessionSummary] = ()
        self.cursor = 0
        """Index of the selected session in `filtered`."""
        self.page_height = 1
        """Number of rows on the screen when it was last drawn."""
        self.loaded_at = 0
        """Time when the list was read, in microseconds since the epoch."""
        self.reload()

    @property
    def selected(self) -> SessionSummary | None:
        """The selected session; None if the filter matches none."""
        return self.filtered[self.cursor] if self.filtered else None

    def reload(self) -> None:
        """Read the list again. The same session stays selected; if it is gone, the one now in its place."""
        self._change_token = self.store.change_token()
        self.loaded_at = times.now()
        self.sessions = in_project_first(self.store.sessions(agent=self._agent), current_project())
        self._searched_texts = [fold_text(f"{one.agent}/{one.name} {one.preview}") for one in self.sessions]
        self._apply_filter(keep_position=True)

    def refresh(self) -> bool:
        """Read the list again if the store has changed. True if it has."""
        if self.store.change_token() == self._change_token:
            return False
        self.reload()
        return True

    def filter(self, text: str) -> None:
        """Show only sessions with every word of `text` in agent, name or preview, ignoring case."""
        self._words = fold_text(text).split()
        self._apply_filter(keep_position=False)

    def move_cursor(self, rows: int) -> None:
        """Select the session `rows` below, or above if negative, but not beyond the first and last."""
        self.cursor = max(0, min(self.cursor + rows, len(self.filtered) - 1))

    def visible_rows(self, height: int) -> Sequence[tuple[SessionSummary, bool]]:
        """Return the sessions that fit on `height` lines, each with True if it is the selected one."""
        self.page_height = height
        last = max(0, len(self.filtered) - height)
        self._first_row = min(max(self._first_row, self.cursor - height + 1), self.cursor, last)
        page = self.filtered[self._first_row : self._first_row + height]
        return [(session, index == self.cursor) for index, session in enumerate(page, self._first_row)]

    # One session

    def current_head(self, session: SessionSummary) -> SessionHead:
        """Read the session's present head, also after a rename; SessionChanged if it is gone."""
        head = self.store.head(session.agent, session.name)
        if head.uid == session.uid:
            return head
        self.reload()
        for other in self.sessions:
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

    def _apply_filter(self, *, keep_position: bool) -> None:
        """Filter the list. If the selected session disappears, select the first, or keep the position."""
        selected = self.selected
        pairs = zip(self.sessions, self._searched_texts, strict=True)
        self.filtered = [one for one, text in pairs if all(word in text for word in self._words)]
        uid = selected.uid if selected else ABSENT
        index = next((index for index, session in enumerate(self.filtered) if session.uid == uid), None)
        if index is not None:
            self.cursor = index
        else:
            self.cursor = min(self.cursor, max(0, len(self.filtered) - 1)) if keep_position else 0


def _refuse_to_wait(seconds: float, holder: LeaseHolder) -> None:
    raise SessionBusy("the session is busy: a turn runs")
