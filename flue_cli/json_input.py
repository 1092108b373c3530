"""JSON that a person typed: its value, or what is wrong with it and where."""

from __future__ import annotations

import json
import re
from typing import Any

from flue_cli.errors import DataError, UsageError
from flue_cli.jsondata.path import kind
from flue_cli.strict_json import dumps, loads


def typed(text: str, what: str) -> Any:
    """The value of `text`; UsageError, which calls it `what`, with line and column of the fault."""
    try:
        loads(text)
        value = json.loads(text, object_pairs_hook=_each_once)
    except json.JSONDecodeError as error:
        raise UsageError(
            f"{what} is not JSON: {_lower(error.msg).removesuffix(' at')} {_place(text, error.pos)}"
        ) from error
    except ValueError as error:
        raise UsageError(f"{what} is not JSON: {_constant(text) or error}") from error
    try:
        dumps(value, root="")
    except DataError as error:
        where = f"{error.path.removeprefix('.')}: " if error.path else ""
        raise UsageError(f"{what} cannot be kept: {where}{error.problem}") from error
    return value


def typed_object(text: str, what: str) -> dict[str, Any]:
    """The same for data, which are always an object."""
    value = typed(text, what)
    if not isinstance(value, dict):
        raise UsageError(f"{what} is {kind(value)}: a session's data is an object, {{…}}")
    return value


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in pairs:
        if key in found:
            raise ValueError(f"an object has the key {json.dumps(key)} twice")
        found[key] = value
    return found


def _place(text: str, at: int) -> str:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f"at line {line} column {column}"


def _constant(text: str) -> str:
    """The NaN or Infinity that stands in `text` outside of strings, and where; "" if none does."""
    for found in re.finditer(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN', text):
        if not found[0].startswith('"'):
            return f"{found[0]} {_place(text, found.start())}"
    return ""


def _lower(words: str) -> str:
    return words[:1].lower() + words[1:]
