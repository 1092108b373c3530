"""The format of a file, by its content: never by its name."""

from __future__ import annotations

import json
from typing import Any

from flue_cli.errors import UsageError
from flue_cli.text import safe_line
from flue_cli.transcripts.import_source import Source

_CONVERSATIONS = {"mapping": "chatgpt", "chat_messages": "claude"}
"""A key of each conversation to the format that has it."""

_FILES = {
    b"PK\x03\x04": ("a ZIP archive", "unpack it, and import the conversations.json in it"),
    b"\x1f\x8b": ("compressed by gzip", "unpack it: gunzip -c FILE | flue sessions import -"),
    b"%PDF": ("a PDF document", ""),
    b"<": ("an HTML or XML document", "a data export has a conversations.json beside its chat.html"),
}
"""First bytes of files that people try to import: a description, and what to do instead."""

_IMPORTABLE = (
    "exports of Flue (json, jsonl), the conversations.json of ChatGPT and Claude.ai, ShareGPT,"
    " OpenAI messages, logs of llm and sessions of openai-agents can be imported"
)


def kind_of(source: Source) -> str:
    """The format that `source` is in, as READERS has it; UsageError if it is none of them."""
    if source.is_database:
        from flue_cli.transcripts.foreign.database import kind_of_database

        return kind_of_database(source)
    _refuse_other_files(source)
    try:
        first = _first_line(source) if is_lines(source) else source.document
    except UsageError as error:
        raise UsageError(error.message, hint=error.hint or _IMPORTABLE) from error
    if isinstance(first, dict) and "flue" in first:
        return "json" if "turns" in first else "jsonl"
    if kind := _kind_of_conversations(first):
        return kind
    if isinstance(first, dict) and ("messages" in first or "role" in first):
        return "openai"
    if isinstance(first, list) and not _is_list_of_others(first):
        return "openai"
    raise _refusal(source, _description(first))


def is_lines(source: Source) -> bool:
    """True if the first line is JSON by itself, and either a session's header or not the only line."""
    if source.is_one_line:
        value = source.document  # which may be hundreds of megabytes, and is not parsed again
        return isinstance(value, dict) and "flue" in value and "turns" not in value
    lines = source.lines()
    _, first = next(lines, (0, ""))
    if not first.strip():
        raise UsageError(f"{source.called} is empty")
    value = _value(first)
    if isinstance(value, dict) and "flue" in value:
        return "turns" not in value
    return isinstance(value, dict | list) and next(lines, None) is not None


def _kind_of_conversations(value: Any) -> str:
    """Return the format of a conversation, of a list of them, or of an object around the list; else ""."""
    if isinstance(value, dict) and isinstance(value.get("conversations"), list):
        return _kind_of_conversations(value["conversations"]) or "sharegpt"
    if isinstance(value, list):
        value = next((one for one in value if isinstance(one, dict)), None)
        if isinstance(value, dict) and isinstance(value.get("conversations"), list):
            return "sharegpt"
    if not isinstance(value, dict):
        return ""
    return next((kind for key, kind in _CONVERSATIONS.items() if key in value), "")


def _is_list_of_others(value: list[Any]) -> bool:
    """True if a list has objects, and none of them is like a message."""
    objects = [one for one in value if isinstance(one, dict)]
    return bool(objects) and not any({"role", "content", "messages"} & set(one) for one in objects)


def _refuse_other_files(source: Source) -> None:
    beginning = source.beginning(64).lstrip()
    for start, (description, advice) in _FILES.items():
        if beginning.startswith(start):
            raise _refusal(source, description, advice)


def _refusal(source: Source, description: str, advice: str = "") -> UsageError:
    return UsageError(
        f"{source.called} is nothing that can be imported: it is {description}",
        hint="; ".join(filter(None, (advice, _IMPORTABLE))),
    )


def _description(value: Any) -> str:
    """Describe a JSON document that is in no known format."""
    if isinstance(value, dict):
        return f"a JSON object with {_keys(value)}"
    if isinstance(value, list):
        return f"a JSON list of objects with {_keys(next(one for one in value if isinstance(one, dict)))}"
    return "JSON, but neither an object nor a list"


def _keys(value: dict[str, Any]) -> str:
    if not value:
        return "no keys"
    shown = ", ".join(safe_line(key)[:30] for key in list(value)[:6])
    return f"the keys {shown}{', …' if len(value) > 6 else ''}"


def _first_line(source: Source) -> Any:
    for _, text in source.lines():
        return _value(text)
    return None


def _value(text: str) -> Any:
    """Return the value of a line; None if it is not JSON: it may be part of a longer document."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None
