"""Counting what is in memory, for figures."""

from __future__ import annotations

from collections.abc import Iterable

from flue_cli.stores.memory.sessions import Session
from flue_cli.stores.records import Entry
from flue_cli.stores.statistics import DAY, SessionCount, TurnTally


def count_entries(
    sessions: Iterable[Session], agent: str, ahead: int
) -> tuple[list[SessionCount], list[TurnTally], int]:
    """The sessions of `agent`, or with "" of all, a tally of every entry, and what they say in bytes.

    An entry counts once, for the session that made it, however many lines it lies on.
    """
    found = [session for session in sessions if agent in ("", session.head.agent)]
    entries: dict[int, tuple[int, Entry]] = {}
    for session in found:
        for entry, maker in zip(session.branch.entries, session.branch.owners, strict=True):
            entries[id(entry)] = (maker, entry)
        if session.running:
            entries[id(session.running)] = (session.head.uid, session.running)
    return (
        [SessionCount(*session.head[:3], session.head.messages, session.is_undone_fork) for session in found],
        [_entry_tally(maker, entry, ahead) for maker, entry in entries.values()],
        sum(_entry_bytes(entry) for _, entry in entries.values()),
    )


def _entry_bytes(entry: Entry) -> int:
    return len(f"{entry.prompt}{entry.reply or ''}{entry.data}".encode(errors="surrogatepass"))


def _entry_tally(maker: int, entry: Entry, ahead: int) -> TurnTally:
    is_prompt = entry.kind == "prompt"
    is_timed = is_prompt and entry.outcome in ("completed", "failed", "cancelled")
    return TurnTally(
        uid=maker,
        day=(entry.started_at + ahead * 1_000_000) // DAY,
        turns=is_prompt,
        edits=not is_prompt,
        completed=is_prompt and entry.outcome == "completed",
        failed=entry.outcome == "failed",
        cancelled=entry.outcome == "cancelled",
        interrupted=entry.outcome == "interrupted",
        took=max(0, entry.finished_at - entry.started_at) if is_timed and entry.finished_at else -1,
        turn=entry.turn,
    )
