"""Writer of a script's parts, as lines: plain text where that is exact, else JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flue_cli.text import safe_text


def format_prompt(prompt: str) -> list[str]:
    """Format a prompt as the lines that begin a step."""
    lines = prompt.split("\n")
    if not _is_exact_as_text(prompt, lines):
        return _json_string_fields("prompt", prompt)
    return [f"> {line}" if line else ">" for line in lines]


def format_reply(reply: str) -> list[str]:
    """Format an expected reply."""
    lines = reply.split("\n")
    # A parser ignores an empty line at either end.
    if not (_is_exact_as_text(reply, lines) and lines[0] and lines[-1]):
        return _json_string_fields("reply", reply)
    return [f"  {line}" if line else "" for line in lines]


def format_name_field(field: str, name: str) -> str:
    """Format a field with a session's name, as JSON if it could be misread."""
    plain = _is_exact_as_text(name, [name]) and name == name.strip() and not name.startswith('"')
    return f"{field}: {name}" if plain else format_json_field(field, name)


def format_json_field(field: str, value: Any) -> str:
    """Format a field with a JSON value, in ASCII if a character could mislead the reader."""
    text = json.dumps(value, ensure_ascii=False)
    return f"{field}: {text if safe_text(text) == text else json.dumps(value)}"


def _is_exact_as_text(text: str, lines: Sequence[str]) -> bool:
    """True if editors, diffs and terminals show the text exactly."""
    return safe_text(text) == text and all(line == line.rstrip() for line in lines)


def _json_string_fields(field: str, text: str) -> list[str]:
    """Format each line of the text as a line of the script, so that a diff shows the changed ones."""
    *full_lines, last = text.split("\n")
    pieces = [f"{line}\n" for line in full_lines] + ([last] if last or not full_lines else [])
    return [format_json_field(field, piece) for piece in pieces]
