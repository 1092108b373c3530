"""The errors of the store contract, in the same words for every store."""

from __future__ import annotations

from flue_cli.errors import LeaseLost, OtherAgent, SessionBusy, SessionChanged, SessionExists, SessionNotFound
from flue_cli.stores.records import Lease, LeaseHolder


def session_busy_error(name: str, holder: LeaseHolder, now: int) -> SessionBusy:
    """Make the error for a session that is still taken."""
    holder_label = "another process" + (f" (pid {holder.pid} on {holder.host})" if holder.pid else "")
    seconds = max(0, (now - holder.since) // 1_000_000)
    return SessionBusy(
        f"session '{name}' is busy: {holder_label} has been answering for {seconds} s",
        hint="wait longer with --wait SECONDS, or use another session",
    )


def session_not_found_error(agent: str, name: str) -> SessionNotFound:
    """Make the error for a session that must exist and does not."""
    return SessionNotFound(f"there is no session '{name}' of agent '{agent}'")


def session_exists_error(agent: str, name: str) -> SessionExists:
    """Make the error for a name that is taken."""
    return SessionExists(
        f"session '{name}' of agent '{agent}' exists already",
        hint="choose another name, or go on with it: flue chat AGENT -r NAME",
    )


def other_agent_error(agent: str, name: str, origins: tuple[str, ...], origin: str) -> OtherAgent:
    """Make the error for a session that belongs to an agent of the same name from another place."""
    from shlex import quote

    return OtherAgent(
        f"session '{name}' was used with {agent} from {' and '.join(origins)},"
        f" and here {agent} is from {origin}",
        hint=f"use another session, or go on with this one: flue chat {agent} -r {quote(name)} --adopt",
    )


def session_changed_error(name: str) -> SessionChanged:
    """Make the error for a session that is no longer the one the caller saw."""
    return SessionChanged(
        f"session '{name}' was deleted, renamed or replaced meanwhile",
        hint="list the sessions with: flue sessions list",
    )


def lease_lost_error(lease: Lease) -> LeaseLost:
    """Make the error for a turn whose lease is gone."""
    return LeaseLost(
        f"turn {lease.turn} of session '{lease.head.name}' was not saved: another turn took the session over",
        hint="a reply that was shown is not saved: send the prompt again",
    )
