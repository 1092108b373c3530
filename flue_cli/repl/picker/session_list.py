"""The sessions that a person can choose from: filtered, one of them selected, kept up to date."""

from __future__ import annotations

from collections.abc import Sequence
from unicodedata import normalize

from flue_cli import times
from flue_cli.errors import SessionBusy
from flue_cli.sessions.timeline import last_turns
from flue_cli.stores.contract import Store
from flue_cli.stores.contract_errors import session_changed_error
from flue_cli.stores.records import ABSENT, Entry, Head, Holder, Summary


class Choices:
    """A list of sessions, last used first, as it stands in the store.

    All methods may raise StoreError.
    """

    def __init__(self, store: Store, agent: str = "") -> None:
        """Sessions of `agent`, or of all with ""."""
        self.store = store
        self._agent = agent
        self._words: list[str] = []
        self._stamp: object = None
        self._first = 0
        self.all: Sequence[Summary] = ()
        self.shown: Sequence[Summary] = ()
        self.at = 0
        """Which of those shown is selected."""
        self.page = 1
        """How many sessions the screen had room for, last time."""
        self.loaded_at = 0
        """When the list was read, in microseconds."""
        self.load()

    @property
    def selected(self) -> Summary | None:
        """The selected session; None if none is shown."""
        return self.shown[self.at] if self.shown else None

    def load(self) -> None:
        """Read the list anew; the same session stays selected, or else what is now in its place."""
        self._stamp = self.store.stamp()
        self.loaded_at = times.now()
        self.all = self.store.sessions(agent=self._agent)
        self._texts = [f"{one.agent}/{one.name} {one.preview}".casefold() for one in self.all]
        self._show(stay=True)

    def look(self) -> bool:
        """Read the list anew if anybody wrote to the store since; whether that was so."""
        if self.store.stamp() == self._stamp:
            return False
        self.load()
        return True

    def filter(self, text: str) -> None:
        """Show only sessions with every word of `text` in agent, name or preview, whatever its case."""
        self._words = normalize("NFC", text).casefold().split()
        self._show(stay=False)

    def move(self, by: int) -> None:
        """Select the session so many lines below, or above; the first or last if there are not so many."""
        self.at = max(0, min(self.at + by, len(self.shown) - 1))

    def window(self, height: int) -> Sequence[tuple[Summary, bool]]:
        """The sessions that fit on `height` lines, the selected one among them and marked."""
        self.page = height
        last = max(0, len(self.shown) - height)
        self._first = min(max(self._first, self.at - height + 1), self.at, last)
        part = self.shown[self._first : self._first + height]
        return [(one, number == self.at) for number, one in enumerate(part, self._first)]

    # One session

    def head(self, one: Summary) -> Head:
        """The session as it stands now, whatever it is called meanwhile; SessionChanged if it is gone."""
        head = self.store.head(one.agent, one.name)
        if head.uid == one.uid:
            return head
        self.load()
        for other in self.all:
            if other.uid == one.uid:
                return self.store.head(other.agent, other.name)
        raise session_changed_error(one.name)

    def last_turns(self, one: Summary, count: int) -> list[Entry]:
        """The newest `count` turns, and the prompt that is being answered."""
        head = self.store.head(one.agent, one.name)
        if head.uid != one.uid:  # the list is about to be read anew
            return []
        return last_turns(self.store, head, count)

    def rename(self, one: Summary, name: str) -> Head:
        """Give it another name; SessionExists, SessionBusy at once while a turn runs, SessionChanged."""
        renamed = self.store.rename(self.head(one), name, wait=0, pause=_no_pause)
        self.load()
        return renamed

    def going(self, one: Summary) -> list[Head]:
        """What deleting it would delete: itself, and the forks that undoing kept. SessionChanged."""
        head = self.head(one)
        return [head, *self.store.kept(head)]

    def delete(self, going: Sequence[Head]) -> None:
        """Delete what `going` gave; SessionBusy while a turn runs, SessionChanged if anything differs now."""
        head, *forks = going
        self.store.delete(head, seen=forks)
        self.load()

    def _show(self, *, stay: bool) -> None:
        """Filter; without `stay`, a selected session that is not shown any more gives way to the first."""
        before = self.selected
        pairs = zip(self.all, self._texts, strict=True)
        self.shown = [one for one, text in pairs if all(word in text for word in self._words)]
        uid = before.uid if before else ABSENT
        found = next((number for number, one in enumerate(self.shown) if one.uid == uid), None)
        if found is not None:
            self.at = found
        else:
            self.at = min(self.at, max(0, len(self.shown) - 1)) if stay else 0


def _no_pause(seconds: float, holder: Holder) -> None:
    raise SessionBusy("the session is busy: a turn runs")
