"""A replayed turn and its recording: as the lines of a unified diff, on a terminal, and as a JSON document.

Only the view for a terminal imports rich, when it is asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flue_cli.jsondata.path import format_path
from flue_cli.render.diff_lines import DiffLine, data_lines, diff_runs
from flue_cli.render.machine_output import as_json
from flue_cli.text import format_turns, safe_line
from flue_cli.transcripts.entry_json import RawJson, object_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from flue_cli.jsondata.diff import Change
    from flue_cli.turns.replay import TurnComparison, TurnOutcome

_MOST_NAMED = 20
"""The most turns that a summary names."""


def difference_lines(turn: TurnComparison) -> Iterator[DiffLine]:
    """Yield the differences of a turn: `-` is the recording, `+` the replay."""
    yield DiffLine("", replay_heading(turn))
    yield from (DiffLine("", line) for line in prompt_lines(turn))
    before, after = (
        outcome_lines(turn.recorded, turn.differing_parts),
        outcome_lines(turn.now, turn.differing_parts),
    )
    for sign, start, stop in diff_runs(before, after):
        yield from (DiffLine(sign, text) for text in (after if sign == "+" else before)[start:stop])
    yield from data_lines(turn.data)


def difference_view(turn: TurnComparison) -> RenderableType:
    """Return the differences of a turn for a terminal, ending in a blank line."""
    from rich.console import Group
    from rich.text import Text

    from flue_cli.render.diff_table import (
        add_text_rows,
        diff_line_text,
        is_terminal_narrow,
        side_by_side_table,
    )

    if is_terminal_narrow():
        return diff_line_text(difference_lines(turn), same="dim")
    above = Text(replay_heading(turn), "bold yellow")
    above.append("\n" + "\n".join(prompt_lines(turn)), "bold")
    table = side_by_side_table("recorded", "now")
    recorded, now = (
        outcome_lines(turn.recorded, turn.differing_parts),
        outcome_lines(turn.now, turn.differing_parts),
    )
    add_text_rows(table, recorded, now, same="dim")
    for change in turn.data:
        table.add_row(_value_text(change, "-"), _value_text(change, "+"))
    return Group(above, table, "") if table.row_count else Group(above, "")


def replay_heading(turn: TurnComparison) -> str:
    """Return the heading of a turn: `[4] reply and data differ`."""
    words = []
    if parts := [part for part in turn.differing_parts if part in ("reply", "messages", "data")]:
        words.append(f"{' and '.join(parts)} differ{'' if len(parts) > 1 or parts == ['messages'] else 's'}")
    if turn.now.error:
        words.append("fails now")
    if turn.missing_calls:
        names = ", ".join(f"'{safe_line(name)}'" for name in dict.fromkeys(turn.missing_calls))
        words.append(f"calls {names}, and that was not recorded")
    return f"[{turn.turn}] {'; '.join(words)}"


def prompt_lines(turn: TurnComparison) -> list[str]:
    """Return the lines of the prompt behind a mark; safe."""
    return [safe_line(line) for line in ("> " + turn.prompt.replace("\n", "\n  ")).split("\n")]


def outcome_lines(side: TurnOutcome, what: Sequence[str]) -> list[str]:
    """Return the lines of one side that matter if the fields `what` differ; safe."""
    lines = []
    if "messages" in what:
        lines += [as_json(message.as_dict()) for message in side.messages]
    if side.error:
        lines.append(f"({side.error.sentence()})")
    elif side.reply is not None and ("reply" in what or "error" in what):
        lines += side.reply.removesuffix("\n").split("\n")
    return [safe_line(line) for line in lines]


def replay_summary(count: int, differing: Sequence[int], skipped: Sequence[int]) -> str:
    """Return `200 turns replayed, 3 differ (turns 4, 17, 18); 2 were skipped`."""
    text = f"{format_turns(count)} replayed, "
    if differing:
        named = ", ".join(map(str, differing[:_MOST_NAMED])) + (", …" if len(differing) > _MOST_NAMED else "")
        verb, noun = ("differs", "turn") if len(differing) == 1 else ("differ", "turns")
        text += f"{len(differing)} {verb} ({noun} {named})"
    else:
        text += "none differs"
    if skipped:
        text += f"; {len(skipped)} {'was' if len(skipped) == 1 else 'were'} skipped"
    return text


def replayed_fields(turn: TurnComparison) -> dict[str, Any]:
    """Return a replayed turn as `--json` gives it."""
    error = turn.now.error
    problem = {"type": error.type, "message": error.message} if error else None
    return {
        "turn": turn.turn,
        "prompt": turn.prompt,
        "differs": bool(turn.differing_parts),
        "recorded": RawJson(object_of(_outcome_document(turn.recorded))),
        "now": RawJson(object_of(_outcome_document(turn.now) | {"error": problem})),
        "missing": list(turn.missing_calls),
    }


def _outcome_document(side: TurnOutcome) -> dict[str, Any]:
    return {
        "reply": side.reply,
        "messages": [message.as_dict() for message in side.messages],
        "data": RawJson(side.data),
    }


def _value_text(change: Change, sign: str) -> Text:
    """Return one side of a change of the data, behind its path."""
    from rich.text import Text

    from flue_cli.render.diff_table import DIFF_STYLES

    value = change.before if sign == "-" else change.after
    is_there = not (change.added if sign == "-" else change.removed)
    text = Text(
        f"data.{format_path(change.path)}: ".replace("data.:", "data:").replace("data.[", "data["), "cyan"
    )
    text.append(safe_line(as_json(value)) if is_there else "nothing", DIFF_STYLES[sign])
    return text
