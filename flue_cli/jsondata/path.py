"""Paths into JSON data, written `tasks[0].title`: parsing them, getting, putting and removing values.

Dots separate keys; `[N]` is an entry of a list (`[-1]` is the last); `["any key"]`, a JSON string, is a key
that is not a plain word. An empty path is the whole value. A normalized path of JSONPath (RFC 9535, 2.7),
`$['tasks'][0]['title']`, is also valid. Functions never change a value; they return a changed copy.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from flue_cli.errors import NotFound, UsageError

Path = tuple[str | int, ...]
"""Keys of objects (str) and indexes of lists (int), from the outside in."""

_PLAIN = r"[^\W\d]\w*"
_KEY = r"\w[\w\u0300-\u036f-]*"
_INDEX = r"\[(-?[0-9]{1,15})\]"
_QUOTED = r'\[("(?:[^"\\]|\\.)*")\]'
_SINGLE = r"\[('(?:[^'\\]|\\.)*')\]"


class BadPath(UsageError):
    """A path that is not valid, or at which no value can be put."""

    type = "bad_path"


def parse_path(text: str) -> Path:
    """Parse a path; BadPath names the first invalid character."""
    bracket = re.compile(f"{_INDEX}|{_QUOTED}|{_SINGLE}", re.DOTALL)
    first, later = re.compile(f"({_KEY})"), re.compile(rf"\.({_KEY})")
    steps: list[str | int] = []
    at = 1 if text.startswith("$") else 0
    while at < len(text):
        if text[at] == "[":
            found = bracket.match(text, at)
            if not found:
                raise _syntax_error(text, at, 'expected [0], [-1] or ["any key"]')
            steps.append(int(found[1]) if found[1] else _unquote_key(text, at, found[2] or found[3]))
        else:
            found = (later if at else first).match(text, at)
            if not found:
                raise _syntax_error(text, at, "expected .key or [" if at else "expected a key or [")
            steps.append(_normalized_key(found[1]))
        at = found.end()
    return tuple(steps)


def split_after_path(text: str) -> tuple[str, str]:
    """Split `text` after its path, at the first white space outside of quotes; returns both parts."""
    match = re.match(rf"(?:{_QUOTED}|{_SINGLE}|\S)*", text, re.DOTALL)
    end = match.end() if match else 0
    return text[:end], text[end:].strip()


def format_path(path: Path) -> str:
    """Format a path for `parse_path`: `tasks[0].title`, "" for the whole value."""
    return "".join(format_step(step) for step in path).removeprefix(".")


def format_step(step: str | int) -> str:
    """Format one step after others: `.title`, `[0]`, `["any key"]`."""
    if isinstance(step, int):
        return f"[{step}]"
    is_plain = re.fullmatch(_PLAIN, step) and _normalized_key(step) == step
    return f".{step}" if is_plain else f"[{json.dumps(step)}]"


def get_value(value: Any, path: Path) -> Any:
    """Get the value at `path`; NotFound names the longest existing part."""
    for depth, step in enumerate(path):
        if not _has_step(value, step):
            raise _missing_error(path, depth, value)
        value = value[step]
    return value


def put_value(value: Any, path: Path, new: Any) -> Any:
    """Copy `value` with `new` at `path`; missing objects on the way are created.

    The index just past a list's end appends. BadPath if a list is missing or would get a gap, or if a value
    on the way is neither an object nor a list.
    """
    if not path:
        return new
    whole = holder = _shallow_copy(value)
    for depth, step in enumerate(path):
        _check_place(holder, path[:depth], step)
        last = depth == len(path) - 1
        inside = new if last else _shallow_copy(holder[step]) if _has_step(holder, step) else {}
        if isinstance(holder, list) and step == len(holder):
            holder.append(inside)
        else:
            holder[step] = inside
        holder = inside
    return whole


def remove_value(value: Any, path: Path) -> Any:
    """Copy `value` without the value at `path`; NotFound as `get_value`, BadPath for an empty path."""
    if not path:
        raise BadPath("all of the data cannot be removed: name a part of it")
    get_value(value, path)
    whole = holder = _shallow_copy(value)
    for step in path[:-1]:
        holder[step] = _shallow_copy(holder[step])
        holder = holder[step]
    del holder[path[-1]]
    return whole


def describe_kind(value: Any) -> str:
    """Name the kind of a JSON value in words: `an object`, `a list of 3`, `null`."""
    if value is None:
        return "null"
    if isinstance(value, list):
        return f"a list of {len(value)}" if value else "an empty list"
    if isinstance(value, Mapping):
        return "an object" if value else "an empty object"
    if isinstance(value, bool):
        return "true" if value else "false"
    return "text" if isinstance(value, str) else "a number"


def _normalized_key(key: str) -> str:
    """Normalise a key without quotes to Unicode NFC, since keyboards differ."""
    if key.isascii():
        return key
    from unicodedata import normalize

    return normalize("NFC", key)


def _has_step(value: Any, step: str | int) -> bool:
    if isinstance(step, str):
        return isinstance(value, dict) and step in value
    return isinstance(value, list) and -len(value) <= step < len(value)


def _shallow_copy(value: Any) -> Any:
    return value.copy() if isinstance(value, dict | list) else value


def _check_place(holder: Any, place: Path, step: str | int) -> None:
    """Raise BadPath unless a value can be put at `step` in `holder`, which is at `place`."""
    if isinstance(step, str):
        if not isinstance(holder, dict):
            raise BadPath(
                f"{_describe_place(place)} is {describe_kind(holder)}: it has no key {json.dumps(step)}"
            )
        return
    if not isinstance(holder, list):
        hint = "put a list there first" if holder == {} else ""
        raise BadPath(
            f"{_describe_place(place)} is {_kind_or_new(holder)}: it has no entry [{step}]", hint=hint
        )
    if not -len(holder) <= step <= len(holder):
        hint = f"the next one is {format_path((*place, len(holder)))}"
        raise BadPath(
            f"{_describe_place(place)} is {describe_kind(holder)}: it has no entry [{step}]", hint=hint
        )


def _kind_or_new(holder: Any) -> str:
    return "not a list" if holder == {} else describe_kind(holder)


def _describe_place(place: Path) -> str:
    return format_path(place) or "the data"


def _missing_error(path: Path, depth: int, value: Any) -> NotFound:
    """Make the error for `value`, at the first `depth` steps of `path`, in which the next one is missing."""
    step, where = path[depth], path[:depth]
    hint = ""
    if isinstance(step, str) and isinstance(value, dict):
        from difflib import get_close_matches

        near = [format_path((*where, key)) for key in get_close_matches(step, value, n=3)]
        hint = f"did you mean {' or '.join(near)}?" if near else ""
    found = f"{_describe_place(where)} is {describe_kind(value)}"
    if isinstance(step, str) and isinstance(value, dict) and value:
        found = f"{_describe_place(where)} has {_list_keys(value)}"
    return NotFound(f"there is no {format_path(path)}: {found}", hint=hint)


def _list_keys(value: Mapping[str, Any]) -> str:
    keys = [format_path((key,)) for key in list(value)[:6]]
    more = f" and {len(value) - 6} more" if len(value) > 6 else ""
    return ", ".join(key if len(key) <= 40 else f"{key[:40]}…" for key in keys) + more


def _unquote_key(text: str, at: int, quoted: str) -> str:
    if quoted.startswith("'"):
        quoted = re.sub(r'\\.|"', _double_quoted, quoted, flags=re.DOTALL)
        quoted = f'"{quoted[1:-1]}"'
    try:
        key = json.loads(quoted)
        key.encode()
    except ValueError:  # malformed, or a lone surrogate
        raise _syntax_error(text, at, "expected a key as a JSON string") from None
    return str(key)


def _double_quoted(match: re.Match[str]) -> str:
    """Convert an escape or a quote between single quotes to one between double ones."""
    return {"\\'": "'", '"': '\\"'}.get(match[0], match[0])


def _syntax_error(text: str, at: int, expectation: str) -> BadPath:
    return BadPath(
        f"'{text}' is not a valid path: {expectation} at character {at + 1}",
        hint='a path is written tasks[0].title, other keys as ["any key"]',
    )
