"""Rows and preview of the session picker, fitted to the screen's width."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout.controls import UIContent, UIControl
from prompt_toolkit.utils import get_cwidth

from flue_cli import times
from flue_cli.repl.cell_width import fit_prefix, pad_cells
from flue_cli.repl.picker.session_list import SessionList
from flue_cli.stores.records import Entry, SessionSummary
from flue_cli.stores.rules import outcome_label
from flue_cli.text import safe_line, safe_text
from flue_cli.times import format_ago, format_local_time

_PREVIEW_CHARACTERS = 4000
"""Characters of a prompt or reply that the preview reads."""


DrawLines = Callable[[int, int], list[StyleAndTextTuples]]
"""`(width, height)` to at most `height` lines of the screen."""


class SizedControl(UIControl):
    """A part of the screen whose lines are drawn anew for its present size."""

    def __init__(self, draw: DrawLines) -> None:
        self._draw = draw

    def create_content(self, width: int, height: int) -> UIContent:
        lines = self._draw(width, height)
        return UIContent(lines.__getitem__, len(lines), show_cursor=False)


def session_rows(session_list: SessionList, width: int, height: int) -> list[StyleAndTextTuples]:
    """Draw a line for each session that fits; the selected one is highlighted."""
    rows = session_list.visible_rows(height)
    now = times.now()
    cells = [_row_cells(session, now) for session, _ in rows]
    widths = _column_widths(cells, width - 2)
    lines: list[StyleAndTextTuples] = []
    for (_, is_selected), row in zip(rows, cells, strict=True):
        style = "class:selected" if is_selected else ""
        line: StyleAndTextTuples = [(style, "> " if is_selected else "  ")]
        for (name, text), cell_width in zip(row.items(), widths.values(), strict=True):
            if cell_width:
                cell = pad_cells(text, cell_width, align_right=name == "turns")
                line.append((f"{style} class:{name}", cell + "  "))
        lines.append([*line, (style, " " * width)] if is_selected else line)
    return lines


def turn_preview(entries: Sequence[Entry], width: int, height: int) -> list[StyleAndTextTuples]:
    """Draw the newest turns that fit; the newest is cut if it is too long."""
    blocks: list[list[StyleAndTextTuples]] = []
    room = height
    for entry in reversed(entries):
        block = list(_entry_lines(entry, width, room))
        if blocks and len(block) > room:
            break
        blocks.insert(0, block[:room])
        room -= len(block)
        if room <= 0:
            break
    return [line for block in blocks for line in block]


def _row_cells(session: SessionSummary, now: int) -> dict[str, str]:
    return {
        "agent": safe_line(session.agent),
        "name": safe_line(session.name),
        "turns": str(session.turns),
        "when": format_ago(session.updated_at, now),
        "preview": safe_line(session.preview),
    }


_DROPPED_COLUMNS = ("preview", "turns", "when", "agent")
"""Columns dropped on a narrow screen, first to last."""

_MAX_WIDTHS = {"agent": 16, "name": 32, "turns": 5, "when": 16, "preview": 10}
"""Greatest width of each column; for the preview, which takes all remaining cells, its least width."""


def _column_widths(cells: Sequence[dict[str, str]], width: int) -> dict[str, int]:
    """Compute the width of each column; 0 for one that is dropped."""
    widths = {
        name: min(greatest, max((get_cwidth(row[name]) for row in cells), default=0))
        for name, greatest in _MAX_WIDTHS.items()
    }
    widths["preview"] = _MAX_WIDTHS["preview"]
    for name in _DROPPED_COLUMNS:
        if _total_width(widths) > width:
            widths[name] = 0
    if _total_width(widths) > width:
        widths["name"] = max(1, width - 2)
    elif widths["preview"]:
        widths["preview"] += width - _total_width(widths)
    return widths


def _total_width(widths: dict[str, int]) -> int:
    return sum(width + 2 for width in widths.values() if width)


def _entry_lines(entry: Entry, width: int, height: int) -> Iterator[StyleAndTextTuples]:
    """Draw a turn: its heading, at most two lines of the prompt, and as much of the reply as fits."""
    mark = outcome_label(entry)
    heading = f"[{entry.turn}] {format_local_time(entry.started_at)}" + (f"  {mark}" if mark else "")
    yield [("class:turn", pad_cells(heading, width))]
    prompt = _wrap_lines(f"> {entry.prompt}", width, 2) if entry.kind == "prompt" else []
    for line in prompt:
        yield [("class:prompt", line)]
    answer = entry.reply if entry.reply is not None else entry.error.message if entry.error else ""
    for line in _wrap_lines(answer, width, max(1, height - 1 - len(prompt))):
        yield [("", line)]


def _wrap_lines(text: str, width: int, max_lines: int) -> list[str]:
    """Make `text` safe and wrap it to at most `max_lines`; an ellipsis marks that there is more."""
    excerpt = safe_text(text[:_PREVIEW_CHARACTERS]).expandtabs(4).rstrip("\n")
    lines: list[str] = []
    for line in excerpt.split("\n") if excerpt else []:
        rest = line
        while True:
            piece = fit_prefix(rest, width) or rest[:1]
            lines.append(piece)
            rest = rest[len(piece) :]
            if len(lines) > max_lines:
                return [
                    *lines[: max_lines - 1],
                    pad_cells(lines[max_lines - 1] + "…", width) if max_lines else "",
                ]
            if not rest:
                break
    return lines
