"""Keys in the notation of kitty (`CSI code;modifiers u`) and of xterm (`CSI 27;modifiers;code ~`).

The chat does not ask for them, but terminals can be set to send them always, and a program that crashed
leaves them on. Each is translated to the characters that older terminals send for the same key.
"""

from __future__ import annotations

import re

from prompt_toolkit.input.ansi_escape_sequences import ANSI_SEQUENCES

_KEY = re.compile(r"\x1b\[(\d*)(?::(\d*))?[:\d]*(?:;(\d*)(?::(\d*))?)?(?:;([\d:]*))?([A-HPQSu~])")
"""Code of the key, code with Shift, modifiers, event, text, kind."""

_SHIFT, _ALT, _CONTROL, _META = 1, 2, 4, 32
_NO_CHARACTER = 8 | 16  # Super and Hyper
_LOCKS = 64 | 128  # Caps Lock and Num Lock
_RELEASED = "3"

_ENTER, _TAB, _ESCAPE, _BACKSPACE = 13, 9, 27, 127
_FIRST_PRIVATE, _LAST_PRIVATE = 57344, 63743
_FIRST_KEYPAD = 57399
_KEYPAD = (
    *"0123456789./*-+\r=,",
    *("\x1b[D", "\x1b[C", "\x1b[A", "\x1b[B", "\x1b[5~", "\x1b[6~", "\x1b[H", "\x1b[F", "\x1b[2~", "\x1b[3~"),
)
_CONTROL_CHARACTERS = {" ": "\0", "@": "\0", "[": "\x1b", "\\": "\x1c", "]": "\x1d", "^": "\x1e", "_": "\x1f"}


def translate_modified_key(sequence: str) -> str | None:
    """Return the older form of a key; "" if it has none or was released, None for any other sequence.

    Shift-Enter is a line feed, which begins a new line.
    """
    match = _KEY.fullmatch(sequence)
    if not match:
        return None
    code, shifted, modifiers, event, text, kind = match.groups()
    bits = (int(modifiers or 1) - 1) & ~_LOCKS
    if event == _RELEASED:
        return ""
    if kind == "u":
        # `CSI 1;5 u` is Ctrl-5 of mintty: no key has the code 1.
        return None if sequence in ANSI_SEQUENCES else _plain_key(int(code or 0), shifted, bits, text or "")
    if kind == "~" and code == "27" and text and text.isdigit():
        return _plain_key(int(text), None, bits, "")
    if sequence in ANSI_SEQUENCES:
        return None
    number = code if kind == "~" else ""
    plain = f"\x1b[{number or 1};{bits + 1}{kind}" if bits else f"\x1b[{number}{kind}"
    return plain if plain in ANSI_SEQUENCES else ""


def _plain_key(code: int, shifted: str | None, bits: int, text: str) -> str:
    if bits & _NO_CHARACTER:
        return ""
    alt = "\x1b" if bits & (_ALT | _META) else ""
    if _FIRST_KEYPAD <= code < _FIRST_KEYPAD + len(_KEYPAD):
        key: str = _KEYPAD[code - _FIRST_KEYPAD]
        code = _ENTER if key == "\r" else code
        if code != _ENTER:
            return key
    if code == _ENTER:
        return "\n" if bits & _SHIFT else f"{alt}\r"
    if code == _TAB:
        return "\x1b[Z" if bits & _SHIFT else f"{alt}\t"
    if code in (_ESCAPE, _BACKSPACE):
        return alt + chr(code)
    if _FIRST_PRIVATE <= code <= _LAST_PRIVATE:
        return ""
    character = _character(code, shifted, bits, text)
    if bits & _CONTROL:
        lower = character.lower()
        character = chr(ord(lower) & 0x1F) if "a" <= lower <= "z" else _CONTROL_CHARACTERS.get(lower, "")
    return alt + character if character else ""


def _character(code: int, shifted: str | None, bits: int, text: str) -> str:
    try:
        if text:
            return "".join(chr(int(each)) for each in text.split(":"))
        character = chr(int(shifted)) if shifted and bits & _SHIFT else chr(code)
    except (ValueError, OverflowError):
        return ""
    if not character.isprintable():
        return ""
    return character.upper() if bits & _SHIFT and len(character.upper()) == 1 else character
