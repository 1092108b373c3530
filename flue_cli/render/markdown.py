"""Replies in markdown, laid out for a terminal.

rich lays the text out, from a reading of ours: what has no place on a terminal (HTML, entities,
definitions of links, pictures) is shown as it was written, and line breaks stay. A block that would lose
a word all the same is shown as it came.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from io import StringIO
from itertools import accumulate
from typing import ClassVar

from markdown_it import MarkdownIt
from markdown_it.token import Token
from rich import markdown
from rich.console import Console, ConsoleOptions, RenderResult
from rich.markdown import MarkdownElement
from rich.style import Style
from rich.syntax import ANSISyntaxTheme, Syntax
from rich.table import Table
from rich.text import Text
from rich.theme import Theme

from flue_cli.text import safe_text

MOST_COLUMNS = 100
"""Columns of prose, however wide the screen: longer lines are hard to read."""

MOST_CHARACTERS = 100_000
"""Characters beyond which a text is shown as it came: laying it out would take seconds, or minutes."""

# Only what can be read on dark and on light: no yellow, no white, no blue, no background.
_THEME = Theme(
    {
        **{f"markdown.h{level}": "bold" for level in range(1, 7)},
        "markdown.code": "cyan",
        "markdown.block_quote": "italic",
        "markdown.item.bullet": "bold",
        "markdown.item.number": "bold",
        "markdown.link": "none",
        "markdown.link_url": "underline",
        "markdown.hr": "dim",
        "markdown.table.header": "bold",
        "markdown.table.border": "dim",
    }
)
_CODE = ANSISyntaxTheme(
    {
        ("Comment",): Style(dim=True, italic=True),
        ("Keyword",): Style(color="magenta"),
        ("Operator", "Word"): Style(color="magenta"),
        ("Name", "Builtin"): Style(color="cyan"),
        ("Name", "Class"): Style(bold=True),
        ("Name", "Decorator"): Style(color="cyan"),
        ("Name", "Function"): Style(bold=True),
        ("Name", "Tag"): Style(color="magenta"),
        ("Literal", "Number"): Style(color="cyan"),
        ("Literal", "String"): Style(color="green"),
        ("Generic", "Deleted"): Style(color="red"),
        ("Generic", "Inserted"): Style(color="green"),
    }
)

_ESCAPE = re.compile(r"\x1b\[[0-9;]*m")


def render_markdown(text: str, columns: int, *, breaks_code: bool = False) -> str:
    """`text` made safe and laid out for a screen so wide, in whole lines.

    Lines of code are left for the terminal to break, so that they are whole when they are copied; with
    `breaks_code` they are broken as everywhere in lists and quotes.
    Without any escape sequence when the terminal is dumb or no colour is wanted.
    """
    text = safe_text(text)
    if len(text) > MOST_CHARACTERS:
        return _safe_source(text)
    starts = _block_starts(text) or [0]
    ends = [*starts[1:], len(text)]
    blocks = (text[start:end] for start, end in zip(starts, ends, strict=True))
    return "\n".join(_render_block(block, columns, breaks_code) for block in blocks)


def finished_length(text: str) -> int:
    """Return the length of the finished blocks of `text`, the safe beginning of a reply, in characters.

    The last block may still go on, and a line without its end may become anything.
    """
    starts = _block_starts(text[: text.rfind("\n") + 1])
    return starts[-1] if len(starts) > 1 else 0


def _block_starts(text: str) -> list[int]:
    """Return the positions at which the blocks of a document begin."""
    lines = [0, *accumulate(len(line) + 1 for line in text.split("\n"))]
    blocks = _make_parser(inline=False).parse(text)
    return [lines[token.map[0]] for token in blocks if token.level == 0 and token.map]


def _render_block(text: str, columns: int, breaks_code: bool) -> str:
    shown = ""
    with suppress(RecursionError, ValueError, AssertionError):  # what parser and rich make of nonsense
        shown = _print_document(_Markdown(text, breaks_code), max(columns, 1))
    if not shown or not _keeps_words(text, _ESCAPE.sub("", shown)):
        return _safe_source(text)
    return f"{shown}\n"


def _safe_source(text: str) -> str:
    stripped = text.strip("\n")
    return f"{stripped}\n"


def _print_document(document: _Markdown, columns: int) -> str:
    plain = os.environ.get("NO_COLOR") or os.environ.get("TERM") in ("dumb", "unknown")
    page = StringIO()
    console = Console(
        file=page,  # not standard output, which rich would flush
        width=columns if document.has_table else min(columns, MOST_COLUMNS),
        height=1,  # any: without one, rich takes a dumb terminal to have 80 columns
        force_terminal=True,
        color_system=None if plain else "auto",
        highlight=False,
        theme=_THEME,
    )
    console.print(document, crop=False, end="")
    return "\n".join(map(_strip_padding, page.getvalue().split("\n"))).strip("\n")


def _strip_padding(line: str) -> str:
    """The line without the blanks by which rich makes it as long as others."""
    kept = line.rstrip(" ")
    while kept.endswith("m") and _ESCAPE.fullmatch(kept, start := max(kept.rfind("\x1b"), 0)):
        kept = kept[:start].rstrip(" ")
    return f"{kept}\x1b[0m" if "\x1b" in kept else kept


def _keeps_words(text: str, shown: str) -> bool:
    """True if each word of `text` can be seen, even broken at the edge."""
    shown = re.sub(r"[\s▌]+", "", shown)
    place = 0
    for word in re.findall(r"[^\W_]+", text):
        found = shown.find(word, place)
        if found < 0 and (found := shown.find(word)) < 0:
            return False
        place = found
    return True


@cache
def _make_parser(*, inline: bool = True) -> MarkdownIt:
    parser = MarkdownIt("commonmark").enable(["strikethrough", "table"])
    for way in ("normalizeLink", "normalizeLinkText"):
        setattr(parser, way, str)  # addresses as they were written
    parser.disable(["html_block", "html_inline", "entity", "reference"])
    if not inline:
        parser.disable("inline")
    parser.parse("x")  # gets it ready: two threads that used it first would find its rules half there
    return parser


class _Heading(markdown.Heading):
    """A heading, its signs kept: without colour it would be a line like others."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text.assemble("#" * int(self.tag[1]), " ", self.text, style=self.style_name)


