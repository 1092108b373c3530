"""Events of a session that other processes write to."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import NamedTuple

from flue_cli.errors import SessionChanged
from flue_cli.sessions.timeline import find_missed_changes
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.stores.rules import INTERRUPTED

POLL_SECONDS = 0.2
"""Seconds between two polls for new entries."""
_LIVENESS_SECONDS = 1.0
"""Seconds between two polls during a running turn: a killed process writes nothing more."""


class TurnBegan(NamedTuple):
    """A prompt is being answered."""

    entry: Entry


class TurnSettled(NamedTuple):
    """A turn has its outcome, or the data was edited; `entry` has its data only if `with_data` was set."""

    entry: Entry


class TurnsUndone(NamedTuple):
    """Turns `first` to `last` were undone."""

    first: int
    last: int


class SessionRenamed(NamedTuple):
    """The session was renamed, or given to another agent."""

    head: SessionHead


SessionEvent = TurnBegan | TurnSettled | TurnsUndone | SessionRenamed


def follow(store: Store, head: SessionHead, *, with_data: bool = False) -> Iterator[SessionEvent]:
    """Yield the events of a session after `head`; first for a running or interrupted prompt.

    Never ends. Raises SessionChanged when the session is deleted.
    """
    follower = Follower(store, head, with_data=with_data)
    while True:
        yield from follower.poll()
        time.sleep(POLL_SECONDS)


class Follower:
    """Source of the same events for a caller that polls: every POLL_SECONDS, always in the same thread."""

    def __init__(self, store: Store, head: SessionHead, *, with_data: bool = False) -> None:
        self._store = store
        self._watcher = _Watcher(store, head, with_data=with_data)
        self._change_token: object = None
        self._next_poll = time.monotonic()

    @property
    def head(self) -> SessionHead:
        """The session at the last poll."""
        return self._watcher.head

    def poll(self) -> Iterator[SessionEvent]:
        """Yield the events since the last poll; cheap if there are none. Raises as follow."""
        token = self._store.change_token()  # read first: later writes change it again
        if token != self._change_token or time.monotonic() >= self._next_poll:
            yield from self._watcher.poll()
            self._change_token = token
            self._next_poll = (
                time.monotonic() + _LIVENESS_SECONDS if self._watcher.is_running else float("inf")
            )


class _Watcher:
    """State of following: the session at the last poll, and the prompts already reported."""

    def __init__(self, store: Store, head: SessionHead, *, with_data: bool) -> None:
        self._store = store
        self._head = head
        self._redo_head = store.redo_head(head)
        self._with_data = with_data
        self._running_turn: tuple[int, int] | None = None
        self._interrupted_turn: tuple[int, int] | None = None

    @property
    def head(self) -> SessionHead:
        """The session at the last poll."""
        return self._head

    @property
    def is_running(self) -> bool:
        """True if a prompt was running at the last poll."""
        return self._running_turn is not None

    def poll(self) -> Iterator[SessionEvent]:
        """Yield the events since the last poll."""
        now = self._current_head()
        try:
            tip = self._store.redo_head(now)
            events = list(self._changes_between(now, tip))
        except SessionChanged:  # between two of our reads: the next poll sees it
            return
        if (now.agent, now.name) != (self._head.agent, self._head.name):
            yield SessionRenamed(now)
        self._head, self._redo_head = now, tip
        yield from events
        yield from self._unsettled_events(now)

    def _changes_between(self, now: SessionHead, tip: SessionHead) -> Iterator[SessionEvent]:
        """Yield undone and new turns, also those that were added and undone between two polls."""
        missed = find_missed_changes(self._store, self._head, now)
        lost = [
            entry
            for entry in find_missed_changes(self._store, self._redo_head, tip).turns
            if entry.turn > now.turn
        ]
        undone = [*missed.undone]
        if undone and (missed.turns or not lost):
            yield TurnsUndone(undone[0], undone[-1])
            undone = []
        for end, entries in ((now, missed.turns), (tip, lost)):
            for entry in entries:
                if _turn_identity(entry) != self._interrupted_turn:
                    yield TurnSettled(self._add_data(end, entry))
        if lost:
            yield TurnsUndone(undone[0] if undone else now.turn + 1, lost[-1].turn)

    def _unsettled_events(self, now: SessionHead) -> Iterator[SessionEvent]:
        prompt = self._store.unsettled_prompt(now)
        if prompt is None or prompt.turn != now.turn + 1:
            self._running_turn = None
        elif prompt.outcome == "running":
            if self._running_turn != _turn_identity(prompt):
                self._running_turn = _turn_identity(prompt)
                yield TurnBegan(prompt)
        else:
            self._running_turn = None
            if self._interrupted_turn != _turn_identity(prompt):
                self._interrupted_turn = _turn_identity(prompt)
                data = self._store.data_at(now, now.turn) if self._with_data else ""
                yield TurnSettled(prompt._replace(error=INTERRUPTED, data=data))

    def _add_data(self, now: SessionHead, entry: Entry) -> Entry:
        return entry._replace(data=self._store.data_at(now, entry.turn)) if self._with_data else entry

    def _current_head(self) -> SessionHead:
        """Read the present head of the session, even if it was renamed or moved."""
        seen = self._head
        now = self._store.head(seen.agent, seen.name)
        if now.uid == seen.uid:
            return now
        for summary in self._store.sessions(with_undone_forks=True):
            if summary.uid == seen.uid:
                now = self._store.head(summary.agent, summary.name)
                if now.uid == seen.uid:
                    return now
        raise SessionChanged(f"session '{seen.name}' was deleted")


def _turn_identity(entry: Entry) -> tuple[int, int]:
    """Identify a turn among all that ever had its number."""
    return entry.turn, entry.started_at
