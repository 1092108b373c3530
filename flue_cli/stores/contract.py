"""The contract of every store: the Store protocol. Its records are in records.py.

A session is known by agent and name, and has a `uid` that its store never uses again. Its timeline is a
tree of entries. Each accepted prompt is an entry, and so is each edit of the data; each entry has a parent.
A *branch* is a run of entries, each the parent of the next. Turns on the path from the start to the head
have the numbers 1, 2, 3 and so on without a gap, whatever their outcome. The *head* is the entry that counts
as now. The `version` of a session grows with every change.

Undo moves the head back and deletes nothing: redo can move it forward again. When an entry is added
instead, the undone branch becomes an *undone fork*, a session of its own with the name `NAME~1`.

Times are microseconds since the epoch, in UTC. Data is JSON text, and comes back byte for byte.
Every method may raise StoreError (exit code 5) if the store itself fails.
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
"""Called during long work with the name of the step ("copying"), the amount done and the total.

An exception that it raises ends the work."""


class Store(Protocol):
    """Storage for sessions. Safe to use from several threads at once."""

    url: str
    """The URL that opens this store again, as `--store` takes it."""

    is_ephemeral: bool
    """True if its sessions end with the process. Flue then writes nothing about them into its log either."""

    files: tuple[str, ...]
    """Absolute paths of all files that the store may have, the main file first; empty if it has none.

    They need not exist yet. Only the store may write them."""

    lease_seconds: float
    """Duration of the leases that it grants and renews, in seconds: LEASE_SECONDS unless set."""

    def head(self, agent: str, name: str) -> SessionHead:
        """Return the session as it stands. If there is none, return a head with uid 0 and create nothing."""
        ...

    def begin(self, request: TurnRequest, pause: Pause) -> BegunTurn | ReplayedTurn:
        """Take the session, creating it if it is new, and record the prompt as running, in one transaction.

        Turns of one session begin in order of arrival. Returns a ReplayedTurn, and runs nothing, if the key
        completed a turn with the same prompt before; a key is looked up before `request.expect` is checked,
        so that a retry is answered whatever it expects.

        Raises SessionBusy if the session is still taken after `request.wait` seconds; SessionExists or
        SessionNotFound if it is not as `request.expect` demands; SessionChanged if it was deleted, renamed
        or replaced since `request.uid` was seen, or while waiting; OtherAgent, at once, if the agent comes
        from another place than those that answered in the session so far; KeyConflict if the key completed
        another prompt. What `pause` raises passes through, and the request leaves the wait queue.
        """
        ...

    def renew(self, lease: Lease) -> None:
        """Extend the lease to `lease_seconds` from now; raise LeaseLost if another turn took the session."""
        ...

    def commit(self, lease: Lease, result: TurnResult) -> SessionHead:
        """Complete the turn: store reply, history, data, head and version in one transaction.

        Raises LeaseLost, and changes nothing, unless fence and version are still those of the lease. A lease
        that expired is valid until another turn takes the session, also if the session was renamed.
        """
        ...

    def abandon(self, lease: Lease, failure: TurnFailure) -> SessionHead:
        """Settle the turn as failed or cancelled; history and data stay. Raises LeaseLost like `commit`."""
        ...

    def entries(
        self, head: SessionHead, first: int, last: int, *, with_data: bool = False
    ) -> Iterator[Entry]:
        """Yield the entries of turns `first` to `last` on the branch that ends at `head`, oldest first.

        Reads in pages, so that a slow reader blocks no writer. Raises StoreDamaged with the number of the
        first damaged turn.
        """
        ...

    def unsettled_prompt(self, head: SessionHead) -> Entry | None:
        """Return the prompt that runs ("running") or that a crash left behind ("interrupted"), or None."""
        ...

    def messages(self, head: SessionHead, start: int, stop: int) -> list[Message]:
        """Return the messages at positions `start` to `stop` (exclusive) of the history up to `head`."""
        ...

    def data_at(self, head: SessionHead, turn: int) -> str:
        """Return the JSON text of the data after `turn`; raise TurnNotFound if it is not before `head`.

        Turn 0 is the empty start, where the data is `{}`.
        """
        ...

    def head_at(self, head: SessionHead, turn: int) -> SessionHead:
        """Return a head that reads the session as of `turn`; TurnNotFound if that is not before `head`."""
        ...

    def redo_head(self, head: SessionHead) -> SessionHead:
        """Return the head that reads the session as it was before turns were undone; `head` if none were."""
        ...

    def origin(self, head: SessionHead) -> ForkOrigin | None:
        """Return the session and turn that the session was forked from; None if it is no fork."""
        ...

    def agent_origins(self, head: SessionHead) -> tuple[str, ...]:
        """Return the origins of the agents that have answered in the session; () if none was told.

        The first turn with an origin sets it, and `TurnRequest.adopts` adds one. Forks have those of the
        session that they were copied from.
        """
        ...

    def undone_forks(self, head: SessionHead) -> list[SessionHead]:
        """Return the undone forks of the session, and their undone forks.

        They are renamed and deleted with the session.
        """
        ...

    def sessions(
        self,
        *,
        agent: str = "",
        limit: int | None = None,
        with_undone_forks: bool = False,
        since: int | None = None,
        project: str = "",
        before: int | None = None,
    ) -> list[SessionSummary]:
        """Return the sessions, last used first; undone forks only `with_undone_forks`.

        With `since`, a time, only sessions that were used then or later. A turn that runs is a use.
        With `project`, the name of a folder, only sessions with an agent origin below it (`PROJECT/...`) or
        in no project (without a slash), and those without origins. With `before`, the use number of the last
        session of a page, the page after it; what is used in the meantime is on the first page.
        """
        ...

    def resolve(self, name: str, *, agent: str = "") -> list[SessionHead]:
        """Return the sessions that `name` may mean, none if there are none.

        With `agent`, its session of exactly that name. Without, the sessions of any agent with that name, and
        the one that `name` addresses as AGENT/NAME, split at the first slash.
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
        """Return the turns whose prompt or reply has every one of `terms`; search_query.py defines a match.

        Newest prompts first (a copied turn counts as new when it was copied); with `ranked`, best matches
        first. Turns without a reply match by their prompts. Undone turns are found only with
        `with_undone_forks`: in the undone fork, or in the session itself while redo is possible. A turn that
        a session shares with its undone forks is one hit, in the session. Without terms there are no hits.
        """
        ...

    def reindex(self) -> None:
        """Build the full-text index anew, if the store has one."""
        ...

    def move_head(self, head: SessionHead, turn: int, *, wait: float, pause: Pause) -> SessionHead:
        """Make `turn`, on the branch that ends at `redo_head(head)`, the head: undo, redo and rewind.

        Changes head and version and nothing else. Waits for earlier turns of the session. Raises SessionBusy
        after `wait` seconds; SessionChanged if the version is not that of `head`; TurnNotFound.
        """
        ...

    def edit(self, head: SessionHead, data: str, *, wait: float, pause: Pause) -> SessionHead:
        """Add an entry of kind "edit", after which the data is `data`; raises as `move_head` does."""
        ...

    def set_label(self, head: SessionHead, turn: int, label: str) -> None:
        """Label the entry of `turn` on the branch that ends at `head`; "" takes the label off.

        An entry that several branches share has one label. Waits for nothing, and changes neither version nor
        order of use. Raises TurnNotFound for turn 0 or one that is not before `head`; SessionChanged if the
        session is gone.
        """
        ...

    def fork(self, head: SessionHead, name: str) -> SessionHead:
        """Create the session `name` of the same agent as an independent copy of the branch up to `head`.

        Copies neither undone turns nor the one that runs, and waits for nothing. Raises SessionExists if the
        name is taken; SessionChanged if the session is gone.
        """
        ...

    def import_session(
        self, agent: str, name: str, entries: Iterable[Entry], origin: ForkOrigin | None = None
    ) -> SessionHead:
        """Create a session from settled `entries`, each with its data, numbered from 1; all or nothing.

        Raises SessionExists if the name is taken; KeyConflict if one key completed two of the turns.
        """
        ...

    def rename(
        self, head: SessionHead, name: str, *, agent: str = "", wait: float, pause: Pause
    ) -> SessionHead:
        """Rename the session, and its undone forks after it, once the turns before this call are settled.

        With another `agent`, the session and its undone forks become sessions of that agent, and their
        agent origins are forgotten; nothing else of them changes, not even the uid.

        Raises SessionExists if the name is taken; SessionBusy after `wait` seconds; SessionChanged if the
        session is not the one of `head.uid`. Prompts that wait for the old name end with SessionChanged.
        """
        ...

    def delete(self, head: SessionHead, *, seen_forks: Sequence[SessionHead] | None = None) -> None:
        """Delete the session, its undone forks and every trace of them; other forks stay whole.

        Raises SessionBusy at once while a turn runs; SessionChanged if the session is not the one of
        `head.uid`. With `seen_forks`, the undone forks as the caller saw them, SessionChanged also if it or
        one of them changed since, or if there are others.
        """
        ...

    def statistics(self, *, agent: str = "", ahead: int = 0) -> Statistics:
        """Return figures about all sessions, or those of `agent`; days begin `ahead` seconds before UTC's."""
        ...

    def change_token(self) -> object:
        """Return a value that stays equal between two calls of one thread if nobody wrote in between.

        Cheap enough to poll. Raises StoreError if the store was removed.
        """
        ...

    def reclaim_space(self, seconds: float) -> int:
        """Return unused space to the file system within `seconds`; return the bytes freed, 0 if it failed."""
        ...

    def back_up(self, file: str, advance: ProgressCallback, *, force: bool = False) -> None:
        """Write a checked snapshot of the store to the new file `file`, whole or not at all; writers go on.

        Raises FileExists unless `force` replaces the file; StoreDamaged if the store does not pass the check;
        OutputFailed; UsageError if the store has no file.
        """
        ...

    def restore(self, file: str, advance: ProgressCallback, *, force: bool = False) -> str:
        """Replace this store with a copy of `file`, a backup; return the path of the old store, "" if none.

        Raises Conflict while any process uses the store; FileExists if the store exists, unless `force`;
        StoreDamaged or StoreNewer, with nothing changed, if the file does not pass the check; UsageError if
        the store has no file.
        """
        ...

    def health(self) -> Iterator[HealthFinding]:
        """Yield the findings of a check of the whole store, with the numbers of damaged turns.

        Changes nothing and raises nothing: a store that cannot be read is a finding.
        """
        ...

    def share_commits(self) -> None:
        """Enable group commit: turns of several threads may become durable in one. Call it before any turn.

        The promises for each turn stay the same.
        """
        ...

    def disconnect(self) -> None:
        """Close the calling thread's connection, if it has one, before the thread ends."""
        ...

    def close(self) -> None:
        """Close the files and connections of all threads; later use opens them again."""
        ...
