"""The rows of the table `session`: the head of each session, and the lease on it.

Each function runs in a transaction of its caller.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from json import dumps
from typing import Any, NamedTuple

from flue_cli import times
from flue_cli.errors import StoreDamaged
from flue_cli.jsondata.strict import loads
from flue_cli.stores.contract_errors import lease_lost_error
from flue_cli.stores.records import ABSENT, Lease, SessionHead, TurnRequest
from flue_cli.stores.rules import admit_agent_origin, check_expectation
from flue_cli.stores.sqlite.locking.process_liveness import LeaseTerm


class SessionRow(NamedTuple):
    """The row of a session.

    The head: `entry` is the id of the head entry, `base` the turn of the last snapshot of its data, `tip` the
    id of the newest undone entry.

    The lease: `running` is the id of the entry that runs, None if none does. `fence`, `owner`, `wall` and
    `monotonic` (the end of the lease by both clocks) and `since` (the start of the turn) belong to the turn
    that runs, or ran last.

    True if: `owns_branch`, the head's branch belongs to this session, and not to the one it was forked from;
    `is_newest`, no session was used later; `is_awaited`, prompts wait for it.

    `agent_origins_json` is a JSON array, or None for an empty one.
    """

    head: SessionHead
    entry: int | None
    base: int
    running: int | None
    fence: int
    owner: str | None
    wall: int
    monotonic: int
    since: int
    owns_branch: bool
    is_newest: bool
    is_awaited: bool
    tip: int | None
    is_undone_fork: bool
    agent_origins_json: str | None

    @property
    def agent_origins(self) -> tuple[str, ...]:
        """The places that the session's agents came from."""
        return parse_agent_origins(self.agent_origins_json)

    @property
    def expires(self) -> LeaseTerm:
        """The end of the lease."""
        return LeaseTerm(self.wall, self.monotonic)


_HEAD_EXPRESSIONS = {
    "uid": "s.uid",
    "agent": "s.agent",
    "name": "s.name",
    "version": "s.version",
    "branch": "coalesce(e.line, 0)",
    "turn": "coalesce(e.turn, 0)",
    "messages": "coalesce(e.total, 0)",
    "created_at": "s.created_at",
    "updated_at": "s.updated_at",
}
_LEASE_EXPRESSIONS = {
    "entry": "s.head",
    "base": "coalesce(e.base, 0)",
    "running": "s.running",
    "fence": "s.fence",
    "owner": "s.owner",
    "wall": "coalesce(s.expires_at, 0)",
    "monotonic": "coalesce(s.expires_monotonic, 0)",
    "since": "coalesce((SELECT started_at FROM entry r WHERE r.id = s.running), 0)",
    "owns_branch": "e.session IS s.uid",
    "is_newest": "s.used = (SELECT max(used) FROM session)",
    "is_awaited": "EXISTS (SELECT 1 FROM waiting w WHERE w.session = s.uid)",
    "tip": "s.tip",
    "is_undone_fork": "s.kept",
    "agent_origins_json": "s.agent_origins",
}
_EXPRESSIONS = [_HEAD_EXPRESSIONS[name] for name in SessionHead._fields] + [
    _LEASE_EXPRESSIONS[name] for name in SessionRow._fields[1:]
]
SELECT_SESSION = f"SELECT {', '.join(_EXPRESSIONS)} FROM session s LEFT JOIN entry e ON e.id = s.head"  # noqa: S608 - our own words
"""The SELECT whose rows `parse_session_row` reads; a condition on `s` may follow."""
_SELECT_BY_NAME = f"{SELECT_SESSION} WHERE s.agent = ? AND s.name = ?"
_SELECT_BY_UID = f"{SELECT_SESSION} WHERE s.uid = ?"


def load_session(db: sqlite3.Connection, agent: str, name: str) -> SessionRow | None:
    """Load the session of that name; None if there is none."""
    row = db.execute(_SELECT_BY_NAME, (agent, name)).fetchone()
    return parse_session_row(row) if row else None


