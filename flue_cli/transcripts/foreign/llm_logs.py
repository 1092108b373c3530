"""The logs.db of the `llm` command: every conversation a session.

Since 0.36 a conversation is a thread, a chain of messages that each name the one before, made of parts.
Before it was a row for every response; a newer file may hold both, and what is a thread is complete.
"""

from __future__ import annotations

import base64
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from flue_cli.errors import UsageError
from flue_cli.jsondata.strict import parse_foreign
from flue_cli.stores.records import Entry
from flue_cli.times import parse_iso
from flue_cli.transcripts.foreign.database import open_foreign_database, tables_of, text_in, translate_errors
from flue_cli.transcripts.foreign.turns import ForeignMessage, turns_of
from flue_cli.transcripts.import_source import UNDATED, ImportedSession, Skipped, Source

_AGENT = "llm"
_LONGEST = 10**9
"""A response that took longer, in ms, was measured wrongly: eleven days."""
_KNOWN = "id model resolved_model options_json input_tokens output_tokens token_details duration_ms".split()


def read(source: Source, skipped: Skipped) -> Iterator[ImportedSession]:
    """The conversations, oldest first; what belongs to none is skipped."""
    with open_foreign_database(source) as db:
        tables = tables_of(db)
        threads = set()
        if {"conversations", "responses"} <= tables:
            if "threads" in tables:
                threads = {identity for (identity,) in db.execute("SELECT id FROM threads")}
            for row in db.execute("SELECT id, name FROM conversations ORDER BY id").fetchall():
                if row["id"] not in threads and _has_responses(db, row["id"]):
                    yield _session_of_conversation(source, row, _responses(db, row["id"]))
            for (number,) in db.execute(
                "SELECT rowid FROM responses WHERE conversation_id IS NULL"
                " OR conversation_id NOT IN (SELECT id FROM conversations) ORDER BY rowid"
            ):
                skipped(f"responses row {number}: no conversation")
        if "threads" in tables:
            for row in db.execute("SELECT id, name, tip_message_hash FROM threads ORDER BY id").fetchall():
                yield _session_of_conversation(source, row, _thread(db, row))
            for (number,) in db.execute(
                "SELECT rowid FROM turns WHERE thread_id IS NULL"
                " OR thread_id NOT IN (SELECT id FROM threads) ORDER BY rowid"
            ):
                skipped(f"turns row {number}: no thread")


def _session_of_conversation(
    source: Source, row: sqlite3.Row, said: Iterable[ForeignMessage]
) -> ImportedSession:
    def entries() -> Iterator[Entry]:
        with translate_errors(source):
            yield from turns_of(said, _AGENT)

    return ImportedSession(_AGENT, row["name"] or row["id"], entries())


# Responses, before 0.36


def _has_responses(db: sqlite3.Connection, conversation: str) -> bool:
    found = db.execute("SELECT 1 FROM responses WHERE conversation_id = ? LIMIT 1", (conversation,))
    return found.fetchone() is not None


def _responses(db: sqlite3.Connection, conversation: str) -> Iterator[ForeignMessage]:
    """Its messages: each response has what was sent for it, and what came."""
    tables, system = tables_of(db), None
    rows = db.execute(
        "SELECT rowid AS number, * FROM responses WHERE conversation_id = ? ORDER BY id", (conversation,)
    )
    for row in rows:
        where, since, until = f"responses row {row['number']}", *_times(row)
        told = _joined(db, tables, "system_fragments", row["id"], row["system"])
        if told and told != system:
            yield ForeignMessage({"role": "system", "content": told}, where, since)
            system = told
        results = list(_rows_of(db, tables, "tool_results", row["id"]))
        for result in results:
            yield ForeignMessage(_result(result), where, since)
        prompt = _joined(db, tables, "prompt_fragments", row["id"], row["prompt"])
        pictures = [_attachment(one) for one in _attachments(db, tables, row["id"])]
        if prompt or pictures or not results:
            content: Any = [{"type": "text", "text": prompt}, *pictures] if pictures else prompt
            yield ForeignMessage({"role": "user", "content": content}, where, since)
        calls = [_call(call) for call in _rows_of(db, tables, "tool_calls", row["id"])]
        answer: dict[str, Any] = {"role": "assistant", "content": row["response"] or ""}
        if calls:
            answer |= {"content": row["response"] or None, "tool_calls": calls}
        if row["response"] is not None or calls:
            yield ForeignMessage(answer, where, since, until, _note(row, where))


