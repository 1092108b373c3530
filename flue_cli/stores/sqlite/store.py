"""The default store: one SQLite file.

Durable (WAL, synchronous=FULL) and shared by any number of processes on one machine. Every write is
one BEGIN IMMEDIATE transaction; a deferred one could find its snapshot stale and fail at once.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flue_cli import times
from flue_cli.agents.api import Message
from flue_cli.errors import StoreError, UsageError
from flue_cli.stores.contract_errors import session_busy_error, session_changed_error
from flue_cli.stores.records import (
    ABSENT,
    LEASE_SECONDS,
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
from flue_cli.stores.rules import (
    check_all_unchanged,
    check_label_turn,
    check_turn,
    check_unchanged,
    count_messages,
    request_for,
)
from flue_cli.stores.sqlite import entry_queries, forks, timeline
from flue_cli.stores.sqlite.begin_turn import TurnStarter
from flue_cli.stores.sqlite.connections import Connections
from flue_cli.stores.sqlite.entry_codec import encode_entry
from flue_cli.stores.sqlite.entry_rows import running_entry, settle_entry, snapshot_or_delta
from flue_cli.stores.sqlite.file_errors import translate_sqlite_errors
from flue_cli.stores.sqlite.locking.process_liveness import LeaseOwner, lease_term
from flue_cli.stores.sqlite.locking.session_lock import SessionLocks
from flue_cli.stores.sqlite.search import fts_index
from flue_cli.stores.sqlite.session_rows import (
    SessionRow,
    load_session,
    load_session_by_uid,
    release_lease,
    renew_lease,
)
from flue_cli.text import safe_line

if TYPE_CHECKING:
    from flue_cli.stores.contract import ProgressCallback
    from flue_cli.stores.statistics import Statistics


class SqliteStore:
    """Sessions in the SQLite file that a URL or a path names, which the first prompt creates.

    Every thread gets a connection of its own.
    """

    is_ephemeral = False

    def __init__(self, url: str) -> None:
        path = _path_from_url(url)
        with translate_sqlite_errors(path):
            self.path = os.path.realpath(path)  # SQLite follows links, and the owners' files must too
        self.url = f"sqlite:///{self.path}"
        self.files = (self.path, *(f"{self.path}{ending}" for ending in ("-wal", "-shm", "-journal")))
        self.lease_seconds = LEASE_SECONDS
        self._owner = LeaseOwner(self.path)
        self._connections = Connections(self.path)
        self._locks = SessionLocks(self._connections, self._owner)
        self._index = fts_index.IndexMaintenance(self._connections)
        self._starter = TurnStarter(self._owner, self._locks)

    # Reading

    def head(self, agent: str, name: str) -> SessionHead:
        with self._connections.reader() as db:
            state = load_session(db, agent, name) if db else None
        return state.head if state else SessionHead(ABSENT, agent, name)

    def entries(
        self, head: SessionHead, first: int, last: int, *, with_data: bool = False
    ) -> Iterator[Entry]:
        with self._connections.reader() as db:
            if db:
                yield from entry_queries.read_entries(db, head, first, last, with_data=with_data)

    def unsettled_prompt(self, head: SessionHead) -> Entry | None:
        with self._connections.reader() as db:
            state = load_session_by_uid(db, head.uid) if db else None
            if db is None or state is None or state.running is None:
                return None
            entry = entry_queries.load_entry(db, state.running, head.name)
            return entry if self._locks.is_held(state) else entry._replace(outcome="interrupted")

    def messages(self, head: SessionHead, start: int, stop: int) -> list[Message]:
        with self._connections.reader() as db:
            return entry_queries.read_messages(db, head, start, stop) if db else []

    def data_at(self, head: SessionHead, turn: int) -> str:
        check_turn(head, turn)
        if turn == 0:
            return "{}"
        with self._connections.reader() as db:
            if db is None:
                raise session_changed_error(head.name)
            return entry_queries.data_after_turn(db, head, turn)

    def head_at(self, head: SessionHead, turn: int) -> SessionHead:
        check_turn(head, turn)
        with self._connections.reader() as db:
            return entry_queries.head_at_turn(db, head, turn) if db else head

    def redo_head(self, head: SessionHead) -> SessionHead:
        with self._connections.reader() as db:
            state = load_session_by_uid(db, head.uid) if db else None
            return (
                timeline.redo_head(db, state) if db and state and state.head.version == head.version else head
            )

    def origin(self, head: SessionHead) -> ForkOrigin | None:
        with self._connections.reader() as db:
            return forks.fork_origin(db, head.uid) if db else None

    def agent_origins(self, head: SessionHead) -> tuple[str, ...]:
        with self._connections.reader() as db:
            state = load_session_by_uid(db, head.uid) if db else None
            return state.agent_origins if state else ()

    def undone_forks(self, head: SessionHead) -> list[SessionHead]:
        with self._connections.reader() as db:
            return [state.head for state in forks.load_undone_forks(db, head.uid)] if db else []

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
        from flue_cli.stores.sqlite import session_queries

        with self._connections.reader() as db:
            if db is None:
                return []
            return session_queries.session_summaries(
                db,
                agent,
                limit,
                with_undone_forks=with_undone_forks,
                since=since,
                project=project,
                before=before,
            )

    def resolve(self, name: str, *, agent: str = "") -> list[SessionHead]:
        from flue_cli.stores.sqlite import session_queries

        with self._connections.reader() as db:
            if db is None:
                return []
            return session_queries.resolve_name(db, name, agent)

    # Turns

    def begin(self, request: TurnRequest, pause: Pause) -> BegunTurn | ReplayedTurn:
        return self._starter.begin(request, pause, self.lease_seconds)

    def renew(self, lease: Lease) -> None:
        self._owner.acquire()  # the store may have been closed since
        with self._connections.transaction(durable=False, patience=0) as db:
            renew_lease(db, lease, lease_term(self.lease_seconds))

    def commit(self, lease: Lease, result: TurnResult) -> SessionHead:
        return self._end_turn(lease, outcome="completed", **result._asdict())

    def abandon(self, lease: Lease, failure: TurnFailure) -> SessionHead:
        return self._end_turn(lease, **failure._asdict())

    def _end_turn(self, lease: Lease, **fields: Any) -> SessionHead:
        """Settle the entry of the lease with `fields` of the result or the failure, and free the session."""
        try:
            now = times.now()
            entry = running_entry(lease)._replace(finished_at=now, **fields)
            total = lease.head.messages + count_messages(entry)
            row = encode_entry(entry, total)
            stored = None
            if entry.outcome == "completed":
                stored = snapshot_or_delta(entry.data, lease.data, lease.turn, lease.base)
            with self._connections.transaction(group=True) as db:
                head = release_lease(db, lease, total, now)
                settle_entry(db, lease.entry, row, stored)
                fts_index.index_entry(db, lease.entry, len(entry.prompt) + len(entry.reply or ""))
        finally:
            self._locks.remove_running_turn(lease)
        return head

    def share_commits(self) -> None:
        self._connections.share_commits()

    # The timeline

    def move_head(self, head: SessionHead, turn: int, *, wait: float, pause: Pause) -> SessionHead:
        def act(db: sqlite3.Connection, state: SessionRow) -> SessionHead:
            check_unchanged(head, state.head)
            check_turn(timeline.redo_head(db, state), turn)
            return timeline.move_head(db, self._starter.settle_interrupted(db, state)[0], turn)

        return self._locks.run_when_free(request_for(head, wait), pause, act)

    def edit(self, head: SessionHead, data: str, *, wait: float, pause: Pause) -> SessionHead:
        def act(db: sqlite3.Connection, state: SessionRow) -> SessionHead:
            check_unchanged(head, state.head)
            settled, _ = self._starter.settle_interrupted(db, state)
            before = entry_queries.data_after_turn(db, settled.head, settled.head.turn)
            return timeline.add_edit(db, settled, data, before)

        return self._locks.run_when_free(request_for(head, wait), pause, act)

    def set_label(self, head: SessionHead, turn: int, label: str) -> None:
        check_label_turn(head, turn)
        with self._connections.transaction() as db:
            entry = entry_queries.head_entry_id(db, entry_queries.head_at_turn(db, head, turn))
            db.execute("UPDATE entry SET label = ? WHERE id = ?", (label or None, entry))

    def fork(self, head: SessionHead, name: str) -> SessionHead:
        with self._connections.transaction() as db:
            return forks.copy_branch(db, head, name)

    def import_session(
        self, agent: str, name: str, entries: Iterable[Entry], origin: ForkOrigin | None = None
    ) -> SessionHead:
        with self._connections.transaction(create_store=True) as db:
            return forks.insert_session(db, agent, name, entries, origin)

    def rename(
        self, head: SessionHead, name: str, *, agent: str = "", wait: float, pause: Pause
    ) -> SessionHead:
        return self._locks.run_when_free(
            request_for(head, wait),
            pause,
            lambda db, state: forks.rename_session(db, state.head, agent or head.agent, name),
        )

    def delete(self, head: SessionHead, *, seen_forks: Sequence[SessionHead] | None = None) -> None:
        if head.uid == ABSENT:
            raise session_changed_error(head.name)
        with self._connections.transaction() as db:
            state = load_session(db, head.agent, head.name)
            if state is None or state.head.uid != head.uid:
                raise session_changed_error(head.name)
            going = [state, *forks.load_undone_forks(db, head.uid)]
            for one in going:
                if self._locks.is_held(one):
                    raise session_busy_error(one.head.name, self._locks.holder(one), times.now())
            if seen_forks is not None:
                check_all_unchanged((head, *seen_forks), [one.head for one in going])
            forks.delete_session(db, state)
            self._index.purge_or_defer(db)
        self._connections.empty_wal()

    # Upkeep

    def statistics(self, *, agent: str = "", ahead: int = 0) -> Statistics:
        from flue_cli.stores.sqlite.maintenance import stats
        from flue_cli.stores.statistics import Statistics

        with self._connections.reader() as db:
            return stats.store_statistics(db, self.path, agent, ahead) if db else Statistics()

    def change_token(self) -> object:
        with self._connections.reader() as db:
            if db is None or not self._connections.is_in_place():
                raise StoreError(f"the store {self.path} was removed or replaced", hint="start again")
            # What other connections committed, and what this one did.
            return db.execute("PRAGMA data_version").fetchone()[0], db.total_changes

    def reclaim_space(self, seconds: float) -> int:
        from flue_cli.stores.sqlite.maintenance import stats

        self._index.purge_deferred()
        return stats.vacuum_file(self.path, seconds)

    def back_up(self, file: str, advance: ProgressCallback, *, force: bool = False) -> None:
        from flue_cli.stores.sqlite.maintenance import backup

        with self._connections.reader() as db:
            if db is None:
                raise StoreError(f"there is no store {self.path} yet", hint="the first prompt makes it")
            backup.back_up(db, self.path, file, advance, force=force)

    def restore(self, file: str, advance: ProgressCallback, *, force: bool = False) -> str:
        from flue_cli.stores.sqlite.maintenance import backup

        self.close()
        return backup.restore(self.path, self._owner, file, advance, force=force)

    def search(
        self,
        terms: Sequence[str],
        *,
        agent: str = "",
        limit: int | None = None,
        ranked: bool = False,
        with_undone_forks: bool = False,
    ) -> list[SearchHit]:
        from flue_cli.stores.search_query import SearchQuery
        from flue_cli.stores.sqlite.search.find import find_hits

        query = SearchQuery(terms)
        if not query.words:
            return []
        self._index.catch_up()
        with self._connections.reader() as db:
            return (
                find_hits(
                    db, query, agent=agent, limit=limit, ranked=ranked, with_undone_forks=with_undone_forks
                )
                if db
                else []
            )

    def reindex(self) -> None:
        self._index.rebuild()

    def health(self) -> Iterator[HealthFinding]:
        from flue_cli.stores.sqlite.maintenance import checkup

        yield checkup.check_sqlite_version()
        refused: StoreError | None = None
        try:
            if not os.path.lexists(self.path):
                yield HealthFinding("ok", f"there is no store yet: the first prompt makes {self.path}")
                yield from checkup.check_disk(self.path)
                return
            yield from checkup.check_files(self.path)
            yield from checkup.check_disk(self.path)
            try:
                self._connections.check_usable()
            except StoreError as error:  # it may be readable nevertheless
                refused = error
                yield HealthFinding("problem", error.message, error.hint)
            with self._connections.reader() as db:
                if db:
                    yield from checkup.check_content(db, self._locks.is_held)
        except StoreError as error:
            if refused is None or error.message != refused.message:
                yield HealthFinding("problem", error.message, error.hint)

    def disconnect(self) -> None:
        self._index.purge_deferred()
        self._connections.disconnect()

    def close(self) -> None:
        self._index.purge_deferred()
        self._connections.close()
        self._owner.release()


def _path_from_url(url: str) -> str:
    """Return the path in `sqlite:///PATH`, or `url` itself if it is a path; UsageError if it has none."""
    if not url.startswith("sqlite:"):
        return url
    path = url.removeprefix("sqlite:///")
    if path in ("", url):
        raise UsageError(
            f"'{safe_line(url)}' names no file", hint="sqlite:///relative.db, or sqlite:////absolute.db"
        )
    return path
