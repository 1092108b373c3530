"""A turn as JSON: one table of fields, written and read.

FIELDS has every field that some document gives of a turn. A Shape lists the fields of one kind of document,
in their order; exports, `--json`, pages over HTTP and the schema in `/openapi.json` come from these two.
A new field of Entry is a row of the table, and a word in each shape that is to have it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, NoReturn

from flue_cli.agents.api import Message
from flue_cli.errors import UsageError
from flue_cli.jsondata.strict import check_text_size, pack_foreign
from flue_cli.stores.records import Entry, Failure
from flue_cli.stores.rules import partial_reply
from flue_cli.text import safe_line
from flue_cli.times import format_iso, parse_iso
from flue_cli.transcripts.export_view import messages_of

_OUTCOMES = ("completed", "failed", "cancelled", "interrupted")

_TEXT = {"type": "string"}
_TEXT_OR_NULL = {"type": ["string", "null"]}
_INTEGER = {"type": "integer"}
_TIME = {"type": "string", "format": "date-time"}
_TIME_OR_NULL = {"type": ["string", "null"], "format": "date-time"}
_OBJECT = {"type": "object"}
_ERROR = {
    "type": "object",
    "required": ["type", "message"],
    "properties": {"type": _TEXT, "message": _TEXT},
}


class RawJson(str):
    """Text that is JSON already, and goes into a document as it stands."""

    __slots__ = ()


class Field(NamedTuple):
    """One field of a turn.

    `schema` describes it to OpenAPI. `write` takes it out of an Entry, or of another record that has it.
    `read` takes the attribute of that name out of an exported document, given the place for an error;
    None if a document that is imported does not decide it.
    """

    schema: Mapping[str, Any]
    write: Callable[[Any], Any]
    read: Callable[[dict[str, Any], str], Any] | None = None


class Shape(NamedTuple):
    """The fields of one kind of document; those in `if_any` are left out where they are null."""

    fields: tuple[str, ...]
    if_any: tuple[str, ...] = ()


EXPORTED = Shape(
    (
        *("turn", "kind", "outcome", "key", "started_at", "finished_at"),
        *("messages", "data", "error", "meta", "label"),
    ),
    if_any=("label",),
)
"""A turn in an export: all of it; prompt and reply are the first and the last of its messages."""

LISTED = Shape(
    (*(name for name in EXPORTED.fields if name not in ("data", "meta")), "partial_reply"),
    if_any=(*EXPORTED.if_any, "partial_reply"),
)
"""A turn on a page of a session over HTTP: without the fields that may be large."""

ANSWERED = Shape(
    (
        *("agent", "session", "turn", "outcome", "prompt", "reply"),
        *("data", "version", "key", "replayed", "error"),
    ),
    if_any=("error",),
)
"""The answer to a prompt: a Turn, with its session."""

STARTED = Shape(("turn", "prompt", "key"))
"""A turn whose prompt is durable."""

SETTLED = Shape(
    (
        *("turn", "prompt", "key", "outcome", "reply", "partial_reply", "data"),
        *("started_at", "finished_at", "error"),
    ),
    if_any=("partial_reply", "error"),
)
"""A turn that has its outcome, to somebody who follows the session."""

COMPARED = Shape(("kind", "outcome", "prompt", "reply", "error"))
"""One side of a comparison."""

RUNNING = Shape(("turn", "outcome", "key", "prompt", "started_at"))
"""The prompt that is being answered, or that a crash left."""


def entry_fields(entry: Any, shape: Shape) -> dict[str, Any]:
    """Return the fields of a turn for `object_of`: its data is RawJson, as stored."""
    fields = {name: FIELDS[name].write(entry) for name in shape.fields}
    for name in shape.if_any:
        if fields[name] is None:
            del fields[name]
    return fields


def entry_document(entry: Any, shape: Shape) -> dict[str, Any]:
    """Return the fields of a turn for any JSON writer: its data is parsed."""
    return {
        name: json.loads(value) if isinstance(value, RawJson) else value
        for name, value in entry_fields(entry, shape).items()
    }


def entry_schema(shape: Shape) -> dict[str, Any]:
    """Return the JSON schema of a document of this shape."""
    return {
        "type": "object",
        "required": [name for name in shape.fields if name not in shape.if_any],
        "properties": {name: FIELDS[name].schema for name in shape.fields},
    }


def read_entry(fields: Any, where: str) -> Entry:
    """Return the entry that an exported turn describes, to be numbered anew; UsageError if there is none."""
    if not isinstance(fields, dict):
        refuse_document(where, "no object")
    return Entry(turn=0, **{name: read(fields, where) for name, read in _READERS})


def read_data(fields: dict[str, Any], where: str) -> str:
    """Return the JSON text of `"data"`, as the store keeps it."""
    data = fields.get("data")
    if not isinstance(data, dict):
        refuse_document(where, '"data" is not an object')
    return pack_foreign(data, f"{where}: data")


def object_of(fields: Mapping[str, Any]) -> str:
    """Return a JSON object in ASCII. RawJson is embedded: parsing it to print it would double the work."""
    pieces: list[str] = []
    plain: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, RawJson):
            pieces += [json.dumps(plain)[1:-1], f"{json.dumps(key)}: {value}"]
            plain = {}
        else:
            plain[key] = value
    pieces.append(json.dumps(plain)[1:-1])
    return "{" + ", ".join(piece for piece in pieces if piece) + "}"


def _read_kind(fields: dict[str, Any], where: str) -> str:
    kind = fields.get("kind", "prompt")
    if kind not in ("prompt", "edit"):
        refuse_document(where, '"kind" is neither "prompt" nor "edit"')
    return str(kind)


def _read_outcome(fields: dict[str, Any], where: str) -> str:
    outcome, is_edit = fields.get("outcome"), _is_edit(fields)
    if outcome not in _OUTCOMES or (is_edit and outcome != "completed"):
        refuse_document(where, f'"outcome" of {"an edit" if is_edit else "a prompt"} is {_quoted(outcome)}')
    return str(outcome)


def _read_prompt(fields: dict[str, Any], where: str) -> str:
    messages = fields.get("messages", [])
    if not isinstance(messages, list):
        refuse_document(where, '"messages" is not a list')
    if _is_edit(fields):
        if messages:
            refuse_document(where, "an edit has messages")
        return ""
    prompt = _plain_text(messages[0], "user") if messages else None
    if prompt is None:
        refuse_document(where, 'the first message is not a text by "user"')
    return check_text_size(prompt, f"{where}: messages[0]")


def _read_reply(fields: dict[str, Any], where: str) -> str | None:
    if not _has_reply(fields):
        return None
    messages = fields["messages"]
    reply = _plain_text(messages[-1], "assistant")
    if reply is None:
        refuse_document(where, 'the last message of a completed turn is not a text by "assistant"')
    return check_text_size(reply, f"{where}: messages[{len(messages) - 1}]")


def _read_messages(fields: dict[str, Any], where: str) -> tuple[Message, ...]:
    """Read the messages between prompt and reply."""
    between = fields.get("messages", [])[1 : -1 if _has_reply(fields) else None]
    if not between:
        return ()
    messages = tuple(
        _read_message(message, f"{where}: messages[{number}]") for number, message in enumerate(between, 1)
    )
    pack_foreign(between, f"{where}: messages")
    return messages


def _read_message(fields: Any, where: str) -> Message:
    if not isinstance(fields, dict) or not isinstance(fields.get("role"), str) or "content" not in fields:
        refuse_document(where, 'needs a "role" and "content"')
    return Message.from_dict(fields)


def _read_started_at(fields: dict[str, Any], where: str) -> int:
    started = _read_time(fields, "started_at", where)
    if started is None:
        refuse_document(where, '"started_at" is missing')
    return started


def _read_time(fields: dict[str, Any], name: str, where: str) -> int | None:
    text = fields.get(name)
    if text is None:
        return None
    time = parse_iso(text)
    if time is None:
        refuse_document(where, f'"{name}" is not a time: {_quoted(text)}')
    return time


def _read_key(fields: dict[str, Any], where: str) -> str | None:
    key = fields.get("key")
    if key is None:
        return None
    if not isinstance(key, str):
        refuse_document(where, '"key" is not text')
    return check_text_size(key, f"{where}: key")


def _write_error(entry: Any) -> dict[str, str] | None:
    return {"type": entry.error.type, "message": entry.error.message} if entry.error else None


def _read_error(fields: dict[str, Any], where: str) -> Failure | None:
    error = fields.get("error")
    if error is None:
        return None
    if not isinstance(error, dict):
        refuse_document(where, '"error" is not an object')
    kind, message = error.get("type"), error.get("message")
    if not isinstance(kind, str) or not kind or not isinstance(message, str):
        refuse_document(where, '"error" needs a "type" and a "message"')
    return Failure(check_text_size(kind, where), check_text_size(message, f"{where}: error"))


def _read_meta(fields: dict[str, Any], where: str) -> dict[str, Any]:
    meta = fields.get("meta")
    if meta is None:
        return {}
    if not isinstance(meta, dict):
        refuse_document(where, '"meta" is not an object')
    if not _is_simple(meta):
        pack_foreign(meta, f"{where}: meta")
    return meta


def _read_label(fields: dict[str, Any], where: str) -> str:
    label = fields.get("label", "")
    if not isinstance(label, str):
        refuse_document(where, '"label" is not text')
    return check_text_size(label, f"{where}: label")


def _is_edit(fields: dict[str, Any]) -> bool:
    return fields.get("kind") == "edit"


def _has_reply(fields: dict[str, Any]) -> bool:
    return fields.get("outcome") == "completed" and fields.get("kind") != "edit"


def _plain_text(message: Any, role: str) -> str | None:
    """Return the text of a message, if it is nothing but a text by `role`."""
    if isinstance(message, dict) and len(message) == 2 and message.get("role") == role:
        content = message.get("content")
        return content if isinstance(content, str) else None
    return None


def _is_simple(meta: dict[str, Any]) -> bool:
    """True if nothing in a turn's meta can be invalid: most metas are so plain, and need no check."""
    if len(meta) >= 32:
        return False
    for key, value in meta.items():
        if len(key) >= 10_000 or not key.isascii():
            return False
        if isinstance(value, str):
            if len(value) >= 10_000 or not value.isascii():
                return False
        elif value is not None and not isinstance(value, int):
            return False
    return True


