"""Filter of the characters that a terminal sends, before they are parsed as keys.

A terminal sends more than keys: answers to questions (colours, versions, device attributes), focus events and
mouse reports. They may be late, when the program that asked has ended. prompt_toolkit's parser would take
them for typed text; here they are dropped. Keys in the newer notation of kitty and xterm
(`modifyOtherKeys`) are translated to the older one, which the parser knows.
https://invisible-island.net/xterm/ctlseqs/ctlseqs.html, https://sw.kovidgoyal.net/kitty/keyboard-protocol/
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES

from flue_cli.repl.modified_keys import translate_modified_key

_PASTE_BEGIN, _PASTE_END = "\x1b[200~", "\x1b[201~"

_SEQUENCE = re.compile(r"\x1b\[(?:\[[A-Z]|M.{3}|(?![\[M])[0-?]*[ -/]*[@-~])", re.DOTALL)
"""A control sequence (CSI). Function keys of the Linux console and old mouse reports go on after it."""

_SEQUENCE_START = re.compile(r"\x1b\[(?:\[|M.{0,2}|[0-?]*[ -/]*)\Z", re.DOTALL)

_PARAMETERS = re.compile(r"\A\x1b\[[0-?]*[ -/]*")

_CURSOR_REPORT = re.compile(r"\x1b\[\d+;\d+R")

_REPORT = re.compile(r"\x1b(?:\]\d{1,4};|P(?:[>!]\||[01]?[$+]r)|_G)")
"""The beginning of an answer that is a string (OSC, DCS, APC). More than its introducer, which is also a key:
Alt-], or P after Escape in vi mode."""

_REPORT_START = re.compile(r"\x1b(?:\]\d{0,4}|P[>!]?|P[01]?[$+]?|_)?\Z")

_REPORT_END = re.compile(r"\x07|\x1b\\|\x9c|(?=[\x00-\x1a\x1c-\x1f])|\x1b(?!\\|\Z)")
"""The end of such an answer. Another control character or key ends it too: its end was lost."""

_TYPED_AT_ONCE = 32
"""More characters than a person types at once: after a lost connection, the rest of a paste."""


class Paste(NamedTuple):
    """A pasted text."""

    text: str


class InputFilter:
    """Turns what comes from a terminal into text for the parser of keys, and pastes.

    A lone Escape comes as a text of its own; it can be flushed in the parser at once.
    """

    def __init__(self) -> None:
        self._held = ""  # the beginning of something that may go on
        self._in_report = False
        self._paste: list[str] | None = None
        self._is_paste_torn = False

    @property
    def is_waiting(self) -> bool:
        """True if a paste, a report or a key has begun and not ended."""
        return bool(self._held) or self._in_report or self._paste is not None

    def feed(self, text: str) -> list[str | Paste]:
        """Return what `text`, as much as was read at once, completes."""
        if self._paste is not None and text == "\x03":  # Ctrl-C, pressed because the end of the paste is lost
            return self.expire()
        if self._is_paste_torn:
            self._is_paste_torn = False
            if _PASTE_END in text or len(text) > _TYPED_AT_ONCE:
                self._paste = []
        return [part for part in self._split(text) if part]

    def flush(self) -> list[str | Paste]:
        """Return what is held of a key: after a pause an Escape is the Escape key."""
        if self._paste is not None or self._in_report or len(self._held) > len("\x1b["):
            return []
        held, self._held = self._held, ""
        return [held] if held else []

    def expire(self) -> list[str | Paste]:
        """End a paste whose end did not come, and forget half a report."""
        is_torn, paste = self._paste is not None, [*(self._paste or ()), self._held]
        if not is_torn and 0 < len(self._held) <= len("\x1b["):
            return self.flush()
        self._held, self._paste, self._in_report, self._is_paste_torn = "", None, False, is_torn
        return [Paste("".join(paste))] if is_torn else []

    def _split(self, text: str) -> Iterator[str | Paste]:
        rest, self._held = self._held + text, ""
        while rest:
            if self._paste is not None:
                rest, part = self._read_paste(rest, self._paste)
            elif self._in_report:
                rest, part = self._skip_report(rest), ""
            elif rest[0] != "\x1b":
                part, escape, rest = rest.partition("\x1b")
                rest = escape + rest
            else:
                rest, part = self._read_escape(rest)
            yield part

    def _read_paste(self, text: str, begun: list[str]) -> tuple[str, str | Paste]:
        content, end, rest = text.partition(_PASTE_END)
        if end:
            self._paste = None
            return rest, Paste("".join([*begun, content]))
        held = next(
            (size for size in range(len(_PASTE_END) - 1, 0, -1) if text.endswith(_PASTE_END[:size])), 0
        )
        self._held = text[len(text) - held :]
        begun.append(text[: len(text) - held])
        return "", ""

    def _skip_report(self, text: str) -> str:
        end = _REPORT_END.search(text)
        if end:
            self._in_report = False
            return text[end.start() if end[0] == "\x1b" else end.end() :]
        self._held = "\x1b" if text.endswith("\x1b") else ""
        return ""

    def _read_escape(self, text: str) -> tuple[str, str]:
        """Read one key or report at the beginning of `text`."""
        if sequence := _SEQUENCE.match(text):
            return text[sequence.end() :], self._read_sequence(sequence[0])
        if report := _REPORT.match(text):
            self._in_report = True
            return text[report.end() :], ""
        if _SEQUENCE_START.match(text) or _REPORT_START.match(text):
            self._held = text
            return "", ""
        if text.startswith("\x1b[") and len(text) > len("\x1b["):  # what should have ended it was lost
            rest = _PARAMETERS.sub("", text)
            return rest, "\x1b[" if len(text) == len(rest) + len("\x1b[") else ""
        end = 1 if text.startswith("\x1b\x1b") else 2
        return text[end:], text[:end]

    def _read_sequence(self, sequence: str) -> str:
        if sequence == _PASTE_BEGIN:
            self._paste = []
            return ""
        if _CURSOR_REPORT.fullmatch(sequence):
            return sequence  # prompt_toolkit asks for it
        key = translate_modified_key(sequence)
        return sequence if key is None and sequence in ANSI_SEQUENCES else key or ""
