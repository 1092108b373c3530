"""The contract of every store: the Store protocol. Its records are in records.py.

A session is known by agent and name and has a `uid` that its store never uses again. Its timeline
is a tree of entries: every accepted prompt and every edit of the data is one, with a parent. A
*line* is a run of entries in which each is the next one's parent; turns on the path from the start
to the head are numbered 1, 2, 3 … without a gap, whatever became of them. The session's head names
the entry that counts as now; its `version` grows with every change.

Undoing moves the head back, and nothing is thrown away: what was undone can be done again until
something else is added, and then stays as an *undone fork*, a session of its own named `NAME~1`.

Times are microseconds since the epoch, UTC. Data travels as JSON text, byte for byte.
Every method may raise StoreError (exit 5) when the store itself fails.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flue_cli.agents.api import Message
    from flue_cli.stores.records import (
        BegunTurn,
        Entry,
        ForkOrigin,
        HealthFinding,
        Lease,
        Pause,
        ReplayedTurn,
        SearchHit,
        SessionHead,
        SessionSummary,
        TurnFailure,
        TurnRequest,
        TurnResult,
    )
    from flue_cli.stores.statistics import Statistics

ProgressCallback = Callable[[str, int, int], object]
"""Called as long work goes on: what is being done ("copying"), how much of it is, of how much.

