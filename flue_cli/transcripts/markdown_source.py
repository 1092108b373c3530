"""A reply in Markdown as a part of a larger document: its headings below those, and nothing left open."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from flue_cli.text import markdown_fence, safe_text

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MOST_CHARACTERS = 100_000
"""Characters beyond which a text is fenced as it is: to look through it could take minutes."""

_PROBE = "\n\n# x\n"


def embed_markdown(text: str, level: int) -> str:
    """Return `text`, made safe, with its headings `level` levels lower.

    A block of code that it leaves open is closed. What would swallow the rest of the document in another
    way, such as a comment without an end, stands in a fence.
    """
    text = safe_text(text).strip("\n")
    try:
        closed = _close(text) if len(text) <= MOST_CHARACTERS else None
        return fenced(text, "markdown") if closed is None else f"{_lower_headings(closed, level)}\n"
    except (RecursionError, ValueError, AssertionError, IndexError):  # what the parser makes of nonsense
        return fenced(text, "markdown")


def fenced(text: str, language: str = "text") -> str:
    """Return `text`, made safe, as a block of code."""
    text = safe_text(text)
    fence = markdown_fence(text)
    return f"{fence}{language}\n{text.removesuffix(chr(10))}\n{fence}\n"


def _close(text: str) -> str | None:
    """Return `text` with an open block of code closed; None if something else stays open."""
    tokens = _make_parser().parse(text + _PROBE)
    if _ends_in_probe(tokens):
        return text
    last = tokens[-1]
    if last.type != "fence" or last.level:
        return None
    text = f"{text}\n{last.markup}"
    return text if _ends_in_probe(_make_parser().parse(text + _PROBE)) else None


def _ends_in_probe(tokens: list[Token]) -> bool:
    return bool(tokens) and tokens[-1].type == "heading_close" and tokens[-1].level == 0


def _lower_headings(text: str, level: int) -> str:
    lines = text.split("\n")
    for token in _make_parser().parse(text):
        if token.type != "heading_open" or not token.map:
            continue
        signs = "#" * min(6, int(token.tag[1]) + level)
        first, end = token.map
        if token.markup.startswith("#"):
            lines[first] = lines[first].replace(token.markup, signs, 1)
        elif not token.level:  # underlined: its lines become one
            words = " ".join(line.strip() for line in lines[first : end - 1])
            lines[first:end] = [f"{signs} {words}", *[""] * (end - first - 1)]
    return "\n".join(lines)


@cache
def _make_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark").enable("table")
    parser.disable("inline")
    parser.parse("x")
    return parser
