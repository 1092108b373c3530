"""The pieces of a script, as lines: plain text where that is exact, else JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from flue_cli.text import safe_text


def format_prompt(prompt: str) -> list[str]:
    """Write a prompt as the lines that begin a step."""
    lines = prompt.split("\n")
    if not _is_exact_as_text(prompt, lines):
        return _json_string_fields("prompt", prompt)
    return [f"> {line}" if line else ">" for line in lines]


def format_reply(reply: str) -> list[str]:
    """Write a reply to expect, exactly."""
    lines = reply.split("\n")
    # An empty line at either end would belong to nothing.
    if not (_is_exact_as_text(reply, lines) and lines[0] and lines[-1]):
        return _json_string_fields("reply", reply)
    return [f"  {line}" if line else "" for line in lines]


def format_name_field(field: str, name: str) -> str:
    """Write a field with a name, which may hold anything that a name may."""
    plain = _is_exact_as_text(name, [name]) and name == name.strip() and not name.startswith('"')
    return f"{field}: {name}" if plain else format_json_field(field, name)


def format_json_field(field: str, value: Any) -> str:
    """Write a field with a JSON value: readable where no character would mislead, else in ASCII."""
    text = json.dumps(value, ensure_ascii=False)
    return f"{field}: {text if safe_text(text) == text else json.dumps(value)}"


def _is_exact_as_text(text: str, lines: Sequence[str]) -> bool:
    """True if editors, diffs and terminals leave the text as it is."""
    return safe_text(text) == text and all(line == line.rstrip() for line in lines)


def _json_string_fields(field: str, text: str) -> list[str]:
    """Write a line of the script for every line of the text, so that a diff shows what changed."""
    *ended, last = text.split("\n")
    pieces = [f"{line}\n" for line in ended] + ([last] if last or not ended else [])
    return [format_json_field(field, piece) for piece in pieces]
