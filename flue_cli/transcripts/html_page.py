"""A conversation as one page to open in a browser, to send, to print.

It fetches nothing and runs nothing: a Content-Security-Policy forbids all but its own style.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Iterator

from flue_cli.agents.api import Message
from flue_cli.jsondata.diff import Change, find_changes
from flue_cli.jsondata.path import format_path
from flue_cli.jsondata.strict import loads
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.stores.rules import outcome_label, partial_reply, partial_reply_label, reply_format
from flue_cli.text import format_turns, safe_line, safe_text
from flue_cli.times import format_iso, to_datetime
from flue_cli.transcripts.export_view import (
    ExportSource,
    entries,
    message_text,
    messages_of,
)
from flue_cli.transcripts.markdown_html import STYLE as MARKDOWN_STYLE
from flue_cli.transcripts.markdown_html import render_markdown

_MOST_CHANGES = 500
"""As many changes of one turn's data are listed; a page with more of them is of no use."""


def export(store: ExportSource, head: SessionHead, first: int) -> Iterator[str]:
    """The page: a part for every turn, which a link to #turn-7 finds."""
    yield _top(store, head)
    before = store.data_at(head, first - 1) if 1 < first <= head.turn else "{}"
    for entry in entries(store, head, first, with_data=True):
        yield from _turn_html(entry, before)
        before = entry.data
    yield "</main>\n<footer>Written by Flue. Times are UTC.</footer>\n</body>\n</html>\n"


def _top(store: ExportSource, head: SessionHead) -> str:
    title = f"{head.agent}/{head.name}"
    origin = store.origin(head)
    about = [
        format_turns(head.turn),
        f"begun {_time(head.created_at)}",
        f"last used {_time(head.updated_at)}",
    ]
    if origin:
        about.append(f"forked from {_line_html(origin.name)} at turn {origin.turn}")
    style = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'"
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="referrer" content="no-referrer">\n<meta name="generator" content="Flue">\n'
        f"<title>{_line_html(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<header>\n"
        f'<h1 dir="auto"><span class="agent">{_line_html(head.agent)}/</span>{_line_html(head.name)}</h1>\n'
        f'<p class="about">{" · ".join(about)}</p>\n</header>\n<main>\n'
    )


def _turn_html(entry: Entry, before: str) -> Iterator[str]:
    kind = "edit" if entry.kind == "edit" else entry.outcome
    place = f"turn-{entry.turn}"
    mark = f'<span class="mark">{_line_html(outcome_label(entry))}</span>' if outcome_label(entry) else ""
    yield (
        f'<article id="{place}" class="{_line_html(kind)}">\n'
        f'<h2><a href="#{place}">{entry.turn}</a> {_time(entry.started_at)} {mark}</h2>\n'
    )
    said = messages_of(entry)
    for number, message in enumerate(said):
        is_between = 0 < number < len(said) - 1 or (number > 0 and entry.outcome != "completed")
        if is_between:
            yield _between(message)
        else:
            yield _message_html(message, is_markdown=number > 0 and reply_format(entry) == "markdown")
    if part := partial_reply(entry):
        yield (
            f'<section class="partial"><h3>assistant · {partial_reply_label(entry)}</h3>'
            f'<p class="text" dir="auto">{_text(part)}</p></section>\n'
        )
    if entry.error:
        why = _text(entry.error.message)
        yield f'<section class="error"><p class="text" dir="auto">{why}</p></section>\n'
    yield from _data_html(before, entry.data)
    yield "</article>\n"


def _message_html(message: Message, *, is_markdown: bool) -> str:
    role = "user" if message.role == "user" else "assistant"
    text = message_text(message)
    laid_out = render_markdown(text) if is_markdown else ""
    body = (
        f'<div class="md" dir="auto">\n{laid_out}</div>'
        if laid_out
        else f'<p class="text" dir="auto">{_text(text)}</p>'
    )
    return f'<section class="{role}"><h3>{_line_html(message.role)}</h3>{body}</section>\n'


def _between(message: Message) -> str:
    """Return a message between prompt and reply, folded: the work behind an answer."""
    return (
        f"<details><summary>{_line_html(message.role)}{_line_html(_tools(message))}</summary>"
        f'<pre dir="auto">{_text(message_text(message))}</pre></details>\n'
    )


def _tools(message: Message) -> str:
    """The names of the tools that a message calls or answers for."""
    calls = message.extra.get("tool_calls")
    functions = (
        [call.get("function") for call in calls if isinstance(call, dict)] if isinstance(calls, list) else []
    )
    names = [function.get("name") for function in functions if isinstance(function, dict)]
    names = names or [message.extra.get("name")]
    found = ", ".join(name for name in names if isinstance(name, str))
    return f" · {found}" if found else ""


def _data_html(before: str, after: str) -> Iterator[str]:
    """Yield the changes of the data in a turn, folded."""
    if before == after:
        return
    made = find_changes(loads(before), loads(after))
    count = "1 change" if len(made) == 1 else f"{len(made)} changes"
    yield f'<details class="data"><summary>data · {count}</summary><pre dir="ltr">'
    for change in made[:_MOST_CHANGES]:
        yield from _change(change)
    if len(made) > _MOST_CHANGES:
        yield f"… and {len(made) - _MOST_CHANGES} more"
    yield "</pre></details>\n"


