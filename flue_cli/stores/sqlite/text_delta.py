"""Deltas between JSON texts: the text that was replaced between a common start and a common end.

A delta restores the text byte for byte, where a JSON Patch would lose the order of keys; and appending to a
list of thousands costs only what was appended. Texts are ASCII, so characters are bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable


def make_delta(old: str, new: str) -> str:
    """Make the delta from `old` to `new`: `START,REMOVED,INSERTED`: two decimal numbers and the text."""
    shortest = min(len(old), len(new))
    start = _common_length(shortest, lambda low, high: old[low:high] == new[low:high])
    from_end = _common_length(
        shortest - start,
        lambda low, high: old[len(old) - high : len(old) - low] == new[len(new) - high : len(new) - low],
    )
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


def _common_length(limit: int, same: Callable[[int, int], bool]) -> int:
    """Return the length, up to `limit`, of what two texts share; `same(low, high)` compares a range."""
    # Binary search compares slices, in C; a loop over characters would take seconds for megabytes.
    low, high = 0, limit
    while low < high:
        middle = (low + high + 1) // 2
        if same(low, middle):
            low = middle
        else:
            high = middle - 1
    return low
