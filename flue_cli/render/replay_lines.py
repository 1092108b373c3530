"""A replayed turn in lines, as a unified diff, and as a JSON document. Imports no rich."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from flue_cli.render.plain import as_json
from flue_cli.render.unified import Line, data_lines, stretches
from flue_cli.text import safe_line, turns
from flue_cli.transcripts.entry_json import RawJson, object_of

if TYPE_CHECKING:
    from flue_cli.replay import Compared, Said

_NAMED = 20
"""How many turns a summary names."""


def difference_lines(turn: Compared) -> Iterator[Line]:
    """What differs in a turn: `-` as it was recorded, `+` as it came now."""
    yield Line("", heading(turn))
    yield from (Line("", line) for line in prompt_lines(turn))
    before, after = said(turn.recorded, turn.what), said(turn.now, turn.what)
    for sign, start, stop in stretches(before, after):
        yield from (Line(sign, text) for text in (after if sign == "+" else before)[start:stop])
    yield from data_lines(turn.data)


def heading(turn: Compared) -> str:
    """The number of a turn, and what of it differs: `[4] reply and data differ`."""
    words = []
    if parts := [part for part in turn.what if part in ("reply", "messages", "data")]:
        words.append(f"{' and '.join(parts)} differ{'' if len(parts) > 1 or parts == ['messages'] else 's'}")
    if turn.now.error:
        words.append("fails now")
    if turn.missing:
        names = ", ".join(f"'{safe_line(name)}'" for name in dict.fromkeys(turn.missing))
        words.append(f"calls {names}, and that was not recorded")
    return f"[{turn.turn}] {'; '.join(words)}"


def prompt_lines(turn: Compared) -> list[str]:
    """The prompt behind a mark, safe."""
    return [safe_line(line) for line in ("> " + turn.prompt.replace("\n", "\n  ")).split("\n")]


def said(side: Said, what: Sequence[str]) -> list[str]:
    """The lines of one side that are worth comparing where `what` differs; safe."""
    lines = []
    if "messages" in what:
        lines += [as_json(message.as_dict()) for message in side.messages]
    if side.error:
        lines.append(f"({side.error.message})")
    elif side.reply is not None and ("reply" in what or "error" in what):
        lines += side.reply.removesuffix("\n").split("\n")
    return [safe_line(line) for line in lines]


def summary(count: int, differing: Sequence[int], skipped: Sequence[int]) -> str:
    """`200 turns replayed, 3 differ (turns 4, 17, 18); 2 were skipped`."""
    text = f"{turns(count)} replayed, "
    if differing:
        named = ", ".join(map(str, differing[:_NAMED])) + (", …" if len(differing) > _NAMED else "")
        verb, noun = ("differs", "turn") if len(differing) == 1 else ("differ", "turns")
        text += f"{len(differing)} {verb} ({noun} {named})"
    else:
        text += "none differs"
    if skipped:
        text += f"; {len(skipped)} {'was' if len(skipped) == 1 else 'were'} skipped"
    return text


def replayed_fields(turn: Compared) -> dict[str, Any]:
    """A replayed turn as `--json` gives it."""
    error = turn.now.error
    problem = {"type": error.type, "message": error.message} if error else None
    return {
        "turn": turn.turn,
        "prompt": turn.prompt,
        "differs": bool(turn.what),
        "recorded": RawJson(object_of(_side(turn.recorded))),
        "now": RawJson(object_of(_side(turn.now) | {"error": problem})),
        "missing": list(turn.missing),
    }


def _side(side: Said) -> dict[str, Any]:
    return {
        "reply": side.reply,
        "messages": [message.as_dict() for message in side.messages],
        "data": RawJson(side.data),
    }