class _Code(markdown.CodeBlock):
    """A block of code, coloured, between its fences."""

    @classmethod
    def create(cls, document: markdown.Markdown, token: Token) -> _Code:
        return cls(token, breaks=isinstance(document, _Markdown) and document.breaks_code)

    def __init__(self, token: Token, *, breaks: bool) -> None:
        language = re.match(r"[\w+#.-]*", token.info.strip())
        super().__init__(language.group() if language else "", "")
        self._breaks = breaks
        self._fence, self._info, self._code = token.markup, token.info, token.content

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self._fence:
            code = Syntax("", self.lexer_name or "text", theme=_CODE, tab_size=0).highlight(self._code)
            code.rstrip()
            first = Text.assemble((self._fence + self._info, "dim"))
            lines = [first, *code.split("\n"), Text.assemble((self._fence, "dim"))]
        else:
            lines = [Text(f"    {line}") for line in self._code.rstrip("\n").split("\n")]
        if self._breaks or options.max_width < console.width:
            yield Text("\n", overflow="fold").join(lines)
            return
        for line in lines:  # not broken, nor its tabs made blanks: it is copied as it was written
            yield from line.render(console, end="\n")


class _Rule(markdown.HorizontalRule):
    new_line = True

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield Text("-" * min(options.max_width, 3), "dim")


class _Table(markdown.TableElement):
    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        for table in super().__rich_console__(console, options):
            if isinstance(table, Table):
                table.show_edge = False  # of blank lines
            yield table


class _List(markdown.ListElement):
    """A list whose numbers are those that were written."""

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        if self.list_type == "bullet_list_open":
            yield from super().__rich_console__(console, options)
            return
        widest = max(int(item.number) for item in self.items if isinstance(item, _Item))
        for item in self.items:
            if isinstance(item, _Item):
                yield from item.render_number(console, options, int(item.number), widest)


class _Item(markdown.ListItem):
    @classmethod
    def create(cls, document: markdown.Markdown, token: Token) -> _Item:
        return cls(token.info)

    def __init__(self, number: str) -> None:
        super().__init__()
        self.number = number or "0"


class _Markdown(markdown.Markdown):
    """rich's, with our reading of the text and our elements."""

    elements: ClassVar[dict[str, type[MarkdownElement]]] = {
        **markdown.Markdown.elements,
        "heading_open": _Heading,
        "fence": _Code,
        "code_block": _Code,
        "hr": _Rule,
        "table_open": _Table,
        "ordered_list_open": _List,
        "list_item_open": _Item,
    }

    def __init__(self, text: str, breaks_code: bool) -> None:
        super().__init__("", hyperlinks=False)
        self.breaks_code = breaks_code
        self.parsed = _make_parser().parse(text)
        self.has_table = any(token.type == "table_open" for token in self.parsed)
        for token in self.parsed:
            token.children = list(_html_as_text(token.children or ())) or None


def _html_as_text(tokens: Iterable[Token]) -> Iterator[Token]:
    """The tokens of some lines of text: breaks are kept, addresses and pictures put into words."""
    address = ""
    before = ""
    for token in tokens:
        said = token
        match token.type:
            case "link_open":
                address, before = _link_target(token, "href"), ""
                continue
            case "link_close":
                said = Token("text", "", 0, content="" if before == address else f" ({address})")
            case "image":
                said = Token("text", "", 0, content=f"![{token.content}]({_link_target(token, 'src')})")
            case "softbreak":
                token.type = "hardbreak"
        before += said.content
        yield said


def _link_target(token: Token, attribute: str) -> str:
    title = token.attrs.get("title")
    return str(token.attrs[attribute]) + (f' "{title}"' if title else "")