def _joined(db: sqlite3.Connection, tables: set[str], table: str, response: str, text: str | None) -> str:
    """A text behind the fragments that it was sent with."""
    if table not in tables:
        return text or ""
    fragments = db.execute(
        f"SELECT content FROM {table} JOIN fragments ON fragments.id = fragment_id"  # noqa: S608 - our own words
        ' WHERE response_id = ? ORDER BY "order"',
        (response,),
    )
    found = [text_in(content, f"responses {response}: a fragment") for (content,) in fragments]
    return "\n".join([*found, *([text] if text else [])])


def _rows_of(db: sqlite3.Connection, tables: set[str], table: str, response: str) -> Iterable[sqlite3.Row]:
    if table not in tables:
        return ()
    return db.execute(f"SELECT * FROM {table} WHERE response_id = ? ORDER BY id", (response,))  # noqa: S608 - our own words


def _call(row: sqlite3.Row) -> dict[str, Any]:
    function = {"name": row["name"], "arguments": row["arguments"] or "{}"}
    return {"id": row["tool_call_id"], "type": "function", "function": function}


def _result(row: sqlite3.Row) -> dict[str, Any]:
    message = {
        "role": "tool",
        "content": row["output"],
        "tool_call_id": row["tool_call_id"],
        "name": row["name"],
    }
    return message | ({"exception": row["exception"]} if _has(row, "exception") else {})


def _attachments(db: sqlite3.Connection, tables: set[str], response: str) -> Iterable[sqlite3.Row]:
    if "prompt_attachments" not in tables:
        return ()
    return db.execute(
        "SELECT attachments.* FROM prompt_attachments JOIN attachments ON attachments.id = attachment_id"
        ' WHERE response_id = ? ORDER BY "order"',
        (response,),
    )


# Threads, since 0.36


def _thread(db: sqlite3.Connection, thread: sqlite3.Row) -> Iterator[ForeignMessage]:
    """The messages of the chain that ends where the thread is, oldest first."""
    asked: dict[str, sqlite3.Row] = {}
    answered: dict[str, sqlite3.Row] = {}
    for row in db.execute("SELECT * FROM turns WHERE thread_id = ? ORDER BY id", (thread["id"],)):
        asked[row["parent_message_hash"]] = answered[row["tip_message_hash"]] = row
    for identity in _chain(db, thread):
        row = db.execute(
            "SELECT rowid AS number, role, provider_metadata FROM messages WHERE hash = ?", (identity,)
        ).fetchone()
        where = f"messages row {row['number']}"
        since, until = _times(asked[identity])[:1] * 2 if identity in asked else (UNDATED, UNDATED)
        note = None
        if identity in answered:
            since, until = _times(answered[identity])
            note = _note(answered[identity], where)
        for message in _messages(db, identity, row, where):
            yield ForeignMessage(message, where, since, until, note)
            note = None


def _chain(db: sqlite3.Connection, thread: sqlite3.Row) -> list[str]:
    """The messages' hashes, oldest first; UsageError where one is missing."""
    found: list[str] = []
    known: set[str] = set()
    identity = thread["tip_message_hash"]
    while identity is not None:
        row = db.execute("SELECT parent_hash FROM messages WHERE hash = ?", (identity,)).fetchone()
        if row is None or identity in known:
            raise UsageError(
                f"thread {thread['id']}: message {identity} {'is missing' if row is None else 'repeats'}"
            )
        known.add(identity)
        found.append(identity)
        identity = row["parent_hash"]
    return found[::-1]


def _messages(
    db: sqlite3.Connection, identity: str, row: sqlite3.Row, where: str
) -> Iterator[dict[str, Any]]:
    """A message as the chat API takes it; results of tools are messages of their own there."""
    parts = [_part(db, part, where) for part in db.execute(
        "SELECT * FROM parts WHERE message_hash = ? ORDER BY position", (identity,)
    )]  # fmt: skip
    results = [part for part in parts if part["type"] == "tool_result"]
    calls = [_call_of(part) for part in parts if part["type"] == "tool_call"]
    texts = [part["text"] for part in parts if part["type"] == "text"]
    pictures = [part["shown"] for part in parts if part["type"] == "attachment"]
    for part in results:
        yield {"role": "tool", "content": part.get("output"), "tool_call_id": part.get("tool_call_id"),
               "name": part.get("name"), **_more([part], row)}  # fmt: skip
    if results and not (texts or calls or pictures):
        return
    text = "".join(texts)
    message: dict[str, Any] = {"role": row["role"], "content": text}
    if pictures:
        message["content"] = [*({"type": "text", "text": text} for _ in texts[:1]), *pictures]
    if calls:
        message |= {"content": text or None, "tool_calls": calls}
    yield message | _more([part for part in parts if part["type"] != "tool_result"], row)


