"""A half-typed command line as its shell reads it: quotes taken off, and put on again."""

from __future__ import annotations

from typing import NamedTuple

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,%+^")
"""ASCII characters that need no quoting, wherever they stand in a word."""


class Word(NamedTuple):
    """The word that is being typed: its `text` so far, without quotes.

    `kept` is the part of the text that bash lets stand, because it takes what follows for a word of its own;
    `quote` is the quotation mark that is still open, or "".
    """

    text: str = ""
    kept: str = ""
    quote: str = ""

    def completed(self, value: str) -> str:
        """What bash is to put in the place of the word, but for what it lets stand, to make it `value`."""
        rest = value.removeprefix(self.kept)
        if self.quote == "'":
            return rest.replace("'", "'\\''")
        if self.quote == '"':
            # A ! in double quotes is looked up in the history, backslash or not.
            return "".join(_IN_DOUBLE_QUOTES.get(character, character) for character in rest)
        return "".join(
            character if character in _PLAIN or ord(character) > 0x7F else f"\\{character}"
            for character in rest
        )


_IN_DOUBLE_QUOTES = {'"': '\\"', "\\": "\\\\", "$": "\\$", "`": "\\`", "!": "\"'!'\""}


def split(line: str, breaks: str = "") -> tuple[list[str], Word]:
    """The whole words of a line that ends at the cursor, and the one that is being typed.

    At one of `breaks`, outside of quotes, bash begins what it takes for a word (COMP_WORDBREAKS).
    """
    words: list[str] = []
    text, begun, start, quote = "", False, 0, ""
    characters = iter(line)
    for character in characters:
        if quote and character == quote:
            quote = ""
        elif quote == "'":
            text += character
        elif character == "\\":
            follows = next(characters, "")
            # In double quotes, a backslash stands for itself but before these.
            text += "\\" + follows if quote and follows not in '"\\$`' else follows
        elif quote:
            text += character
        elif character in " \t\n":
            if begun:
                words.append(text)
            text, begun, start = "", False, 0
            continue
        elif character in "\"'":
            quote, start = character, len(text)
        else:
            text += character
            if character in breaks:
                start = len(text)
        begun = True
    return words, Word(text, text[:start], quote)
