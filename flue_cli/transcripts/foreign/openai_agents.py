"""A session database of the OpenAI Agents SDK (SQLiteSession): items as its models take and give them."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import Any

from flue_cli.errors import UsageError
from flue_cli.jsondata.strict import parse_foreign
from flue_cli.stores.records import Entry
from flue_cli.times import parse_iso
from flue_cli.transcripts.foreign.database import open_foreign_database, translate_errors
from flue_cli.transcripts.foreign.turns import ForeignMessage, turns_of
from flue_cli.transcripts.import_source import UNDATED, ImportedSession, Skipped, Source

_CALL = {"type", "call_id", "name", "arguments"}
_OUTPUT = {"type", "call_id", "output"}


def read(source: Source, skipped: Skipped) -> Iterator[ImportedSession]:
    """Its sessions, oldest first; items that belong to none are skipped."""
    with open_foreign_database(source) as db:
        for (session,) in db.execute("SELECT session_id FROM agent_sessions ORDER BY rowid").fetchall():
            if _is_empty(db, session):
                skipped(f"session {session!r}: no messages")
            else:
                yield ImportedSession("", session, _entries(source, db, session))
        for (number,) in db.execute(
            "SELECT id FROM agent_messages WHERE session_id NOT IN (SELECT session_id FROM agent_sessions)"
            " ORDER BY id"
        ):
            skipped(f"agent_messages row {number}: no session")


def _is_empty(db: sqlite3.Connection, session: str) -> bool:
    found = db.execute("SELECT 1 FROM agent_messages WHERE session_id = ? LIMIT 1", (session,))
    return found.fetchone() is None


def _entries(source: Source, db: sqlite3.Connection, session: str) -> Iterator[Entry]:
    with translate_errors(source):
        yield from turns_of(_session_messages(db, session))


def _session_messages(db: sqlite3.Connection, session: str) -> Iterator[ForeignMessage]:
    """Its items as messages; calls that follow each other are made by one message, as models demand."""
    calls: ForeignMessage | None = None
    rows = db.execute(
        "SELECT id, message_data, created_at FROM agent_messages WHERE session_id = ? ORDER BY id", (session,)
    )
    for row in rows:
        where = f"agent_messages row {row['id']}"
        item = parse_foreign(row["message_data"], where)
        if not isinstance(item, dict):
            raise UsageError(f"{where} is not an object")
        at = parse_iso(row["created_at"])
        said = ForeignMessage(_message(item, where), where, *((UNDATED, UNDATED) if at is None else (at, at)))
        if item.get("type") == "function_call":
            calls = _together(calls, said)
            continue
        if calls:
            yield calls
            calls = None
        yield said
    if calls:
        yield calls


def _together(calls: ForeignMessage | None, said: ForeignMessage) -> ForeignMessage:
    if calls is None:
        return said
    message = dict(calls.message)
    message["tool_calls"] = [*message["tool_calls"], *said.message["tool_calls"]]
    items = [*message.get("item", []), *said.message.get("item", [])]
    return calls._replace(message=message | ({"item": items} if items else {}), until=said.until)


def _message(item: dict[str, Any], where: str) -> dict[str, Any]:
    """An item as the chat API has it; what that has no place for is kept under `item`."""
    kind = item.get("type", "message")
    if kind == "message" and isinstance(item.get("role"), str):
        if "content" not in item:
            raise UsageError(f'{where} needs a "content"')
        return {"role": item["role"], "content": item["content"]} | {
            key: value for key, value in item.items() if key not in ("role", "content")
        }
    if kind == "function_call":
        function = {"name": item.get("name"), "arguments": item.get("arguments")}
        call = {"id": item.get("call_id"), "type": "function", "function": function}
        return {"role": "assistant", "content": None, "tool_calls": [call], **_rest(item, _CALL)}
    if kind == "function_call_output":
        return {
            "role": "tool",
            "content": item.get("output"),
            "tool_call_id": item.get("call_id"),
            **({"item": item} if not set(item) <= _OUTPUT else {}),
        }
    return {"role": "assistant", "content": None, "item": item}


def _rest(item: dict[str, Any], known: set[str]) -> dict[str, Any]:
    return {} if set(item) <= known else {"item": [item]}