def _more(parts: list[dict[str, Any]], row: sqlite3.Row) -> dict[str, Any]:
    """Of parts that are more than text, calls, results and attachments: all that is known of them."""
    usual = {"type", "text", "name", "arguments", "tool_call_id", "output", "shown"}
    odd = any(part["type"] == "reasoning" or not set(part) <= usual for part in parts)
    if not odd and not row["provider_metadata"]:
        return {}
    kept: list[Any] = [{key: value for key, value in part.items() if key != "shown"} for part in parts]
    if row["provider_metadata"]:
        where = f"messages row {row['number']}: provider_metadata"
        kept.append({"provider_metadata": parse_foreign(row["provider_metadata"], where)})
    return {"parts": kept}


def _part(db: sqlite3.Connection, row: sqlite3.Row, where: str) -> dict[str, Any]:
    """A part, with the text of fragments and what was attached put in."""
    payload = parse_foreign(row["payload"], f"parts row {row['id']}") if row["payload"] else {}
    if not isinstance(payload, dict):
        raise UsageError(f"{where}: part {row['position']} is not an object")
    part = payload | {"type": row["type"]}
    if row["text"] is not None:
        part["text"] = row["text"]
    if (pieces := part.pop("text_ref", None)) is not None:
        part["text"] = _pieced(db, pieces, where)
    if row["type"] == "attachment":
        found = part.pop("attachment", None) or {}
        if not isinstance(found, dict):
            raise UsageError(f"{where}: the attachment of part {row['position']} is not an object")
        stored = db.execute("SELECT * FROM attachments WHERE id = ?", (found.get("id"),)).fetchone()
        part["shown"] = _attachment(stored) if stored else {"type": "file", "file": found}
    if row["type"] in ("text", "reasoning"):
        text_in(part.setdefault("text", ""), f"{where}: part {row['position']}")
    return part


def _pieced(db: sqlite3.Connection, pieces: Any, where: str) -> str:
    """A text that is put together from literal pieces and fragments."""
    if not isinstance(pieces, list) or not all(isinstance(piece, dict) for piece in pieces):
        raise UsageError(f"{where}: text_ref is not a list of pieces")
    return "".join(
        text_in(piece["literal"], f"{where}: a piece of text_ref")
        if "literal" in piece
        else _fragment(db, piece.get("fragment"))
        for piece in pieces
    )


def _fragment(db: sqlite3.Connection, identity: Any) -> str:
    row = db.execute("SELECT content FROM fragments WHERE id = ?", (identity,)).fetchone()
    if row is None:
        raise UsageError(f"fragments row {identity} is missing")
    return text_in(row["content"], f"fragments row {identity}")


def _call_of(part: Mapping[str, Any]) -> dict[str, Any]:
    function = {"name": part.get("name"), "arguments": json.dumps(part.get("arguments", {}))}
    return {"id": part.get("tool_call_id"), "type": "function", "function": function}


# Both


def _attachment(row: sqlite3.Row) -> dict[str, Any]:
    """Something attached, as a part of a message's content."""
    kind, url = row["type"] or "application/octet-stream", row["url"]
    content = row["content"]
    if content is not None:
        held = content if isinstance(content, bytes) else str(content).encode()
        url = f"data:{kind};base64,{base64.b64encode(held).decode()}"
    if url and kind.startswith("image/"):
        return {"type": "image_url", "image_url": {"url": url}}
    place = {"filename": row["path"]} if row["path"] else {}
    return {"type": "file", "file": place | ({"file_data": url} if url else {})}


def _times(row: sqlite3.Row) -> tuple[int, int]:
    """Return the times at which a response began and was complete."""
    since = parse_iso(row["datetime_utc"])
    if since is None:
        return UNDATED, UNDATED
    took = row["duration_ms"]
    return since, since + 1000 * took if isinstance(took, int) and 0 < took < _LONGEST else since


def _note(row: sqlite3.Row, where: str) -> dict[str, Any]:
    """Return the facts about a response besides its text."""
    known = {name: row[name] for name in _KNOWN if _has(row, name)}
    for name in ("options_json", "token_details"):
        if name in known:
            known[name] = parse_foreign(known[name], f"{where}: {name}")
    return {name.removesuffix("_json"): value for name, value in known.items() if value != {}}


def _has(row: sqlite3.Row, name: str) -> bool:
    return name in row.keys() and row[name] is not None  # noqa: SIM118 - a row is no mapping
