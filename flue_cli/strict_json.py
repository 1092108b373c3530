"""JSON that gives back exactly what it was given, or says where it cannot.

Python's encoder quietly turns tuples into lists and numbers into keys, and emits NaN, which is not
JSON. A conversation's data must not change by being saved, so here all of that is refused, with the
path of the value: `data.tasks[3]: set`.
"""

from __future__ import annotations

import json
import math
from typing import Any

from flue_cli.errors import DataError
from flue_cli.jsondata.path import step

MAX_BYTES = 16 * 1024 * 1024
"""The largest data, reply or prompt, in bytes."""
WARN_BYTES = 1024 * 1024
"""Data this large still works, but every turn pays for reading it."""

MAX_DEPTH = 200
"""The deepest nesting: Python's own JSON gives up near 1,000 levels less the caller's stack."""


def dumps(value: Any, *, root: str = "data") -> str:
    """`value` as compact ASCII JSON whose `loads` equals `value`; key order is kept.

    Raises DataError for what JSON cannot hold (set, NaN, bytes, datetime, a cycle, a key that is no
    string, a lone surrogate, a tuple, an integer past Python's 4,300 digits), for more than 200
    levels and for more than 16 MiB. `root` is how the paths in those errors begin.
    """
    _refuse_endless(value, root)
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
    """The value of JSON `text`; raises ValueError for NaN, Infinity and anything malformed or bottomless."""
    try:
        return _DECODER.decode(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_DECODER = json.JSONDecoder(parse_constant=_no_constant)


def _find_fault(value: Any, path: str) -> None:
    """Raise DataError for the first fault below `value`, in the order of the data.

    Iterative, so that depth is no limit.
    """
    stack: list[tuple[Any, str, tuple[int, ...]]] = [(value, path, ())]
    while stack:
        node, where, above = stack.pop()
        problem = _problem(node)
        if problem:
            raise DataError(where, problem)
        if not isinstance(node, dict | list):
            continue
        if id(node) in above:
            raise DataError(where, "contains itself")
        if len(above) >= MAX_DEPTH:
            raise DataError(_shortened(where), f"nested more than {MAX_DEPTH} levels deep")
        above = (*above, id(node))
        if isinstance(node, dict):
            for key in node:
                if not isinstance(key, str):
                    raise DataError(where, f"key {key!r} is {_named(key)}, not str")
                if _has_surrogate(key):
                    raise DataError(where, f"key {key!r} has a lone surrogate")
            children = [(child, f"{where}{step(key)}", above) for key, child in node.items()]
        else:
            children = [(child, f"{where}{step(index)}", above) for index, child in enumerate(node)]
        stack.extend(reversed(children))


def _has_lone_surrogate(value: Any, text: str) -> bool:
    if "\\ud" not in text:
        return False
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _refuse_endless(value: Any, root: str) -> None:
    """Raise DataError for more levels or more values than are allowed, a level at a time.

    Before anything is encoded: a list that holds the same list twice, twenty times over, is small in
    memory and endless as JSON.
    """
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


def _problem(node: Any) -> str:
    if node is None or isinstance(node, bool | dict | list):
        return ""
    if isinstance(node, str):
        return "lone surrogate in text" if _has_surrogate(node) else ""
    if isinstance(node, float):
        return "" if math.isfinite(node) else str(float(node))
    if isinstance(node, int):
        try:
            str(int(node))
        except ValueError:
            return "int with too many digits"
        return ""
    return _named(node)


def _named(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _shortened(path: str) -> str:
    return path if len(path) <= 80 else f"{path[:40]}…{path[-20:]}"