What it raises ends the work."""


class Store(Protocol):
    """A place where sessions are kept. Safe to use from several threads at once."""

    url: str
    """The URL that opens this store again, as `--store` takes it."""

    is_ephemeral: bool
    """True if all of it ends with the process: then nothing else is to be written about it either."""

    files: tuple[str, ...]
    """The absolute paths of all files that it may have, the main one first; none if it has no files.

    They need not be there yet. Nothing but the store may write them."""

    lease_seconds: float
    """Duration of the leases that it gives and renews, in seconds: LEASE_SECONDS unless set."""

    def head(self, agent: str, name: str) -> SessionHead:
        """The session as it stands; with uid 0, creating nothing, if there is none."""
        ...

    def begin(self, request: TurnRequest, pause: Pause) -> BegunTurn | ReplayedTurn:
        """Take the session, creating it if new, and record the prompt as running: one transaction.

        Turns of one session are let in in order of arrival. SessionBusy if others hold it past
        `ask.wait`; SessionExists or SessionNotFound if `ask.expect` says otherwise; SessionChanged
        if it was deleted, renamed or made anew since `ask.uid` was seen or while waiting;
        KeyConflict if the key completed another prompt. A key is looked up before `ask.expect`, so
        that a retry is answered whatever it expects. What `pause` raises passes through, and
        leaves no trace of the wait.
        """
        ...

    def renew(self, lease: Lease) -> None:
        """Hold the lease for another `lease_seconds`; LeaseLost if somebody took it."""
        ...

    def commit(self, lease: Lease, result: TurnResult) -> SessionHead:
        """Complete the turn: reply, history, data, head and version in one transaction.

        LeaseLost, with nothing changed, unless fence and version are still the lease's; an expired
        lease that nobody took is still good, also if the session was renamed meanwhile.
        """
        ...

    def abandon(self, lease: Lease, failure: TurnFailure) -> SessionHead:
        """Settle the turn as "failed" or "cancelled"; data and history stay. LeaseLost as for commit."""
        ...

    def entries(
        self, head: SessionHead, first: int, last: int, *, with_data: bool = False
    ) -> Iterator[Entry]:
        """The entries of turns `first` to `last` on the line that ends at `head`, oldest first.

        Reads in pages: a reader that pauses blocks no writer. StoreDamaged names a corrupt entry.
        """
        ...

    def unsettled_prompt(self, head: SessionHead) -> Entry | None:
        """The prompt that is being answered now ("running"), or that a crash left ("interrupted")."""
        ...

    def messages(self, head: SessionHead, start: int, stop: int) -> list[Message]:
        """The messages at positions `start` to `stop` (exclusive) of the history up to `head`."""
        ...

    def data_at(self, head: SessionHead, turn: int) -> str:
        """The JSON text of the data after `turn` on the line that ends at `head`; 0 is `{}`."""
        ...

    def head_at(self, head: SessionHead, turn: int) -> SessionHead:
        """The session as of `turn` on the line that ends at `head`, to read from; TurnNotFound."""
        ...

    def redo_head(self, head: SessionHead) -> SessionHead:
        """The session as it was before turns were undone, to read from; `head` if none were."""
        ...

    def origin(self, head: SessionHead) -> ForkOrigin | None:
        """Tell which session and turn it was forked from; None if it began by itself."""
        ...

    def undone_forks(self, head: SessionHead) -> list[SessionHead]:
        """The undone forks of the session, and of those in turn: they go where it goes."""
        ...

    def sessions(
        self,
        *,
        agent: str = "",
        limit: int | None = None,
        with_undone_forks: bool = False,
        since: int | None = None,
    ) -> list[SessionSummary]:
        """Sessions, last used first; with `kept`, also the forks that undoing kept.

        With `since`, only those that were used then or later; one with a turn that began since was.
        """
        ...

    def resolve(self, name: str, *, agent: str = "") -> list[SessionHead]:
        """The sessions that `name` may mean.

        With `agent`, the one whose whole name it is. Without, those of any agent whose whole name it
        is, and the one that it names as AGENT/NAME (first slash).
        """
        ...

    def search(
        self,
        terms: Sequence[str],
        *,
        agent: str = "",
        limit: int | None = None,
        ranked: bool = False,
        with_undone_forks: bool = False,
    ) -> list[SearchHit]:
        """The turns that say every one of `words`, in prompt or reply; search_query.py says what that means.

        The newest first, by when their prompts were recorded (copies: when they were made); `ranked`, the
        best first. Turns that failed, and the one that runs, are found by their prompts. What was undone
        is found only with `kept`: in the undone fork that has it, or else in the session itself. A turn that
        a session shares with its undone forks is one hit, the session's. No words find nothing.
        """
        ...

    def reindex(self) -> None:
        """Make anew whatever `search` looks things up in, if there is something like that."""
        ...

    def move_head(self, head: SessionHead, turn: int, *, wait: float, pause: Pause) -> SessionHead:
        """Make `turn`, of the line that ends at `tip(head)`, the newest one: undo, redo and rewind.

        Changes head and version, and nothing else. After the turns that were there first: SessionBusy
        past `wait` seconds, SessionChanged if the session is no longer as `head` says, TurnNotFound.
        """
        ...

    def edit(self, head: SessionHead, data: str, *, wait: float, pause: Pause) -> SessionHead:
        """Add an entry of kind "edit" after which the data is the JSON text `data`.

        SessionBusy and SessionChanged as for `move`.
        """
        ...

    def fork(self, head: SessionHead, name: str) -> SessionHead:
        """A session `name` of the same agent that is an independent copy of the line up to `head`.

        What was undone and what runs is not copied. Waits for nobody. SessionExists; SessionChanged if
        the session is gone.
        """
        ...

    def import_session(
        self, agent: str, name: str, entries: Iterable[Entry], origin: ForkOrigin | None = None
    ) -> SessionHead:
        """A new session of settled `entries`, each with its data, numbered anew; all of it or nothing.

        SessionExists if the agent has a session of that name; KeyConflict if a key completed two turns.
        """
        ...

    def rename(self, head: SessionHead, name: str, *, wait: float, pause: Pause) -> SessionHead:
        """Give the session another name, and its undone forks too, after the turns that were there first.

        SessionExists if its agent has a session of that name; SessionBusy past `wait` seconds;
        SessionChanged if it is not the one of `head.uid`. Prompts that wait for it end with that too.
        """
        ...

    def delete(self, head: SessionHead, *, seen_forks: Sequence[SessionHead] | None = None) -> None:
        """Remove the session, its undone forks, and every trace of them; other forks stay whole.

        SessionBusy at once while a turn runs; SessionChanged if it is not the one of `head.uid`. With
        `seen`, its undone forks as they were seen, also if it or one of them has changed since, or if
        there are others.
        """
        ...

    def statistics(self, *, agent: str = "", ahead: int = 0) -> Statistics:
        """Figures about all sessions, or those of `agent`; days begin `ahead` seconds before those of UTC."""
        ...

    def change_token(self) -> object:
        """A change token: equal on two calls of one thread if nobody wrote in between.

        It costs next to nothing, so that a change can be waited for. StoreError if the store was removed.
        """
        ...

    def reclaim_space(self, seconds: float) -> int:
        """Return unused space to the file system within `seconds`.

        Gives the bytes freed, 0 if it could not be done.
        """
        ...

    def back_up(self, file: str, advance: ProgressCallback, *, force: bool = False) -> None:
        """Write a copy as of one moment, checked, to the new `file`, whole or not at all; writers go on.

        FileExists unless `force` replaces it; StoreDamaged if the store does not pass the check;
        OutputFailed; UsageError if it is no store that a file can hold.
        """
        ...

    def restore(self, file: str, advance: ProgressCallback, *, force: bool = False) -> str:
        """Put a copy of what `back_up` wrote in the place of this store.

        Gives where the store that was there is kept, "" if none was. Conflict while any process uses
        the store; FileExists if it is there, unless `force`; StoreDamaged and StoreNewer, with nothing
        changed, if the file does not pass the check; UsageError as above.
        """
        ...

    def health(self) -> Iterator[HealthFinding]:
        """A check-up of everything that is kept, damaged turns with their numbers.

        Changes nothing, and raises nothing: a store that cannot be read is a finding too.
        """
        ...

    def share_commits(self) -> None:
        """Many threads are going to make turns: from now on, their commits may become durable together.

        What is promised of each stays as it is. To be called before the first turn.
        """
        ...

    def disconnect(self) -> None:
        """Let go of what the calling thread holds (a connection of its own), as it ends."""
        ...

    def close(self) -> None:
        """Let go of files and connections of all threads; the store opens them again if used again."""
        ...
