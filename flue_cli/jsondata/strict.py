"""Strict JSON: decoding returns exactly the encoded value, and errors name the place of a fault.

Python's encoder silently converts tuples to lists and numbers to keys, and emits NaN, which is not JSON. A
conversation's data must not change when it is saved, so all of this is an error, with the path of the value:
`data.tasks[3]: set`.

`dumps` and `loads` are for data of agents and the store, `parse_typed` for JSON that a person typed, and
`parse_foreign` for JSON of other programs.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

from flue_cli.errors import DataError, UsageError
from flue_cli.jsondata.path import describe_kind, format_step

MAX_BYTES = 16 * 1024 * 1024
"""The largest data, reply or prompt, in bytes."""
WARN_BYTES = 1024 * 1024
"""Size of data from which a warning is due: every turn takes time to read it."""

_BOM = b"\xef\xbb\xbf"
_SURROGATE = "[\ud800-\udfff]"

MAX_DEPTH = 200
"""The deepest nesting: Python's own JSON fails near 1,000 levels, less the depth of the caller's stack."""


def dumps(value: Any, *, root: str = "data") -> str:
    """Encode `value` as compact ASCII JSON whose `loads` equals `value`; key order is kept.

    Raises DataError for values that JSON cannot hold (set, NaN, bytes, datetime, a cycle, a key that is no
    string, a lone surrogate, a tuple, an integer past Python's 4,300 digits), for more than 200
    levels and for more than 16 MiB. `root` is the beginning of the paths in these errors.
    """
    _refuse_oversized(value, root)
    try:
        text = _ENCODER.encode(value)
        faithful = _DECODER.raw_decode(text)[0] == value and not _has_lone_surrogate(value, text)
    except (TypeError, ValueError, RecursionError):
        faithful = False
    if not faithful:
        # Only now look for the place, node by node in Python: fifty times slower than the check.
        _find_fault(value, root)
        text = _ENCODER.encode(value)
    if len(text) > MAX_BYTES:
        raise DataError(root, f"{len(text) / 2**20:.1f} MiB of JSON, more than {MAX_BYTES // 2**20} MiB")
    return text


def loads(text: str) -> Any:
    """Decode JSON; raises ValueError for NaN, Infinity, malformed text and too deep nesting."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def parse_typed(text: str, label: str) -> Any:
    """Read JSON that a person typed; UsageError names `label`, and line and column of the fault."""
    try:
        loads(text)
        value = json.loads(text, object_pairs_hook=_refuse_duplicate_keys)
    except json.JSONDecodeError as error:
        problem = _lower_first(error.msg).removesuffix(" at")
        raise UsageError(f"{label} is not JSON: {problem} {_line_and_column(text, error.pos)}") from error
    except ValueError as error:
        raise UsageError(f"{label} is not JSON: {_describe_constant(text) or error}") from error
    try:
        dumps(value, root="")
    except DataError as error:
        where = f"{error.path.removeprefix('.')}: " if error.path else ""
        raise UsageError(f"{label} cannot be kept: {where}{error.problem}") from error
    return value


def parse_typed_object(text: str, label: str) -> dict[str, Any]:
    """Read data that a person typed, as parse_typed; UsageError also if they are not an object."""
    value = parse_typed(text, label)
    if not isinstance(value, dict):
        raise UsageError(f"{label} is {describe_kind(value)}: a session's data is an object, {{…}}")
    return value


def decode_utf8(data: bytes, label: str, *, is_first: bool = False) -> str:
    """Decode bytes, without the mark that some editors put first; UsageError for what is not UTF-8."""
    start = len(_BOM) if is_first and data.startswith(_BOM) else 0
    try:
        return data[start:].decode() if start else data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{label} is not UTF-8 at byte {start + error.start}") from error


def parse_foreign(text: str, label: str) -> Any:
    """Read JSON of another program; UsageError for anything else, and for a key given twice."""
    try:
        return _FOREIGN_DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        parse_typed(text, label)  # raises an error with line and column
        raise UsageError(f"{label} is not JSON: {error}") from error


def pack_foreign(value: Any, label: str) -> str:
    """Encode a value of parse_foreign for the store; UsageError if it cannot be kept."""
    # Faster than `dumps`: a parsed value can only be too large or too deep, or have a lone surrogate.
    try:
        text = _ENCODER.encode(value)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{label} cannot be kept: {error}") from error
    many_levels = text.count("[") + text.count("{") > MAX_DEPTH
    if len(text) > MAX_BYTES or many_levels or "\\ud" in text:
        try:
            return dumps(value, root=label)
        except DataError as error:
            raise UsageError(f"{error.path}: {error.problem}") from error
    return text


def check_text_size(text: str, label: str) -> str:
    """Return the text unchanged; UsageError for more than 16 MiB and for a lone surrogate."""
    if not text.isascii():
        if re.search(_SURROGATE, text):
            raise UsageError(f"{label} has a lone surrogate")
        too_long = len(text) * 4 > MAX_BYTES and len(text.encode()) > MAX_BYTES
    else:
        too_long = len(text) > MAX_BYTES
    if too_long:
        raise UsageError(f"{label} has more than {MAX_BYTES // 2**20} MiB")
    return text


def readable_json(value: Any, *, indent: int | None = None) -> str:
    """Encode JSON for reading and editing: printable characters stay, others are escaped."""
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    return re.sub(
        r"[^\n -~]", lambda match: match[0] if match[0].isprintable() else _escape_character(match[0]), text
    )


def _escape_character(character: str) -> str:
    return json.dumps(character)[1:-1].replace("\x7f", "\\u007f")


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def _find_fault(value: Any, path: str) -> None:
    """Raise DataError for the first fault below `value`, in the order of the data."""
    # Iterative, so that nesting cannot exhaust Python's stack.
    stack: list[tuple[Any, str, tuple[int, ...]]] = [(value, path, ())]
    while stack:
        node, where, above = stack.pop()
        problem = _describe_problem(node)
        if problem:
            raise DataError(where, problem)
        if not isinstance(node, dict | list):
            continue
        if id(node) in above:
            raise DataError(where, "contains itself")
        if len(above) >= MAX_DEPTH:
            raise DataError(_shorten_path(where), f"nested more than {MAX_DEPTH} levels deep")
        above = (*above, id(node))
        if isinstance(node, dict):
            for key in node:
                if not isinstance(key, str):
                    raise DataError(where, f"key {key!r} is {_qualified_type_name(key)}, not str")
                if _contains_surrogate(key):
                    raise DataError(where, f"key {key!r} has a lone surrogate")
            children = [(child, f"{where}{format_step(key)}", above) for key, child in node.items()]
        else:
            children = [(child, f"{where}{format_step(index)}", above) for index, child in enumerate(node)]
        stack.extend(reversed(children))


def _has_lone_surrogate(value: Any, text: str) -> bool:
    if "\\ud" not in text:
        return False
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _refuse_oversized(value: Any, root: str) -> None:
    """Raise DataError for too many levels or values, before anything is encoded."""
    # A list that holds the same list twice, nested twenty times, is small in memory and huge as JSON.
    level, depth, count = [value], 0, 0
    while level:
        if depth == MAX_DEPTH:
            _find_fault(value, root)
            raise DataError(root, f"nested more than {MAX_DEPTH} levels deep")
        depth += 1
        below: list[Any] = []
        for node in level:
            children = node.values() if isinstance(node, dict) else node if isinstance(node, list) else ()
            count += len(children)
            if 2 * count > MAX_BYTES:  # every value takes a character and a comma
                raise DataError(root, f"more than {MAX_BYTES // 2**20} MiB of JSON")
            below += [child for child in children if isinstance(child, dict | list)]
        level = below


def _describe_problem(node: Any) -> str:
    if node is None or isinstance(node, bool | dict | list):
        return ""
    if isinstance(node, str):
        return "lone surrogate in text" if _contains_surrogate(node) else ""
    if isinstance(node, float):
        return "" if math.isfinite(node) else str(float(node))
    if isinstance(node, int):
        try:
            str(int(node))
        except ValueError:
            return "int with too many digits"
        return ""
    return _qualified_type_name(node)


def _qualified_type_name(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _contains_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _shorten_path(path: str) -> str:
    return path if len(path) <= 80 else f"{path[:40]}…{path[-20:]}"


def _refuse_duplicate_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result: dict[str, Any] = {}
    for key, value in pairs:
        if key in result:
            raise ValueError(f"an object has the key {json.dumps(key)} twice")
        result[key] = value
    return result


def _line_and_column(text: str, at: int) -> str:
    line, column = text.count("\n", 0, at) + 1, at - text.rfind("\n", 0, at)
    return f"at line {line} column {column}"


def _describe_constant(text: str) -> str:
    """Describe the first NaN or Infinity in `text`, outside of strings, with its place; else ""."""
    for match in re.finditer(r'"(?:[^"\\]|\\.)*"|-?Infinity|NaN', text):
        if not match[0].startswith('"'):
            return f"{match[0]} {_line_and_column(text, match.start())}"
    return ""


def _lower_first(words: str) -> str:
    return words[:1].lower() + words[1:]


def _refuse_duplicates_quickly(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ValueError("an object has a key twice")
    return result


def _finite_float(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits} is too large a number")
    return number


_FOREIGN_DECODER = json.JSONDecoder(
    object_pairs_hook=_refuse_duplicates_quickly, parse_float=_finite_float, parse_constant=_refuse_constant
)
