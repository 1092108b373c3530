"""Conversion of exceptions to JSON objects and back.

`type` is the class (`ValueError`, `httpx.ReadTimeout`) and `message` the text of `str`. `args` and
`attributes` are present if JSON can hold them. `base` is the nearest built-in base class, if `type` is not
built in.
"""

from __future__ import annotations

import builtins
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from flue_cli.exception_text import describe_exception


def error_to_json(error: BaseException) -> dict[str, Any]:
    """Describe an exception as a JSON object; never raises, even if the exception's own methods do."""
    kind = type(error)
    message = escape_surrogates(describe_exception(error)[len(kind.__name__) + 2 :])
    record: dict[str, Any] = {"type": _full_class_name(kind), "message": message}
    if kind.__module__ != "builtins":
        record["base"] = next(base.__name__ for base in kind.__mro__ if base.__module__ == "builtins")
    args = list(error.args)
    if isinstance(error, OSError) and len(args) == 2 and error.filename is not None:
        args.append(error.filename)  # not part of its `args`
    if args != [message] and all(map(_is_plain_value, args)):
        record["args"] = args
    attributes = {name: value for name, value in vars(error).items() if _is_plain_value(value)}
    if attributes:
        record["attributes"] = attributes
    return record


def error_from_json(record: Mapping[str, Any]) -> BaseException:
    """Make an exception of the recorded class with the recorded text.

    A class that is not imported yet is replaced by the recorded `base`, or by RuntimeError.
    """
    for kind in _candidate_classes(record):
        with suppress(Exception):  # its constructor needs more than was recorded: try the next class
            return _make_error(kind, record)
    return RuntimeError(f"{record['type']}: {record['message']}")


def _candidate_classes(record: Mapping[str, Any]) -> Iterator[type[BaseException]]:
    for name in (record["type"], record.get("base", ""), "RuntimeError"):
        kind = _find_imported_class(name)
        if isinstance(kind, type) and issubclass(kind, BaseException):
            yield kind


def _find_imported_class(name: str) -> Any:
    parts = name.split(".")
    if len(parts) == 1:
        return getattr(builtins, name, None)
    for count in range(len(parts) - 1, 0, -1):
        member: Any = sys.modules.get(".".join(parts[:count]))
        if member is not None:
            for part in parts[count:]:
                member = getattr(member, part, None)
            return member
    return None


def _make_error(kind: type[BaseException], record: Mapping[str, Any]) -> BaseException:
    name, message = record["type"].rpartition(".")[2], record["message"]
    args = record.get("args", [message] if message else [])
    error = _make_instance(kind, args)
    vars(error).update(record.get("attributes", {}))
    if kind.__name__ == name and str(error) == message:
        return error
    renamed = type(name, (kind,), {"__str__": lambda _: message, "__module__": kind.__module__})
    error = _make_instance(renamed, args)
    vars(error).update(record.get("attributes", {}))
    return error


def _make_instance(kind: type[BaseException], args: Sequence[Any]) -> BaseException:
    if isinstance(kind.__init__, type(object.__init__)):  # built in
        with suppress(TypeError):
            return kind(*args)
    return kind.__new__(kind, *args)  # its __init__ may need more than was recorded


def _full_class_name(kind: type) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def escape_surrogates(text: str) -> str:
    """Write lone surrogates as escapes, so that the text can be encoded."""
    return text.encode("utf-8", "backslashreplace").decode()


def _is_plain_value(value: object) -> bool:
    """True if JSON holds the value as it is, and no secret can hide inside it."""
    if type(value) is str:
        return escape_surrogates(value) == value
    if type(value) is float:
        return math.isfinite(value)
    return value is None or type(value) is bool or (type(value) is int and abs(value) < 2**63)
