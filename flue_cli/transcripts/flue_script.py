"""A session as a conversation script: `flue test` plays it against the current agent, and compares.

Its clock, seeds and recorded calls are those of the session, so the agent that made it passes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from flue_cli.jsondata.strict import loads
from flue_cli.script_tests.field_values import call_record_error
from flue_cli.script_tests.model import UNCHANGED
from flue_cli.script_tests.writer import format_json_field, format_name_field, format_prompt, format_reply
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.text import safe_line, safe_text
from flue_cli.times import format_iso
from flue_cli.transcripts.export_view import ExportSource, entries


def export(store: ExportSource, head: SessionHead, first: int) -> Iterator[str]:
    """The script: a step for every completed turn and every edit; what did not complete is a comment."""
    yield f"agent: {head.agent}\n{format_name_field('session', head.name)}\n"
    data, next_turn = "{}", 1
    if first > 1:
        data = store.data_at(head, first - 1)
        yield f"\n# Here the session has come to turn {first}. What was said before is left out.\n"
        yield f"{format_json_field('edit', loads(data))}\n"
        next_turn = 2
    for entry in entries(store, head, first, with_data=True):
        if entry.outcome != "completed":
            yield _lost(entry)
            continue
        lines = _edit_lines(entry) if entry.kind == "edit" else _turn_lines(entry, data)
        if entry.turn != next_turn:
            lines.append(f"turn: {entry.turn}")
        yield "\n" + "".join(f"{line}\n" for line in lines)
        data, next_turn = entry.data, entry.turn + 1


def _turn_lines(entry: Entry, before: str) -> list[str]:
    """A prompt with its reply, the data after it (`before` is what they were), and what it started from."""
    lines = [*format_prompt(entry.prompt), *format_reply(entry.reply or "")]
    lines.append(
        f"data: {UNCHANGED}" if entry.data == before else format_json_field("data", loads(entry.data))
    )
    lines.append(f"now: {format_iso(entry.started_at)}")
    seed = entry.meta.get("seed")
    if isinstance(seed, int) and not isinstance(seed, bool) and seed >= 0:
        lines.append(f"seed: {seed}")
    return lines + [format_json_field("call", call) for call in _calls(entry)]


def _calls(entry: Entry) -> list[Any]:
    """The recorded calls that can be answered; `calls` may also be a word of the agent's own meta."""
    calls = entry.meta.get("calls")
    return [call for call in calls if not call_record_error(call)] if isinstance(calls, list) else []


def _edit_lines(entry: Entry) -> list[str]:
    return [format_json_field("edit", loads(entry.data))]


def _lost(entry: Entry) -> str:
    """A turn of which nothing was kept, as a comment."""
    why = f": {safe_line(entry.error.message)}" if entry.error else ""
    prompt = "".join(f"# > {line}\n" for line in safe_text(entry.prompt).split("\n"))
    return f"\n# turn {entry.turn} was not completed ({entry.outcome}){why}\n{prompt}"
