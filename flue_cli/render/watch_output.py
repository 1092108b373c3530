"""The events of a session for a person or a program that follows it. Imports no rich."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from typing import Any

from flue_cli.render import machine_output
from flue_cli.render.script_report import StyledPiece, show_pieces
from flue_cli.render.streams import Output
from flue_cli.render.tool_lines import tool_lines
from flue_cli.sessions.follow import SessionEvent, SessionRenamed, TurnBegan, TurnSettled, TurnsUndone
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.stores.rules import outcome_label, partial_reply, partial_reply_label
from flue_cli.text import format_turn_numbers, safe_line, safe_text, session_label
from flue_cli.times import format_local_time
from flue_cli.transcripts.entry_json import SETTLED, STARTED, entry_document


class WatchText:
    """Turns to read, one after another: on a terminal also the prompt that runs, before its reply."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._is_first = True
        self._open: tuple[int, int] | None = None  # the turn whose prompt is the last thing on the screen

    def __call__(self, what: SessionEvent) -> None:
        """Show one happening; raises as Output.result."""
        if isinstance(what, SessionRenamed):
            self._output.note(f"it is {session_label(what.head)} now")
            return
        pieces = list(self._on_terminal(what) if self._output.is_terminal else _event_pieces(what))
        if not pieces:
            return
        goes_on = isinstance(what, TurnSettled) and self._is_open(what.entry)
        if not self._is_first and not goes_on:
            pieces.insert(0, ("\n", ""))
        self._is_first = False
        self._open = (what.entry.turn, what.entry.started_at) if isinstance(what, TurnBegan) else None
        show_pieces(self._output, pieces)

    def _is_open(self, entry: Entry) -> bool:
        return self._open == (entry.turn, entry.started_at)

    def _on_terminal(self, what: TurnBegan | TurnSettled | TurnsUndone) -> Iterator[StyledPiece]:
        if isinstance(what, TurnsUndone):
            yield f"{_undone_text(what)}\n", "yellow"
        elif isinstance(what, TurnBegan):
            yield from _prompt_pieces_of(what.entry)
        else:
            if not self._is_open(what.entry):
                yield from _prompt_pieces_of(what.entry)
            yield from _outcome_pieces(what.entry, self._output.has_unicode)


class WatchJson:
    """Events as JSON, one a line; those of turns are much like `--output-format stream-json`."""

    def __init__(self, output: Output, head: SessionHead) -> None:
        self._output = output
        self._head = head

    def __call__(self, what: SessionEvent) -> None:
        """Write one happening; raises as Output.result."""
        event = watch_event(what, self._head)
        if isinstance(what, SessionRenamed):
            self._head = what.head
        self._output.result(machine_output.as_json(event))


def watch_event(what: SessionEvent, head: SessionHead) -> dict[str, Any]:
    """Return the event of a session, which had the name in `head` before it."""
    if isinstance(what, SessionRenamed):
        document: dict[str, Any] = {"before": head.name}
        head, kind = what.head, "session.renamed"
    elif isinstance(what, TurnsUndone):
        document, kind = what._asdict(), "turns.undone"
    else:
        shape = SETTLED if isinstance(what, TurnSettled) else STARTED
        document, kind = entry_document(what.entry, shape), _event_kind(what)
    return {"type": kind, "agent": head.agent, "session": head.name} | document


def _event_pieces(what: TurnBegan | TurnSettled | TurnsUndone) -> Iterator[StyledPiece]:
    if isinstance(what, TurnsUndone):
        yield f"({_undone_text(what)})\n", ""
    elif isinstance(what, TurnSettled):
        yield machine_output.plain_turn(what.entry), ""


def _undone_text(what: TurnsUndone) -> str:
    which = range(what.first, what.last + 1)
    return f"{format_turn_numbers(which)} {'was' if len(which) == 1 else 'were'} undone"


def _prompt_pieces_of(entry: Entry) -> Iterator[StyledPiece]:
    yield f"[{entry.turn}] {format_local_time(entry.started_at)}\n", "dim"
    if entry.kind == "prompt":
        yield "> " + safe_text(entry.prompt).replace("\n", "\n  ") + "\n", "bold"


def _outcome_pieces(entry: Entry, has_unicode: bool) -> Iterator[StyledPiece]:
    for line in tool_lines(entry.messages, shutil.get_terminal_size().columns - 1, has_unicode=has_unicode):
        yield f"{line}\n", "dim"
    if part := partial_reply(entry):
        yield f"{partial_reply_label(entry)}:\n{safe_text(part).rstrip(chr(10))}\n", "dim"
    if mark := outcome_label(entry):
        why = f": {safe_line(entry.error.message)}" if entry.error and entry.error.message != mark else ""
        yield f"{mark}{why}\n", "bold" if entry.outcome in ("completed", "cancelled") else "bold red"
    if entry.reply is not None:
        yield safe_text(entry.reply).rstrip("\n") + "\n", ""


def _event_kind(what: TurnBegan | TurnSettled) -> str:
    if isinstance(what, TurnBegan):
        return "turn.started"
    if what.entry.kind == "edit":
        return "data.edited"
    return f"turn.{what.entry.outcome if what.entry.outcome in ('completed', 'cancelled') else 'failed'}"
