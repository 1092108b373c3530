"""A session and its turns out of JSON objects: the reverse of fields.py."""

from __future__ import annotations

from typing import Any, NoReturn

from flue_cli.agents.api import Message
from flue_cli.errors import UsageError
from flue_cli.installation import upgrade_hint
from flue_cli.jsondata.strict import bounded_text, pack_foreign
from flue_cli.stores.records import Entry, Failure
from flue_cli.text import safe_line
from flue_cli.times import parse_iso
from flue_cli.transcripts.fields import VERSION

_MOST_TURNS = 2**63
"""No store counts further."""
_OUTCOMES = ("completed", "failed", "cancelled", "interrupted")


def checked_header(fields: Any, where: str) -> dict[str, Any]:
    """What a document says of its session; UsageError for what is none, or a newer Flue's."""
    if not isinstance(fields, dict):
        _refuse(where, "no object")
    version = fields.get("flue")
    if version != VERSION or isinstance(version, bool):
        if isinstance(version, int) and version > VERSION:
            raise UsageError(f"{where} was written by a newer Flue", hint=upgrade_hint())
        _refuse(where, f'"flue" is not {VERSION}')
    for key in ("agent", "session"):
        if not isinstance(fields.get(key), str):
            _refuse(where, f'"{key}" is no text')
    return fields


def origin_of(fields: dict[str, Any], where: str) -> tuple[str, int] | None:
    """The session, and its turn, that a session was forked from."""
    origin = fields.get("forked_from")
    if origin is None:
        return None
    if not isinstance(origin, dict):
        _refuse(where, '"forked_from" is no object')
    name, turn = origin.get("session"), origin.get("turn")
    if not isinstance(name, str) or not isinstance(turn, int) or isinstance(turn, bool):
        _refuse(where, '"forked_from" does not name a session and a turn')
    if not 0 <= turn < _MOST_TURNS:
        _refuse(where, '"forked_from" does not name a session and a turn')
    return bounded_text(name, where), turn


def entry_of(fields: Any, where: str) -> Entry:
    """The entry that a document's turn describes, to be numbered anew; UsageError says what is wrong."""
    if not isinstance(fields, dict):
        _refuse(where, "no object")
    kind, outcome = fields.get("kind", "prompt"), fields.get("outcome")
    if kind not in ("prompt", "edit"):
        _refuse(where, '"kind" is neither "prompt" nor "edit"')
    if outcome not in _OUTCOMES or (kind == "edit" and outcome != "completed"):
        _refuse(where, f'"outcome" of {"a prompt" if kind == "prompt" else "an edit"} is {_shown(outcome)}')
    prompt, between, reply = _said(fields.get("messages", []), kind, outcome, where)
    started = _time(fields, "started_at", where)
    if started is None:
        _refuse(where, '"started_at" is missing')
    return Entry(
        turn=0,
        kind=kind,
        outcome=outcome,
        key=_text_or_none(fields, "key", where),
        prompt=prompt,
        reply=reply,
        messages=between,
        started_at=started,
        finished_at=_time(fields, "finished_at", where),
        error=_error(fields.get("error"), where),
        meta=_object(fields.get("meta") or {}, "meta", where),
        data=data_of(fields, where),
    )


def data_of(fields: dict[str, Any], where: str) -> str:
    """The JSON text of what stands under "data", as the store keeps it."""
    data = fields.get("data")
    if not isinstance(data, dict):
        _refuse(where, '"data" is no object')
    return pack_foreign(data, f"{where}: data")


def _said(messages: Any, kind: str, outcome: str, where: str) -> tuple[str, tuple[Message, ...], str | None]:
    """Prompt, messages between, and reply."""
    if not isinstance(messages, list):
        _refuse(where, '"messages" is no list')
    if kind == "edit":
        if messages:
            _refuse(where, "an edit has messages")
        return "", (), None
    prompt = _plain(messages[:1], "user")
    if prompt is None:
        _refuse(where, 'the first message is no text by "user"')
    bounded_text(prompt, f"{where}: messages[0]")
    if outcome != "completed":
        return prompt, _between(messages[1:], where), None
    reply = _plain(messages[-1:], "assistant")
    if reply is None:
        _refuse(where, 'the last message of a completed turn is no text by "assistant"')
    bounded_text(reply, f"{where}: messages[{len(messages) - 1}]")
    return prompt, _between(messages[1:-1], where), reply


def _between(messages: list[Any], where: str) -> tuple[Message, ...]:
    found = [_message(fields, f"{where}: messages[{number}]") for number, fields in enumerate(messages, 1)]
    if found:
        pack_foreign(messages, f"{where}: messages")
    return tuple(found)


def _plain(found: list[Any], role: str) -> str | None:
    """What the one message says, if it is nothing but a text of `role`."""
    for message in found:
        if isinstance(message, dict) and len(message) == 2 and message.get("role") == role:
            content = message.get("content")
            return content if isinstance(content, str) else None
    return None


def _message(fields: Any, where: str) -> Message:
    if not isinstance(fields, dict) or not isinstance(fields.get("role"), str) or "content" not in fields:
        _refuse(where, 'needs a "role" and "content"')
    return Message.from_dict(fields)


def _error(error: Any, where: str) -> Failure | None:
    if error is None:
        return None
    if not isinstance(error, dict):
        _refuse(where, '"error" is no object')
    kind, message = error.get("type"), error.get("message")
    if not isinstance(kind, str) or not kind or not isinstance(message, str):
        _refuse(where, '"error" needs a "type" and a "message"')
    return Failure(bounded_text(kind, where), bounded_text(message, f"{where}: error"))


def _object(value: Any, name: str, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        _refuse(where, f'"{name}" is no object')
    if not _is_simple(value):
        pack_foreign(value, f"{where}: {name}")
    return value


def _is_simple(value: dict[str, Any]) -> bool:
    """Whether it is as a turn's meta mostly is: so plain that nothing can be wrong with it."""
    return len(value) < 32 and all(
        key.isascii() and (one is None or isinstance(one, int) or (isinstance(one, str) and _is_short(one)))
        for key, one in value.items()
    )


def _is_short(text: str) -> bool:
    return len(text) < 10_000 and text.isascii()


def _text_or_none(fields: dict[str, Any], name: str, where: str) -> str | None:
    text = fields.get(name)
    if text is None:
        return None
    if not isinstance(text, str):
        _refuse(where, f'"{name}" is no text')
    return bounded_text(text, f"{where}: {name}")


def _time(fields: dict[str, Any], name: str, where: str) -> int | None:
    text = fields.get(name)
    if text is None:
        return None
    found = parse_iso(text)
    if found is None:
        _refuse(where, f'"{name}" is no time: {_shown(text)}')
    return found


def _shown(value: Any) -> str:
    return safe_line(repr(value))[:60]


def _refuse(where: str, what: str) -> NoReturn:
    raise UsageError(f"{where}: {what}")
