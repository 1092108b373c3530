"""Text that agents print, made safe: progress bars rewrite their own line, colours are left out."""

from __future__ import annotations

import re

from flue_cli.text import safe_text

# What rich, tqdm and others write even where they were told that there is no terminal (FORCE_COLOR, nested
# bars): colours, erasing in a line, going up a line, the cursor's visibility.
_DECORATION = r"\x1b\[(?:[0-9;:]*[mKA]|\?25[hl])"


class PrintedText:
    """The prints of one stream. A line may be rewritten after a carriage return, as a progress bar does.

    Where nothing can be drawn, only the last form of such a line is shown. No text of others is ever erased.
    """

    def __init__(self, *, can_draw: bool) -> None:
        """`can_draw`: what is shown goes to a terminal whose cursor can be moved."""
        self._can_draw = can_draw
        self._is_open = False  # our own text is on the screen's present line
        self._is_returned = False  # a carriage return came last
        self._is_rewritten = False
        self._held = ""  # the line's present form, where nothing can be drawn

    def feed(self, text: str) -> str:
        """Return what is to be written for `text`."""
        if "\x1b" in text:
            text = re.sub(_DECORATION, "", text)
        if "\r" not in text and not self._is_returned and not self._is_rewritten:
            self._is_open = not text.endswith("\n") if text else self._is_open
            return safe_text(text)
        return "".join(map(self._feed_piece, re.findall("\r|\n|[^\r\n]+", text)))

    def end_line(self) -> str:
        """Return what ends a line that was rewritten, before others write: "" if there is none."""
        if not self._is_rewritten:
            self._is_open = False  # others write on the line now, and a carriage return must spare them
            return ""
        shown = self._is_open or self._held.strip()
        return self._end_line() if shown else ""

    def _feed_piece(self, piece: str) -> str:
        if piece == "\r":
            self._is_returned = True
            return ""
        return self._end_line() if piece == "\n" else self._add(safe_text(piece))

    def _add(self, text: str) -> str:
        if self._is_returned:
            self._is_returned, was_open = False, self._is_open
            if self._can_draw:
                self._is_rewritten = self._is_open = True
                return f"\r\x1b[K{text}" if was_open else text
            self._is_rewritten, self._is_open, self._held = True, False, text
            return "\n" if was_open else ""
        if self._is_rewritten and not self._can_draw:
            self._held += text
            return ""
        self._is_open = True
        return text

    def _end_line(self) -> str:
        held = self._held.rstrip()
        self._is_open = self._is_returned = self._is_rewritten = False
        self._held = ""
        return held + "\n"
