"""Unfinished command lines: split them as a shell does, and quote completions for bash."""

from __future__ import annotations

from typing import NamedTuple

_PLAIN = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-./,%+^")
"""ASCII characters that need no quoting anywhere in a word."""


class Word(NamedTuple):
    """The word that is being typed: its `text` so far, without quotes.

    `kept` is the part of the text that bash keeps, because it treats the rest as a separate word; `quote` is
    the quotation mark that is still open, or "".
    """

    text: str = ""
    kept: str = ""
    quote: str = ""

    def completed(self, value: str) -> str:
        """Return the text that bash must insert after `kept`, so that the word becomes `value`."""
        rest = value.removeprefix(self.kept)
        if self.quote == "'":
            return rest.replace("'", "'\\''")
        if self.quote == '"':
            # Bash expands ! in double quotes from the history, with or without a backslash.
            return "".join(_IN_DOUBLE_QUOTES.get(character, character) for character in rest)
        return "".join(
            character if character in _PLAIN or ord(character) > 0x7F else f"\\{character}"
            for character in rest
        )


_IN_DOUBLE_QUOTES = {'"': '\\"', "\\": "\\\\", "$": "\\$", "`": "\\`", "!": "\"'!'\""}


def split(line: str, breaks: str = "") -> tuple[list[str], Word]:
    """Split a line that ends at the cursor into its whole words and the unfinished one.

    After one of `breaks` (COMP_WORDBREAKS), outside of quotes, bash starts a new word.
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
            # In double quotes, a backslash is literal except before these.
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
