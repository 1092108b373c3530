"""Files with many conversations of another program: a list, an object around it, or one a line."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from flue_cli.errors import UsageError
from flue_cli.jsondata.strict import parse_foreign, readable_json
from flue_cli.transcripts.import_source import UNDATED, Source

_EARLIEST, _LATEST = -62_135_424_000, 253_402_041_600
"""Seconds since the epoch of 0001-01-03 and 9999-12-29."""


def read_conversations(source: Source, key: str) -> Iterator[tuple[str, Any]]:
    """Yield each conversation with its place; where a line cannot be read, the UsageError that says why.

    `key` is what a conversation has, and an object around a list of them has not.
    """
    from flue_cli.transcripts.detect_format import is_lines

    if is_lines(source):
        yield from _read_lines(source)
        return
    document = source.document
    if isinstance(document, dict) and not is_conversation(document, key):
        document = document.get("conversations")
    if isinstance(document, dict):
        yield source.called, document
    elif isinstance(document, list):
        yield from ((f"conversation {number}", value) for number, value in enumerate(document, 1))
    else:
        raise UsageError(f"{source.called} is not a list of conversations")


def is_conversation(value: Any, key: str) -> bool:
    """True if `value` has a conversation's `key` itself, and not its items."""
    if not isinstance(value, dict) or key not in value:
        return False
    items = value[key]
    return not (isinstance(items, list) and items and is_conversation(items[0], key))


def _read_lines(source: Source) -> Iterator[tuple[str, Any]]:
    for number, line in source.raw_lines():
        where = f"line {number}"
        try:
            text = source.text_of(number, line)
            if text.strip():
                yield where, parse_foreign(text, where)
        except UsageError as error:
            yield where, error


def seconds_to_time(value: Any) -> int:
    """Convert seconds since the epoch; UNDATED for what is no such number."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return UNDATED
    return round(value * 1_000_000) if _EARLIEST <= value < _LATEST else UNDATED


def json_text(value: Any, where: str) -> str:
    """Return `value` as JSON to read; UsageError if it is nested too deeply."""
    try:
        return readable_json(value)
    except RecursionError:
        raise UsageError(f"{where} is nested too deeply") from None


def text_or(value: Any, default: str) -> str:
    """Return `value` if it is a text with something in it, else `default`."""
    return value if isinstance(value, str) and value.strip() else default


def list_or_empty(value: Any) -> list[Any]:
    """Return `value` if it is a list, else an empty one."""
    return value if isinstance(value, list) else []
