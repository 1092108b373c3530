"""The format of a file, by its content: never by its name."""

from __future__ import annotations

import json
from typing import Any

from flue_cli.errors import UsageError
from flue_cli.transcripts.import_source import Source


def kind_of(source: Source) -> str:
    """The format that `source` is in, as READERS has it; UsageError if it is none of them."""
    if source.is_database:
        from flue_cli.transcripts.foreign.database import kind_of_database

        return kind_of_database(source)
    first = _first_line(source) if is_lines(source) else source.document
    if isinstance(first, dict) and "flue" in first:
        return "json" if "turns" in first else "jsonl"
    if isinstance(first, list) or (isinstance(first, dict) and ("messages" in first or "role" in first)):
        return "openai"
    raise UsageError(
        f"{source.called} is nothing that can be imported",
        hint="exports of Flue (json, jsonl), OpenAI messages, logs of llm, sessions of openai-agents can be",
    )


def is_lines(source: Source) -> bool:
    """True if the first line is JSON by itself, and either a session's header or not the only line."""
    lines = source.lines()
    _, first = next(lines, (0, ""))
    if not first.strip():
        raise UsageError(f"{source.called} is empty")
    value = _value(first)
    if isinstance(value, dict) and "flue" in value:
        return "turns" not in value
    return isinstance(value, dict | list) and next(lines, None) is not None


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