def _quoted(value: Any) -> str:
    return safe_line(repr(value))[:60]


def refuse_document(where: str, problem: str) -> NoReturn:
    """Raise the UsageError of a document that is not valid at the place `where`."""
    raise UsageError(f"{where}: {problem}")


# In the order in which they are read: the first fault is the one that is reported.
FIELDS: dict[str, Field] = {
    "agent": Field(_TEXT, lambda turn: turn.agent),
    "session": Field(_TEXT, lambda turn: turn.session),
    "version": Field(_INTEGER, lambda turn: turn.version),
    "replayed": Field({"type": "boolean"}, lambda turn: turn.replayed),
    "turn": Field(_INTEGER, lambda entry: entry.turn),
    "kind": Field({"enum": ["prompt", "edit"]}, lambda entry: entry.kind, _read_kind),
    "outcome": Field({"enum": list(_OUTCOMES)}, lambda entry: entry.outcome, _read_outcome),
    "prompt": Field(_TEXT, lambda entry: entry.prompt, _read_prompt),
    "reply": Field(_TEXT_OR_NULL, lambda entry: entry.reply, _read_reply),
    "partial_reply": Field(_TEXT, lambda entry: partial_reply(entry) or None),
    "messages": Field(
        {"type": "array", "items": _OBJECT},
        lambda entry: [message.as_dict() for message in messages_of(entry)],
        _read_messages,
    ),
    "started_at": Field(_TIME, lambda entry: format_iso(entry.started_at), _read_started_at),
    "key": Field(_TEXT_OR_NULL, lambda entry: entry.key, _read_key),
    "finished_at": Field(
        _TIME_OR_NULL,
        lambda entry: format_iso(entry.finished_at),
        lambda fields, where: _read_time(fields, "finished_at", where),
    ),
    "error": Field(_ERROR, _write_error, _read_error),
    "meta": Field(_OBJECT, lambda entry: dict(entry.meta), _read_meta),
    "data": Field(_OBJECT, lambda entry: RawJson(entry.data), read_data),
    "label": Field(_TEXT, lambda entry: entry.label or None, _read_label),
}
_READERS = [(name, field.read) for name, field in FIELDS.items() if field.read]