def _change(change: Change) -> Iterator[str]:
    where = format_path(change.path) or "all of it"
    if not change.added:
        yield f"<del>- {_line_html(f'{where}: {json.dumps(change.before, ensure_ascii=False)}')}</del>"
    if not change.removed:
        yield f"<ins>+ {_line_html(f'{where}: {json.dumps(change.after, ensure_ascii=False)}')}</ins>"


def _time(microseconds: int) -> str:
    return f'<time datetime="{format_iso(microseconds)}">{to_datetime(microseconds):%Y-%m-%d %H:%M}</time>'


def _text(text: str) -> str:
    return html.escape(safe_text(text).removesuffix("\n"))


def _line_html(text: str) -> str:
    return html.escape(safe_line(text))


# Readable in light and dark, on narrow screens and on paper; it fetches no file.
_PAGE_STYLE = """
:root {
  color-scheme: light dark;
  --page: #faf9f7; --card: #ffffff; --ink: #1f2328; --soft: #656d76; --line: #e4e1dc;
  --prompt: #eef3fb; --prompt-line: #4a7bd0; --bad: #b42318; --bad-card: #fdf1f0;
  --edit: #8a5a00; --code: #f4f2ee; --gone: #b42318; --new: #19703a; --link: #2a5db0;
  --keyword: #8b2c8f; --string: #19703a; --number: #0b6b78; --name: #2a5db0;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #16181c; --card: #1e2126; --ink: #e3e5e8; --soft: #9aa3ad; --line: #31363d;
    --prompt: #1f2a3a; --prompt-line: #6d9ee8; --bad: #ff8f84; --bad-card: #331f1f;
    --edit: #e3b341; --code: #272b31; --gone: #ff8f84; --new: #6fce8f; --link: #8ab4f8;
    --keyword: #d7a0e8; --string: #8fd19e; --number: #7fd0dc; --name: #8ab4f8;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main, header, footer { max-width: 50rem; margin: 0 auto; padding: 0 1rem; }
header { padding-top: 2.5rem; padding-bottom: .5rem; }
h1 { margin: 0; font-size: 1.5rem; line-height: 1.25; overflow-wrap: anywhere; }
h1 .agent { color: var(--soft); font-weight: 400; }
.about, footer { color: var(--soft); font-size: .875rem; overflow-wrap: anywhere; }
.about { margin: .35rem 0 0; }
footer { padding-top: 1rem; padding-bottom: 3rem; }
article {
  margin: 1.75rem 0; scroll-margin-top: 1rem; content-visibility: auto;
  contain-intrinsic-size: auto 12rem;
}
article:target h2 a { outline: 2px solid var(--prompt-line); outline-offset: 3px; border-radius: 3px; }
h2 {
  display: flex; flex-wrap: wrap; gap: .1rem .6rem; margin: 0 0 .5rem; font-size: .875rem;
  font-weight: 400; color: var(--soft);
}
h2 a { color: var(--ink); font-weight: 600; text-decoration: none; font-variant-numeric: tabular-nums; }
h2 a:hover { text-decoration: underline; }
.mark { font-weight: 600; color: var(--bad); }
.edit .mark { color: var(--edit); }
section {
  margin: .5rem 0; padding: .7rem 1rem; background: var(--card); border: 1px solid var(--line);
  border-radius: .6rem; overflow: hidden;
}
section.user {
  background: var(--prompt); border-color: transparent; border-left: 3px solid var(--prompt-line);
}
section.partial { background: none; border-style: dashed; color: var(--soft); }
section.error {
  background: var(--bad-card); border-color: transparent; border-left: 3px solid var(--bad);
  color: var(--bad);
}
h3 {
  margin: 0 0 .2rem; font-size: .75rem; font-weight: 600; letter-spacing: .02em; color: var(--soft);
  overflow-wrap: anywhere;
}
.text { margin: 0; white-space: pre-wrap; overflow-wrap: anywhere; tab-size: 4; }
.text:empty::before { content: "(nothing)"; color: var(--soft); }
pre {
  margin: .35rem 0 0; padding: .6rem .75rem; background: var(--code); border-radius: .4rem;
  font: .8125rem/1.5 ui-monospace, "SF Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace;
  white-space: pre-wrap; overflow-wrap: anywhere; tab-size: 4;
}
details {
  margin: .5rem 0; border: 1px solid var(--line); border-radius: .6rem; padding: .45rem 1rem;
  overflow: hidden;
}
summary { cursor: pointer; color: var(--soft); font-size: .875rem; overflow-wrap: anywhere; }
del, ins { display: block; text-decoration: none; }
del { color: var(--gone); }
ins { color: var(--new); }
@media (max-width: 30rem) { body { font-size: 15px; } section { padding: .6rem .75rem; } }
@media print {
  :root {
    color-scheme: light;
    --page: #fff; --card: #fff; --ink: #000; --soft: #444; --line: #bbb;
    --prompt: #f2f2f2; --prompt-line: #666;
    --bad: #900; --bad-card: #fff; --edit: #630; --code: #f6f6f6; --gone: #900; --new: #060;
    --link: #000; --keyword: #000; --string: #333; --number: #000; --name: #000;
  }
  body { font-size: 10.5pt; }
  main, header, footer { max-width: none; padding-left: 0; padding-right: 0; }
  article { content-visibility: visible; }
  h2, h3 { break-after: avoid; }
}
"""
_STYLE = _PAGE_STYLE + MARKDOWN_STYLE
