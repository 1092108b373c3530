"""A session as JSON: the fields of an exported document that describe the session itself."""

from __future__ import annotations

from typing import Any

from flue_cli.errors import UsageError
from flue_cli.installation import upgrade_hint
from flue_cli.jsondata.strict import check_text_size
from flue_cli.stores.records import SessionHead
from flue_cli.times import format_iso
from flue_cli.transcripts.entry_json import refuse_document
from flue_cli.transcripts.export_view import ExportSource

VERSION = 1
"""The value of `"flue"` in a document: it grows when an older Flue could not read the document."""

_MAX_TURN = 2**63
"""No store counts further."""


def session_fields(store: ExportSource, head: SessionHead) -> dict[str, Any]:
    """Return the fields of a document that describe the session itself."""
    origin = store.origin(head)
    return {
        "flue": VERSION,
        "agent": head.agent,
        "session": head.name,
        "created_at": format_iso(head.created_at),
        "updated_at": format_iso(head.updated_at),
        "version": head.version,
        "forked_from": {"agent": head.agent, "session": origin.name, "turn": origin.turn} if origin else None,
    }


def read_header(fields: Any, where: str) -> dict[str, Any]:
    """Check the session's fields of a document; UsageError for an invalid one, or a newer Flue's."""
    if not isinstance(fields, dict):
        refuse_document(where, "not an object")
    version = fields.get("flue")
    if version != VERSION or isinstance(version, bool):
        if isinstance(version, int) and version > VERSION:
            raise UsageError(f"{where} was written by a newer Flue", hint=upgrade_hint())
        refuse_document(where, f'"flue" is not {VERSION}')
    for key in ("agent", "session"):
        if not isinstance(fields.get(key), str):
            refuse_document(where, f'"{key}" is not text')
    return fields


def read_origin(fields: dict[str, Any], where: str) -> tuple[str, int] | None:
    """Return the session, and its turn, that a session was forked from."""
    origin = fields.get("forked_from")
    if origin is None:
        return None
    if not isinstance(origin, dict):
        refuse_document(where, '"forked_from" is not an object')
    name, turn = origin.get("session"), origin.get("turn")
    if not isinstance(name, str) or not isinstance(turn, int) or isinstance(turn, bool):
        refuse_document(where, '"forked_from" does not name a session and a turn')
    if not 0 <= turn < _MAX_TURN:
        refuse_document(where, '"forked_from" does not name a session and a turn')
    return check_text_size(name, where), turn
