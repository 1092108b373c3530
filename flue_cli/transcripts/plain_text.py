"""A conversation as plain text: who said what, one after another."""

from __future__ import annotations

from collections.abc import Iterator

from flue_cli.stores.records import SessionHead
from flue_cli.stores.rules import outcome_label, partial_reply, partial_reply_label
from flue_cli.text import safe_line, safe_text, session_label
from flue_cli.times import to_datetime
from flue_cli.transcripts.export_view import ExportSource, entries, message_text, messages_of


def export(store: ExportSource, head: SessionHead, first: int) -> Iterator[str]:
    """Each turn's number and time, then its messages, the role before each."""
    yield f"{session_label(head)}\n"
    for entry in entries(store, head, first):
        mark = f" ({outcome_label(entry)})" if outcome_label(entry) else ""
        yield f"\n[{entry.turn}] {to_datetime(entry.started_at):%Y-%m-%d %H:%M} UTC{mark}\n"
        for message in messages_of(entry):
            yield f"{safe_line(message.role)}: {_indented(message_text(message))}\n"
        if part := partial_reply(entry):
            yield f"assistant ({partial_reply_label(entry)}): {_indented(part)}\n"
        if entry.error:
            yield f"error: {safe_line(entry.error.message)}\n"


def _indented(text: str) -> str:
    return safe_text(text).rstrip("\n").replace("\n", "\n  ")
