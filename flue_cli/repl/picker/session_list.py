"""The sessions that a person can choose from: filtered, one of them selected, kept up to date."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import normalize

from flue_cli import times
from flue_cli.errors import SessionBusy
from flue_cli.sessions.timeline import last_turns
from flue_cli.stores.contract import Store
from flue_cli.stores.contract_errors import session_changed_error
from flue_cli.stores.records import ABSENT, Entry, LeaseHolder, SessionHead, SessionSummary


class SessionList:
    """A list of sessions, last used first, as it stands in the store.

    All methods may raise StoreError.
    """

    def __init__(self, store: Store, agent: str = "") -> None:
        """Sessions of `agent`, or of all with ""."""
        self.store = store
        self._agent = agent
        self._words: list[str] = []
        self._change_token: object = None
        self._first_row = 0
        self.sessions: Sequence[SessionSummary] = ()
        self.filtered: Sequence[SessionSummary] = ()
        self.cursor = 0
        """Index of the selected session among those shown."""
        self.page_height = 1
        """Number of rows that fitted on the screen last time."""
        self.loaded_at = 0
        """Time when the list was read, in microseconds since the epoch."""
        self.reload()

    @property
    def selected(self) -> SessionSummary | None:
        """The selected session; None if none is shown."""
        return self.filtered[self.cursor] if self.filtered else None

    def reload(self) -> None:
        """Read the list anew; the same session stays selected, or else what is now in its place."""
        self._change_token = self.store.change_token()
        self.loaded_at = times.now()
        self.sessions = self.store.sessions(agent=self._agent)
        self._searched_texts = [f"{one.agent}/{one.name} {one.preview}".casefold() for one in self.sessions]
        self._apply_filter(stay=True)

    def refresh(self) -> bool:
        """Read the list anew if anybody wrote to the store since; whether that was so."""
        if self.store.change_token() == self._change_token:
            return False
        self.reload()
        return True

    def filter(self, text: str) -> None:
        """Show only sessions with every word of `text` in agent, name or preview, whatever its case."""
        self._words = normalize("NFC", text).casefold().split()
        self._apply_filter(stay=False)

    def move_cursor(self, rows: int) -> None:
        """Select the session so many lines below, or above; the first or last if there are not so many."""
        self.cursor = max(0, min(self.cursor + rows, len(self.filtered) - 1))

    def visible_rows(self, height: int) -> Sequence[tuple[SessionSummary, bool]]:
        """The sessions that fit on `height` lines, the selected one among them and marked."""
        self.page_height = height
        last = max(0, len(self.filtered) - height)
        self._first_row = min(max(self._first_row, self.cursor - height + 1), self.cursor, last)
        part = self.filtered[self._first_row : self._first_row + height]
        return [(one, number == self.cursor) for number, one in enumerate(part, self._first_row)]

    # One session

    def current_head(self, session: SessionSummary) -> SessionHead:
        """The session as it stands now, whatever it is called meanwhile; SessionChanged if it is gone."""
        head = self.store.head(session.agent, session.name)
        if head.uid == session.uid:
            return head
        self.reload()
        for other in self.sessions:
            if other.uid == session.uid:
                return self.store.head(other.agent, other.name)
        raise session_changed_error(session.name)

    def last_turns(self, session: SessionSummary, count: int) -> list[Entry]:
        """The newest `count` turns, and the prompt that is being answered."""
        head = self.store.head(session.agent, session.name)
        if head.uid != session.uid:  # the list is about to be read anew
            return []
        return last_turns(self.store, head, count)

    def rename(self, session: SessionSummary, name: str) -> SessionHead:
        """Give it another name; SessionExists, SessionBusy at once while a turn runs, SessionChanged."""
        renamed = self.store.rename(self.current_head(session), name, wait=0, pause=_refuse_to_wait)
        self.reload()
        return renamed

    def deletion_set(self, session: SessionSummary) -> list[SessionHead]:
        """The sessions that deleting it would remove: itself and its undone forks. Raises SessionChanged."""
        head = self.current_head(session)
        return [head, *self.store.undone_forks(head)]

    def delete(self, deletion_set: Sequence[SessionHead]) -> None:
        """Delete what `going` gave; SessionBusy while a turn runs, SessionChanged if anything differs now."""
        head, *forks = deletion_set
        self.store.delete(head, seen_forks=forks)
        self.reload()

    def _apply_filter(self, *, stay: bool) -> None:
        """Filter; without `stay`, a selected session that is not shown any more gives way to the first."""
        before = self.selected
        pairs = zip(self.sessions, self._searched_texts, strict=True)
        self.filtered = [one for one, text in pairs if all(word in text for word in self._words)]
        uid = before.uid if before else ABSENT
        found = next((number for number, one in enumerate(self.filtered) if one.uid == uid), None)
        if found is not None:
            self.cursor = found
        else:
            self.cursor = min(self.cursor, max(0, len(self.filtered) - 1)) if stay else 0


def _refuse_to_wait(seconds: float, holder: LeaseHolder) -> None:
    raise SessionBusy("the session is busy: a turn runs")
