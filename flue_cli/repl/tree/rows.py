"""The rows of the tree: each turn on one line, fitted to the width of the screen."""

from __future__ import annotations

from collections.abc import Sequence

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.utils import get_cwidth

from flue_cli.repl.cell_width import pad_cells, truncate_cells
from flue_cli.repl.picker.filtered_list import FilteredList
from flue_cli.sessions.tree import TreeTurn
from flue_cli.text import format_turns, safe_line

_MAX_REMARK_PART = 3
"""Greatest part of a row that remarks take, as a divisor of its width."""


def tree_rows(turns: FilteredList[TreeTurn], width: int, height: int) -> list[StyleAndTextTuples]:
    """Draw a line for each turn that fits; the selected one is highlighted."""
    number_width = _number_width(turns.items)
    lines: list[StyleAndTextTuples] = []
    for turn, is_selected in turns.visible_rows(height):
        cells = _row_cells(turn, number_width, width - 2, with_guides=not turns.is_filtered)
        selected = "class:selected " if is_selected else ""
        lines.append(
            [
                (selected, "> " if is_selected else "  "),
                *((selected + style, text) for style, text in cells),
            ]
        )
    return lines


def tree_text(turns: Sequence[TreeTurn], width: int) -> str:
    """Draw the whole tree as plain text, a line for each turn."""
    number_width = _number_width(turns)
    rows = (_row_cells(turn, number_width, width, with_guides=True) for turn in turns)
    return "\n".join("".join(text for _, text in row).rstrip() for row in rows)


def _number_width(turns: Sequence[TreeTurn]) -> int:
    return max(len(str(turn.turn)) for turn in turns)


def _row_cells(turn: TreeTurn, number_width: int, width: int, *, with_guides: bool) -> list[tuple[str, str]]:
    """Return the styled parts of a row: mark and place, label, text, and remarks at the right edge."""
    number = str(turn.turn)
    if turn.guides and with_guides:
        place = " " * (number_width - 1) + turn.guides + number
    else:
        place = number.rjust(number_width)
    label = f"[{safe_line(turn.entry.label)}] " if turn.entry and turn.entry.label else ""
    remarks = truncate_cells(_remarks(turn, with_session=not with_guides), width // _MAX_REMARK_PART)
    room = max(0, width - get_cwidth(remarks) - bool(remarks))
    left = truncate_cells(f"{'* ' if turn.is_head else '  '}{place}  ", room)
    label = truncate_cells(label, room - get_cwidth(left))
    text = pad_cells(_text(turn), room - get_cwidth(left) - get_cwidth(label))
    is_aside = turn.is_undone or bool(turn.guides) or turn.entry is None
    return [
        ("class:head" if turn.is_head else "class:aside", left),
        ("class:label", label),
        ("class:aside" if is_aside else "class:head" if turn.is_head else "", text),
        ("class:aside", f" {remarks}" if remarks else ""),
    ]


def _text(turn: TreeTurn) -> str:
    if turn.entry is None:
        return f"(start; {format_turns(turn.hidden)} not shown)" if turn.hidden else "(start)"
    if turn.entry.kind == "edit":
        return "(data edited)"
    return " ".join(safe_line(turn.entry.prompt).split())


def _remarks(turn: TreeTurn, *, with_session: bool) -> str:
    """Say what became of the turn, whether it is undone, and at the first turn of a fork, its name."""
    if turn.entry is None:
        return ""
    remarks = []
    if turn.entry.kind == "prompt" and turn.entry.outcome != "completed":
        remarks.append(turn.entry.outcome)
    if turn.is_undone:
        remarks.append("undone")
    if turn.starts_fork or (with_session and turn.guides):
        remarks.append(safe_line(turn.session.name))
    return " · ".join(remarks)
