"""The line that the terminal's cursor is in, as far as this process wrote it."""

from __future__ import annotations

import re

_MAX_CHARACTERS = 10_000
"""Length of a line up to which its end is known also after a resize."""

_SEQUENCE = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\].*?(?:\x07|\x1b\\)|[\x00-\x08\x0b-\x0c\x0e-\x1f]")
_TAB_COLUMNS = 8


class CursorLine:
    """Knows whether the last line of the output fills the screen's width.

    The cursor then waits at the last column, and the next character begins a new row. Erasing to the end of
    the line, or moving the cursor away and back, would lose that character or that state.
    """

    def __init__(self) -> None:
        self._line: list[str] = []
        self._length = 0
        self._unmeasured: list[str] = []
        self._columns = self._column = 0
        self._last = ""

    def wrote(self, text: str) -> None:
        """Take note of a text that was written."""
        _, newline, tail = text.rpartition("\n")
        if newline:
            self._line, self._length, self._unmeasured, self._column, self._last = [], 0, [], 0, ""
        if self._length <= _MAX_CHARACTERS:
            self._line.append(tail)
        self._length += len(tail)
        self._unmeasured.append(tail)

    def character_at_edge(self, columns: int) -> str | None:
        """Return the character in the last column if the cursor waits behind it, else ""; None if unknown."""
        if columns != self._columns:
            if self._length > _MAX_CHARACTERS:
                return None
            self._columns, self._column, self._last = columns, 0, ""
            self._unmeasured = self._line[:]
        self._measure()
        return self._last if self._column == columns else ""

    def _measure(self) -> None:
        from rich.cells import get_character_cell_size

        text, self._unmeasured = _SEQUENCE.sub("", "".join(self._unmeasured)), []
        columns, column, last = self._columns, self._column, self._last
        for character in text:
            if character == "\r":
                column = 0
            elif character == "\t":
                column = min((column // _TAB_COLUMNS + 1) * _TAB_COLUMNS, columns - 1)
            elif cells := get_character_cell_size(character):
                column = column + cells if column + cells <= columns else cells
                last = character
            else:
                last += character
        self._column, self._last = column, last
