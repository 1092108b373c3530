"""Markdown as a part of a page: nothing in it runs, loads, or has a style of its own.

HTML in the source is text, an image is a link to it, and only web pages and mail addresses are linked.
"""

from __future__ import annotations

import html
import re
from functools import cache
from typing import TYPE_CHECKING, Any

from flue_cli.text import safe_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from markdown_it import MarkdownIt
    from markdown_it.token import Token

MOST_CHARACTERS = 100_000
"""Characters beyond which a text, or a block of code, is not laid out: it could take minutes."""

FIRST_HEADING = 4
"""The level that a reply's first level of headings has on the page, below its title, turns and roles."""

_LINK = re.compile(r"(?:https?://|mailto:)", re.IGNORECASE)


def render_markdown(text: str) -> str:
    """Return `text`, made safe, as elements of a page; "" if it is too long or cannot be laid out."""
    text = safe_text(text)
    if len(text) > MOST_CHARACTERS:
        return ""
    parser = _make_parser()
    try:
        tokens = parser.parse(text)
        _settle_attributes(tokens)
        return str(parser.renderer.render(tokens, parser.options, {}))
    except (RecursionError, ValueError, AssertionError, IndexError):  # what the parser makes of nonsense
        return ""


def _settle_attributes(tokens: Sequence[Token]) -> None:
    """Move headings below those of the page, and name the sides of a table's cells by classes."""
    for token in tokens:
        if token.type in ("heading_open", "heading_close"):
            token.tag = f"h{min(6, int(token.tag[1]) + FIRST_HEADING - 1)}"
        elif token.type in ("th_open", "td_open"):
            # A style attribute is not allowed by the page's policy.
            style = str(token.attrs.pop("style", ""))
            if style:
                token.attrSet("class", style.rpartition(":")[2])
        elif token.type == "link_open":
            token.attrSet("rel", "noopener noreferrer nofollow")
        if token.children:
            _settle_attributes(token.children)


@cache
def _make_parser() -> MarkdownIt:
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False, "xhtmlOut": False}).enable(["strikethrough", "table"])
    for name, function in (("validateLink", _is_link), ("normalizeLinkText", str)):
        setattr(parser, name, function)
    for name, rule in (("image", _image), ("fence", _code_block), ("code_block", _code_block)):
        parser.add_render_rule(name, rule)
    parser.parse("x")
    return parser


def _is_link(url: str) -> bool:
    return _LINK.match(url) is not None


def _image(_renderer: object, tokens: Sequence[Token], index: int, *_: object) -> str:
    """Return a link in place of an image: the page loads nothing."""
    token = tokens[index]
    source, label = str(token.attrs.get("src", "")), token.content or "image"
    if not _is_link(source):
        return html.escape(label)
    return f'<a href="{html.escape(source)}" rel="noopener noreferrer nofollow">{html.escape(label)}</a>'


def _code_block(_renderer: object, tokens: Sequence[Token], index: int, *_: object) -> str:
    token = tokens[index]
    language = token.info.split()[0] if token.info.split() else ""
    return f'<pre dir="ltr"><code>{_highlight(token.content, language)}</code></pre>\n'


def _highlight(code: str, language: str) -> str:
    """Return code in HTML, its parts in classes that STYLE has colours for if the language is known."""
    if not language or len(code) > MOST_CHARACTERS:
        return html.escape(code)
    from pygments import highlight
    from pygments.formatters.html import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer: Any = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except (ClassNotFound, ValueError):
        return html.escape(code)
    return str(highlight(code, lexer, HtmlFormatter(nowrap=True, classprefix="c-"))) or html.escape(code)


# The classes are those of Pygments with c- before them: k… keywords, s… strings, m… numbers, c… comments.
STYLE = """
.md { overflow-wrap: anywhere; }
.md > :first-child { margin-top: 0; }
.md > :last-child { margin-bottom: 0; }
.md p, .md ul, .md ol, .md blockquote, .md table { margin: 0 0 .75rem; }
.md h4, .md h5, .md h6 { margin: 1.1rem 0 .5rem; line-height: 1.3; font-size: 1rem; }
.md h4 { font-size: 1.2rem; }
.md h5 { font-size: 1.05rem; }
.md ul, .md ol { padding-left: 1.6rem; }
.md li > p { margin-bottom: .35rem; }
.md li > ul, .md li > ol { margin-bottom: 0; }
.md a { color: var(--link); }
.md blockquote { padding-left: .9rem; border-left: 3px solid var(--line); color: var(--soft); }
.md hr { border: 0; border-top: 1px solid var(--line); margin: 1rem 0; }
.md table { display: block; overflow-x: auto; border-collapse: collapse; overflow-wrap: normal; }
.md th, .md td { border: 1px solid var(--line); padding: .25rem .6rem; text-align: left; }
.md td { vertical-align: top; }
.md th { background: var(--code); font-weight: 600; }
.md .center { text-align: center; }
.md .right { text-align: right; }
.md pre { margin: 0 0 .75rem; }
.md code { font: .875em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace; }
.md :not(pre) > code { padding: .1em .3em; background: var(--code); border-radius: .25rem; }
.md pre code { font-size: 1em; }
.md [class^="c-c"] { color: var(--soft); font-style: italic; }
.md [class^="c-k"], .md .c-ow { color: var(--keyword); }
.md [class^="c-s"] { color: var(--string); }
.md [class^="c-m"], .md .c-il { color: var(--number); }
.md .c-nf, .md .c-fm, .md .c-nc, .md .c-nd, .md .c-nt { color: var(--name); }
.md .c-gd { color: var(--gone); }
.md .c-gi { color: var(--new); }
"""
