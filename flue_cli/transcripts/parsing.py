"""Foreign text and JSON, read strictly: an error says where, and nothing is guessed."""

from __future__ import annotations

import json
import math
import re
from typing import Any

from flue_cli.errors import DataError, UsageError
from flue_cli.json_input import typed
from flue_cli.strict_json import MAX_BYTES, MAX_DEPTH, dumps

_BOM = b"\xef\xbb\xbf"
_ENCODER = json.JSONEncoder(allow_nan=False, separators=(",", ":"))
_SURROGATE = re.compile("[\ud800-\udfff]")


def decoded(data: bytes, where: str, *, is_first: bool = False) -> str:
    """Bytes as text, without the mark that some editors put first; UsageError for what is not UTF-8."""
    start = len(_BOM) if is_first and data.startswith(_BOM) else 0
    try:
        return data[start:].decode() if start else data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{where} is not UTF-8 at byte {start + error.start}") from error


def parse(text: str, where: str) -> Any:
    """The value of JSON `text`; UsageError for anything else, and for a key given twice."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        typed(text, where)  # says it in more words, and with the place
        raise UsageError(f"{where} is not JSON: {error}") from error


def packed(value: Any, where: str) -> str:
    """A value that came out of JSON as the store keeps it; UsageError if it cannot be kept.

    The fast way to what `strict_json.dumps` checks: what was parsed can have no other faults.
    """
    try:
        text = _ENCODER.encode(value)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{where} cannot be kept: {error}") from error
    many_levels = text.count("[") + text.count("{") > MAX_DEPTH
    if len(text) > MAX_BYTES or many_levels or "\\ud" in text:
        try:
            return dumps(value, root=where)
        except DataError as error:
            raise UsageError(f"{error.path}: {error.problem}") from error
    return text


def bounded(text: str, where: str) -> str:
    """A text that may be kept; UsageError for more than 16 MiB and for half a surrogate pair."""
    if not text.isascii():
        if _SURROGATE.search(text):
            raise UsageError(f"{where} has a lone surrogate")
        too_long = len(text) * 4 > MAX_BYTES and len(text.encode()) > MAX_BYTES
    else:
        too_long = len(text) > MAX_BYTES
    if too_long:
        raise UsageError(f"{where} has more than {MAX_BYTES // 2**20} MiB")
    return text


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("an object has a key twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError(f"{digits} is too large a number")
    return number


_DECODER = json.JSONDecoder(object_pairs_hook=_each_once, parse_float=_finite, parse_constant=_no_constant)
