"""Text made safe for a terminal, and small formats for people.

Names, replies, prompts, paths and error texts come from people, files, agents and models; any of them may
contain characters that control a terminal. All of it passes `safe_text` on its way to a terminal or to
stderr. What is stored, exported or piped is not changed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Protocol

    class SessionName(Protocol):
        """Agent and name of a session: a head, or an item of a list."""

        @property
        def agent(self) -> str: ...

        @property
        def name(self) -> str: ...


# C0 except newline and tab, DEL, C1; bidirectional controls; line and paragraph separators; surrogates;
# tag characters. Unicode 15.1, chapters 23.1 (control codes), 23.2, 23.9 (tags), and UAX #9.
_UNSAFE = (
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f"
    "\u2028-\u202e\u2066-\u2069\ud800-\udfff\U000e0000-\U000e007f]+"
)


def safe_text(text: str) -> str:
    r"""Replace every character that could control a terminal by a visible name.

    Newline and tab stay, `\r\n` becomes a newline, other control characters become `^X`, the rest
    `<U+XXXX>`. Nothing else changes: not markup, not HTML, not ordinary Unicode.
    """
    if text.isascii() and text.isprintable():
        return text
    return re.sub(_UNSAFE, _visible, text.replace("\r\n", "\n"))


def fold_text(text: str) -> str:
    """Return the form in which texts are compared: case-folded, in Unicode's composed form (NFC).

    Texts that differ only in case, or in composed and decomposed characters (a Mac's file names), have the
    same form. Source: The Unicode Standard 15.1, section 3.13, canonical caseless matching.
    """
    if text.isascii():
        return text.casefold()
    from unicodedata import normalize

    return normalize("NFC", normalize("NFC", text).casefold())


def safe_line(text: str) -> str:
    """Make `text` safe and put it on one line: newlines and tabs become spaces."""
    return safe_text(text).replace("\n", " ").replace("\t", " ")


def session_label(session: SessionName) -> str:
    """Return AGENT/NAME, safe and on one line."""
    return safe_line(f"{session.agent}/{session.name}")


def format_turns(count: int) -> str:
    """Format a number of turns: `1 turn`, `2 turns`."""
    return f"{count} turn" if count == 1 else f"{count} turns"


def format_turn_numbers(turns: Sequence[int]) -> str:
    """Format consecutive turn numbers: `turn 3`, `turns 3 to 5`; "" for none."""
    if not turns:
        return ""
    return f"turn {turns[0]}" if len(turns) == 1 else f"turns {turns[0]} to {turns[-1]}"


def label_notice(turn: int, label: str) -> str:
    """Say which label a turn has now; "" is none."""
    return f"turn {turn}: [{safe_line(label)}]" if label else f"turn {turn} has no label now"


def undone_fork_notice(name: str) -> str:
    """Make the notice that undone turns have become the session `name`."""
    return f"the undone turns are kept in session {safe_line(name)}"


def pluralize(count: int, noun: str) -> str:
    """Format a number of things: `1 session`, `2,000 sessions`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def format_bytes(count: int) -> str:
    """Format a size: `17 bytes`, `1.2 MiB`."""
    if count < 1024:
        return f"{count} byte" if count == 1 else f"{count} bytes"
    amount, unit = count / 1024, "KiB"
    for larger in ("MiB", "GiB", "TiB"):
        if amount < 1024:
            break
        amount, unit = amount / 1024, larger
    return f"{amount:.1f} {unit}"


def markdown_fence(text: str) -> str:
    """Make a fence for a block of code: longer than any run of backticks in it (CommonMark 4.5)."""
    return "`" * max(3, 1 + max(map(len, re.findall("`+", text)), default=0))


class SafeStream:
    r"""`safe_text` for text that arrives in pieces, one of which may end between `\r` and `\n`."""

    def __init__(self) -> None:
        self._pending = ""

    def feed(self, piece: str) -> str:
        """Return the safe form of `piece`; a trailing carriage return is held back for the next one."""
        text = self._pending + piece
        self._pending = "\r" if text.endswith("\r") else ""
        return safe_text(text[: len(text) - len(self._pending)])

    def close(self) -> str:
        """Return the text that was held back."""
        pending, self._pending = self._pending, ""
        return safe_text(pending)


class _VisibleNames(dict[int, str]):
    """Visible names of characters, each made once, so that megabytes of them are fast."""

    def __missing__(self, code: int) -> str:
        name = "^" + chr(code ^ 0x40) if code < 0x20 or code == 0x7F else f"<U+{code:04X}>"
        self[code] = name
        return name


_VISIBLE_NAMES = _VisibleNames()


def _visible(match: re.Match[str]) -> str:
    return match.group().translate(_VISIBLE_NAMES)
