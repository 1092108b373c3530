"""Plain forms for pipes and programs: JSON documents and tab-separated lines. Imports no rich."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from flue_cli.render.tool_lines import tool_lines
from flue_cli.text import safe_line
from flue_cli.times import format_iso

if TYPE_CHECKING:
    from flue_cli.agents.description import Description
    from flue_cli.agents.search_path import AgentSource
    from flue_cli.stores.records import Entry, ForkOrigin, Lease, SessionSummary
    from flue_cli.turns.runner import Turn


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON in ASCII, so that no terminal, locale or pipe can spoil it."""
    return json.dumps(value, indent=indent).replace("\x7f", "\\u007f")


def tab_separated(lines: Iterable[Sequence[object]]) -> str:
    """Tab-separated lines without a heading, every field on one line and made safe."""
    return "".join("\t".join(safe_line(str(field)) for field in line) + "\n" for line in lines)


def turn_document(turn: Turn) -> dict[str, Any]:
    """Return a turn as `--json` gives it."""
    from flue_cli.transcripts.entry_json import ANSWERED, entry_document

    return entry_document(turn, ANSWERED)


def started_event(agent: str, session: str, turn: Turn | Lease) -> dict[str, Any]:
    """The first event of a turn, when its prompt is durable."""
    from flue_cli.transcripts.entry_json import STARTED, entry_document

    return {"type": "turn.started", "agent": agent, "session": session} | entry_document(turn, STARTED)


def delta_event(text: str) -> dict[str, Any]:
    """A part of the reply."""
    return {"type": "reply.delta", "text": text}


def ended_event(turn: Turn) -> dict[str, Any]:
    """The last event of a turn: its document, and `turn.completed`, `turn.cancelled` or `turn.failed`."""
    known = turn.outcome if turn.outcome in ("completed", "cancelled") else "failed"
    return {"type": f"turn.{known}", **turn_document(turn)}


def summary_document(summary: SessionSummary, *, with_origin: bool = False) -> dict[str, Any]:
    """A session in `sessions list --json`; with `--tree` also what it was forked from, or null."""
    document = {
        "agent": summary.agent,
        "session": summary.name,
        "turns": summary.turns,
        "created_at": format_iso(summary.created_at),
        "updated_at": format_iso(summary.updated_at),
        "preview": summary.preview,
    }
    return (
        document | {"forked_from": origin_document(summary.agent, summary.origin)}
        if with_origin
        else document
    )


def origin_document(agent: str, origin: ForkOrigin | None) -> dict[str, Any] | None:
    """Return the origin of a fork, which has its parent's agent; None if it is not a fork."""
    return {"agent": agent, "session": origin.name, "turn": origin.turn} if origin else None


def agent_document(source: AgentSource, description: Description) -> dict[str, Any]:
    """An agent in `agents list --json`; `problem` is null unless it is broken."""
    return {
        "name": source.name,
        "description": description.summary,
        "origin": source.origin,
        "path": source.path,
        "problem": description.problem or None,
    }


def summary_rows(found: Iterable[SessionSummary], *, with_origin: bool = False) -> str:
    """Sessions as tab-separated lines: agent, session, turns, created_at, updated_at, preview.

    With `--tree` also the session and the turn that each was forked from, empty if it was not.
    """
    return tab_separated(
        (
            summary.agent,
            summary.name,
            summary.turns,
            format_iso(summary.created_at),
            format_iso(summary.updated_at),
            summary.preview,
            *(_origin_fields(summary.origin) if with_origin else ()),
        )
        for summary in found
    )


def _origin_fields(origin: ForkOrigin | None) -> tuple[object, object]:
    return (origin.name, origin.turn) if origin else ("", "")


def plain_turn(entry: Entry) -> str:
    """One turn as text, ending in a newline."""
    from flue_cli.stores.rules import outcome_label, partial_reply, partial_reply_label

    mark = outcome_label(entry)
    label = f" [{safe_line(entry.label)}]" if entry.label else ""
    text = f"[{entry.turn}]{label} ({mark})\n" if mark else f"[{entry.turn}]{label}\n"
    if entry.kind == "prompt":
        text += "> " + entry.prompt.replace("\n", "\n  ") + "\n"
    text += "".join(f"{line}\n" for line in tool_lines(entry.messages))
    if part := partial_reply(entry):
        text += f"({partial_reply_label(entry)}:)\n{part.removesuffix(chr(10))}\n"
    if entry.reply is not None:
        text += entry.reply if entry.reply.endswith("\n") else entry.reply + "\n"
    elif entry.error:
        text += f"({safe_line(entry.error.message)})\n"
    return text


def agent_rows(found: Iterable[tuple[AgentSource, Description]]) -> str:
    """Agents as tab-separated lines: name, description or what is broken, source, path."""
    return tab_separated(
        (source.name, about.problem_or_summary, source.origin, source.path) for source, about in found
    )


def agent_page(source: AgentSource, about: Description) -> str:
    """An agent's name, place and docstring."""
    text = f"{source.name}\n{source.path} ({source.origin})\n"
    if about.problem:
        text += f"\nbroken: {about.problem}\n"
    return f"{text}\n{about.docstring}\n" if about.docstring else text
