"""Parsers for the values of a script's fields; each raises ValueError for an invalid one."""

from __future__ import annotations

import re
from typing import Any

from flue_cli.agents.call_recording import CallReplayer
from flue_cli.exception_text import describe_exception
from flue_cli.jsondata.strict import dumps, loads
from flue_cli.script_tests.model import UNCHANGED
from flue_cli.times import parse_iso


def parse_json_string(text: str) -> str:
    """Parse a JSON string."""
    value = _parse_json(text)
    if isinstance(value, str):
        return value
    raise ValueError("not a JSON string")


def parse_json_object(text: str) -> dict[str, Any]:
    """Parse a JSON object."""
    value = _parse_json(text)
    if isinstance(value, dict):
        return value
    raise ValueError("not a JSON object")


def parse_expected_data(text: str) -> dict[str, Any] | str:
    """Parse the expected data: a JSON object, or UNCHANGED."""
    return UNCHANGED if text == UNCHANGED else parse_json_object(text)


def parse_data_text(text: str) -> str:
    """Parse a JSON object; returns it as the JSON text that a store keeps."""
    return dumps(parse_json_object(text))


def parse_call_record(text: str) -> dict[str, Any]:
    """Parse the record of a call."""
    record = parse_json_object(text)
    problem = call_record_error(record)
    if problem:
        raise ValueError(problem)
    return record


def call_record_error(record: Any) -> str:
    """Describe the first fault of a call's record; "" if it is valid."""
    try:
        CallReplayer([record])
    except ValueError as error:
        return str(error).replace("calls[0]", "it")
    return ""


def parse_pattern(text: str) -> re.Pattern[str]:
    """Parse a regular expression."""
    try:
        return re.compile(text)
    except (re.error, OverflowError, RecursionError) as error:
        raise ValueError(
            f"not a valid regular expression: {describe_exception(error).partition(': ')[2]}"
        ) from error


def parse_whole_number(text: str) -> int:
    """Parse a whole number, zero or more."""
    if not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise ValueError("not a whole number")
    return int(text)


def parse_turn_number(text: str) -> int:
    """Parse the number of a turn, 1 or more."""
    number = parse_whole_number(text)
    if not number:
        raise ValueError("turns begin with 1")
    return number


def parse_time(text: str) -> int:
    """Parse an ISO 8601 time to microseconds since the epoch; UTC unless it has an offset."""
    microseconds = parse_iso(text)
    if microseconds is None:
        raise ValueError("not a time like 2026-01-31T09:00:00Z")
    return microseconds


def _parse_json(text: str) -> Any:
    import json

    try:
        value = loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"not valid JSON: {error.msg} at character {error.pos + 1}") from error
    dumps(value, root="it")  # data that no agent could leave is a mistake in a script, too
    return value
