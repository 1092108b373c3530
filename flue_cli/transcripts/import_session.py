"""Sessions out of a file into a store: each of them whole or not at all, and none of them twice."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import zip_longest
from typing import NamedTuple

from flue_cli import times
from flue_cli.errors import SessionExists
from flue_cli.names import (
    MAX_NAME_CHARACTERS,
    bare_name,
    check_agent_filter,
    check_agent_name,
    check_session_name,
)
from flue_cli.stores.contract import Store
from flue_cli.stores.records import ABSENT, Entry, ForkOrigin, SessionHead
from flue_cli.transcripts.export_view import entries
from flue_cli.transcripts.import_source import UNDATED, ImportedSession


class ImportResult(NamedTuple):
    """A session that was imported, or that `was_there` already with the same content."""

    head: SessionHead
    was_there: bool


def bring(store: Store, found: ImportedSession, agent: str, name: str, *, again: bool) -> ImportResult:
    """Import a session as AGENT/NAME; if it is there with the same content, leave it, else SessionExists.

    With `again` it gets a name that is free instead: NAME-2 and so on.
    """
    head = store.head(agent, name)
    if head.uid != ABSENT and not again:
        if _is_same(entries(store, head, 1, with_data=True), found.entries):
            return ImportResult(head, was_there=True)
        raise SessionExists(
            f"session '{name}' of agent '{agent}' exists already, with other content",
            hint="import it under a name that is free: --again, or --session NAME",
        )
    if head.uid != ABSENT:
        name = _free_session_name(store, agent, name)
    now = times.now()
    dated = (_dated(entry, now) for entry in found.entries)
    return ImportResult(
        store.import_session(agent, name, dated, _origin(store, agent, found)), was_there=False
    )


class NameAssigner:
    """The names of what is imported: valid, and no two conversations of a file get the same."""

    def __init__(self, agent: str, name: str, default_agent: str) -> None:
        """`agent` and `name` are what the person wants, "" for what the file says; BadName for bad ones."""
        self._agent = check_agent_filter(agent)
        self._name = check_session_name(name) if name else ""
        self._default = default_agent
        self._given: set[tuple[str, str]] = set()

    def of(self, found: ImportedSession) -> tuple[str, str]:
        """Agent and name for a session that was found; BadName if its agent cannot be one."""
        agent = self._agent or check_agent_name(found.agent or self._default)
        name = bare_name(self._name, agent) if self._name else valid_name(found.name)
        number, free = 1, name
        while (agent, free) in self._given:
            number += 1
            free = _numbered(name, number)
        self._given.add((agent, free))
        return agent, free


def valid_name(text: str) -> str:
    """The name that comes nearest to `text`."""
    text = re.sub(
        r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]+", " ", text
    )
    return check_session_name(text.strip().lstrip("-").strip()[:MAX_NAME_CHARACTERS] or "imported")


def _numbered(name: str, number: int) -> str:
    ending = f"-{number}"
    return name[: MAX_NAME_CHARACTERS - len(ending)] + ending


def _free_session_name(store: Store, agent: str, name: str) -> str:
    number, free = 1, name
    while store.head(agent, free).uid != ABSENT:
        number += 1
        free = _numbered(name, number)
    return free


def _origin(store: Store, agent: str, found: ImportedSession) -> ForkOrigin | None:
    """Return the origin of the session, by uid if the store has a session of that name."""
    if found.origin is None:
        return None
    name, turn = found.origin
    return ForkOrigin(store.head(agent, name).uid, name, turn)


def _dated(entry: Entry, now: int) -> Entry:
    if entry.started_at == UNDATED:
        return entry._replace(started_at=now, finished_at=now)
    return entry


def _is_same(kept: Iterator[Entry], found: Iterable[Entry]) -> bool:
    return all(
        here is not None and there is not None and _comparable(here, there) == there._replace(turn=0)
        for here, there in zip_longest(kept, found)
    )


def _comparable(here: Entry, there: Entry) -> Entry:
    """Return a stored entry as it was imported: without its number, unknown times, and a newer label."""
    if there.started_at == UNDATED:
        here = here._replace(started_at=UNDATED, finished_at=there.finished_at)
    return here._replace(turn=0, label=there.label)
