"""Deltas between JSON texts: the text that was replaced between a common start and a common end.

A delta restores the text byte for byte, where a JSON Patch would lose the order of keys; and appending to a
list of thousands costs only what was appended. Texts are ASCII, so characters are bytes.
"""

from __future__ import annotations

from collections.abc import Iterable


def make_delta(old: str, new: str) -> str:
    """Make the delta from `old` to `new`: `START,REMOVED,INSERTED`: two decimal numbers and the text."""
    start = _common_start(old, new)
    from_end = _common_end(old, new, min(len(old), len(new)) - start)
    return f"{start},{len(old) - start - from_end},{new[start : len(new) - from_end]}"


def apply_deltas(text: str, deltas: Iterable[str]) -> str:
    """Apply all `deltas` to `text` in order; ValueError if one of them is not valid."""
    buffer = bytearray(text, "ascii")
    for delta in deltas:
        start, removed, inserted = delta.split(",", 2)
        first, count = int(start), int(removed)
        if first < 0 or count < 0 or first + count > len(buffer):
            raise ValueError("a change reaches past the end of the data")
        buffer[first : first + count] = inserted.encode("ascii")
    return buffer.decode("ascii")


# Binary search compares slices, in C; a loop over characters would take seconds for megabytes.


def _common_start(old: str, new: str) -> int:
    """Return the length of what two texts begin with."""
    low, high = 0, min(len(old), len(new))
    while low < high:
        middle = (low + high + 1) // 2
        if new.startswith(old[low:middle], low):
            low = middle
        else:
            high = middle - 1
    return low


def _common_end(old: str, new: str, limit: int) -> int:
    """Return the length, up to `limit`, of what two texts end with."""
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if new.endswith(old[len(old) - middle : len(old) - low], 0, len(new) - low):
            low = middle
        else:
            high = middle - 1
    return low
