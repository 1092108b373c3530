"""A conversation as Markdown: to read, to paste into an issue, to keep beside code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flue_cli.stores.records import Entry, SessionHead
from flue_cli.stores.rules import outcome_label, partial_reply, partial_reply_label
from flue_cli.text import markdown_fence, safe_line, safe_text
from flue_cli.times import to_datetime
from flue_cli.transcripts.export_view import ExportSource, entries, message_text, messages_of


def export(store: ExportSource, head: SessionHead, first: int) -> Iterator[str]:
    """A heading for every turn; what was said stands in fences, so that none of it is interpreted."""
    yield f"# {_escape_markdown(head.agent)}/{_escape_markdown(head.name)}\n"
    for entry in entries(store, head, first):
        yield from _turn_markdown(entry)


def _turn_markdown(entry: Entry) -> Iterator[str]:
    mark = f" · {outcome_label(entry)}" if outcome_label(entry) else ""
    yield f"\n## {entry.turn} · {to_datetime(entry.started_at):%Y-%m-%d %H:%M} UTC{mark}\n"
    for message in messages_of(entry):
        yield f"\n**{_escape_markdown(message.role)}**\n\n{fenced(message_text(message))}"
    if part := partial_reply(entry):
        yield f"\n**assistant** ({partial_reply_label(entry)})\n\n{fenced(part)}"
    if entry.error:
        yield f"\n*{_escape_markdown(entry.error.message)}*\n"


def fenced(text: str) -> str:
    """`text` as a code block."""
    text = safe_text(text)
    fence = markdown_fence(text)
    return f"{fence}text\n{text.removesuffix(chr(10))}\n{fence}\n"


def _escape_markdown(text: str) -> str:
    """A line of text in which Markdown sees nothing but text (CommonMark 2.4)."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~&$])", r"\\\1", safe_line(text))
