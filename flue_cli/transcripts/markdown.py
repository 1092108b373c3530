"""A conversation as Markdown: to read, to paste into an issue, to keep beside code."""

from __future__ import annotations

import re
from collections.abc import Iterator

from flue_cli.stores.records import Entry, SessionHead
from flue_cli.stores.rules import outcome_label, partial_reply, partial_reply_label, reply_format
from flue_cli.text import safe_line
from flue_cli.times import to_datetime
from flue_cli.transcripts.export_view import ExportSource, entries, message_text, messages_of
from flue_cli.transcripts.markdown_source import embed_markdown, fenced

_LEVELS = 2
"""Levels of headings that the document has itself."""


def export(store: ExportSource, head: SessionHead, first: int) -> Iterator[str]:
    """A heading for every turn. What was said stands in fences, so that none of it is interpreted.

    Only a reply in Markdown stands there as it is, its headings below those of the turns.
    """
    yield f"# {_escape_markdown(head.agent)}/{_escape_markdown(head.name)}\n"
    for entry in entries(store, head, first):
        yield from _turn_markdown(entry)


def _turn_markdown(entry: Entry) -> Iterator[str]:
    mark = f" · {outcome_label(entry)}" if outcome_label(entry) else ""
    yield f"\n## {entry.turn} · {to_datetime(entry.started_at):%Y-%m-%d %H:%M} UTC{mark}\n"
    messages = messages_of(entry)
    for number, message in enumerate(messages, 1):
        is_markdown = (
            number == len(messages) and entry.reply is not None and reply_format(entry) == "markdown"
        )
        text = message_text(message)
        shown = embed_markdown(text, _LEVELS) if is_markdown and text.strip() else fenced(text)
        yield f"\n**{_escape_markdown(message.role)}**\n\n{shown}"
    if part := partial_reply(entry):
        yield f"\n**assistant** ({partial_reply_label(entry)})\n\n{fenced(part)}"
    if entry.error:
        yield f"\n*{_escape_markdown(entry.error.message)}*\n"


def _escape_markdown(text: str) -> str:
    """A line of text in which Markdown sees nothing but text (CommonMark 2.4)."""
    return re.sub(r"([\\`*_{}\[\]()<>#+\-.!|~&$])", r"\\\1", safe_line(text))
