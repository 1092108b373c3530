"""Plain forms for pipes and programs: JSON documents and tab-separated lines. Imports no rich."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from flue_cli.text import safe_line
from flue_cli.times import timestamp

if TYPE_CHECKING:
    from flue_cli.agents import AgentSource
    from flue_cli.agents.reading import Description
    from flue_cli.stores.contract import Entry, Lease, Summary
    from flue_cli.turn import Turn


def as_json(value: Any, *, indent: int | None = None) -> str:
    """JSON in ASCII, so that no terminal, locale or pipe can spoil it."""
    return json.dumps(value, indent=indent)


def rows(lines: Iterable[Sequence[object]]) -> str:
    """Tab-separated lines without a heading, every field on one line and made safe."""
    return "".join("\t".join(safe_line(str(field)) for field in line) + "\n" for line in lines)


def turn_document(turn: Turn) -> dict[str, Any]:
    """A turn as `--json` gives it."""
    document: dict[str, Any] = {
        "agent": turn.agent,
        "session": turn.session,
        "turn": turn.turn,
        "outcome": turn.outcome,
        "prompt": turn.prompt,
        "reply": turn.reply,
        "data": json.loads(turn.data),
        "version": turn.version,
        "key": turn.key,
        "replayed": turn.replayed,
    }
    if turn.error:
        document["error"] = {"type": turn.error.type, "message": turn.error.message}
    return document


def started_event(lease: Lease) -> dict[str, Any]:
    """The first event of a turn, when its prompt is durable."""
    return {
        "type": "turn.started",
        "agent": lease.head.agent,
        "session": lease.head.name,
        "turn": lease.turn,
        "prompt": lease.prompt,
        "key": lease.key,
    }


def delta_event(text: str) -> dict[str, Any]:
    """A part of the reply."""
    return {"type": "reply.delta", "text": text}


def ended_event(turn: Turn) -> dict[str, Any]:
    """The last event of a turn: its document, and `turn.completed`, `turn.cancelled` or `turn.failed`."""
    known = turn.outcome if turn.outcome in ("completed", "cancelled") else "failed"
    return {"type": f"turn.{known}", **turn_document(turn)}


def summary_document(summary: Summary) -> dict[str, Any]:
    """A session in `sessions list --json`."""
    return {
        "agent": summary.agent,
        "session": summary.name,
        "turns": summary.turns,
        "created_at": timestamp(summary.created_at),
        "updated_at": timestamp(summary.updated_at),
        "preview": summary.preview,
    }


def agent_document(source: AgentSource, description: Description) -> dict[str, Any]:
    """An agent in `agents list --json`; `problem` is null unless it is broken."""
    return {
        "name": source.name,
        "description": description.summary,
        "origin": source.origin,
        "path": source.path,
        "problem": description.problem or None,
    }


def summaries(found: Iterable[Summary]) -> str:
    """Sessions as tab-separated lines: agent, session, turns, created_at, updated_at, preview."""
    return rows(
        (
            summary.agent,
            summary.name,
            summary.turns,
            timestamp(summary.created_at),
            timestamp(summary.updated_at),
            summary.preview,
        )
        for summary in found
    )


def exchange(entry: Entry) -> str:
    """One turn as text, ending in a newline."""
    mark = "" if entry.outcome == "completed" else f" ({entry.outcome})"
    prompt = entry.prompt.replace("\n", "\n  ")
    text = f"[{entry.turn}]{mark}\n> {prompt}\n"
    if entry.reply is not None:
        text += entry.reply if entry.reply.endswith("\n") else entry.reply + "\n"
    elif entry.error:
        text += f"({safe_line(entry.error.message)})\n"
    return text


def agent_rows(found: Iterable[tuple[AgentSource, Description]]) -> str:
    """Agents as tab-separated lines: name, description or what is broken, where from, path."""
    return rows(
        (source.name, about.problem_or_summary, source.origin, source.path) for source, about in found
    )


def agent_page(source: AgentSource, about: Description) -> str:
    """An agent's name, place and docstring."""
    text = f"{source.name}\n{source.path} ({source.origin})\n"
    if about.problem:
        text += f"\nbroken: {about.problem}\n"
    return f"{text}\n{about.docstring}\n" if about.docstring else text