def load_session_by_uid(db: sqlite3.Connection, uid: int) -> SessionRow | None:
    """Load the session with that uid; None if there is none."""
    row = db.execute(_SELECT_BY_UID, (uid,)).fetchone()
    return parse_session_row(row) if row else None


def parse_session_row(columns: Sequence[Any]) -> SessionRow:
    """Make a SessionRow of a row of SELECT_SESSION; StoreDamaged if the head entry is missing."""
    width = len(SessionHead._fields)
    row = SessionRow(SessionHead._make(columns[:width]), *columns[width:])
    if row.entry is not None and not row.head.turn:
        raise StoreDamaged(
            f"the newest turn of session '{row.head.name}' is missing",
            hint="restore the store from a backup",
        )
    return row


def parse_agent_origins(text: str | None) -> tuple[str, ...]:
    """Read the column `agent_origins`."""
    return tuple(loads(text)) if text else ()


def admit_request(
    db: sqlite3.Connection, state: SessionRow | None, request: TurnRequest, uid: int
) -> SessionRow:
    """Return the row of the requested session, created if it is new.

    Raises as `check_expectation` and `admit_agent_origin` do.
    """
    check_expectation(request, uid, state.head.uid if state else ABSENT)
    admit_agent_origin(request, state.agent_origins if state else ())
    if state is None:
        now = times.now()
        db.execute(
            "INSERT INTO session (agent, name, created_at, updated_at, used)"
            " VALUES (?, ?, ?, ?, (SELECT coalesce(max(used), 0) + 1 FROM session))",
            (request.agent, request.name, now, now),
        )
        state = load_session(db, request.agent, request.name)
        assert state is not None  # noqa: S101 - inserted by the statement before
    return state


def take_lease(
    db: sqlite3.Connection, state: SessionRow, lease: Lease, owner: str, expires: LeaseTerm
) -> None:
    """Write the lease into the session's row; the session is now the one used last."""
    db.execute(
        "UPDATE session SET fence = ?, owner = ?, expires_at = ?, expires_monotonic = ?, running = ?"  # noqa: S608 - our own words
        f"{mark_used_sql(state)} WHERE uid = ?",
        (lease.fence, owner, *expires, lease.entry, lease.head.uid),
    )


def add_agent_origin(db: sqlite3.Connection, state: SessionRow, request: TurnRequest) -> None:
    """Add the request's agent origin to those of the session, if it is a new one."""
    origins = admit_agent_origin(request, state.agent_origins)
    if origins != state.agent_origins:
        db.execute("UPDATE session SET agent_origins = ? WHERE uid = ?", (dumps(origins), state.head.uid))


def mark_used_sql(state: SessionRow) -> str:
    """Return the SET clause that makes the session the one used last; "" if it is that already."""
    return "" if state.is_newest else ", used = (SELECT max(used) + 1 FROM session)"


def renew_lease(db: sqlite3.Connection, lease: Lease, expires: LeaseTerm) -> None:
    """Move the end of the lease to `expires`; LeaseLost unless the session is still the lease's."""
    cursor = db.execute(
        "UPDATE session SET expires_at = ?, expires_monotonic = ?"
        " WHERE uid = ? AND fence = ? AND version = ? AND running = ?",
        (*expires, lease.head.uid, lease.fence, lease.head.version, lease.entry),
    )
    if not cursor.rowcount:
        raise lease_lost_error(lease)


def release_lease(db: sqlite3.Connection, lease: Lease, total: int, now: int) -> SessionHead:
    """Move the head to the lease's entry and end the lease.

    Raises LeaseLost unless fence and version in the row are those of the lease.
    """
    done = db.execute(
        "UPDATE session SET head = running, running = NULL, owner = NULL, version = version + 1,"
        " updated_at = ? WHERE uid = ? AND fence = ? AND version = ? AND running = ?",
        (now, lease.head.uid, lease.fence, lease.head.version, lease.entry),
    )
    if not done.rowcount:
        raise lease_lost_error(lease)
    return lease.head._replace(
        version=lease.head.version + 1, branch=lease.branch, turn=lease.turn, messages=total, updated_at=now
    )
