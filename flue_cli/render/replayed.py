"""A replayed turn on a terminal: recorded and now, side by side where there is room."""

from __future__ import annotations

import shutil

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flue_cli.jsondata.diff import Change
from flue_cli.jsondata.path import shown
from flue_cli.render.differences import NARROW
from flue_cli.render.plain import as_json
from flue_cli.render.replay_lines import difference_lines, heading, prompt_lines, said
from flue_cli.render.unified import stretches
from flue_cli.text import safe_line
from flue_cli.turns.replay import TurnComparison

_STYLES = {"-": "red", "+": "green", " ": "dim", "": "bold"}


def difference(turn: TurnComparison) -> RenderableType:
    """What differs in a turn, ending in a blank line."""
    if shutil.get_terminal_size().columns < NARROW:
        text = Text()
        for line in difference_lines(turn):
            text.append(str(line), _STYLES[line.sign])
        return text
    above = Text(heading(turn), "bold yellow")
    above.append("\n" + "\n".join(prompt_lines(turn)), "bold")
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    for name in ("recorded", "now"):
        table.add_column(name, ratio=1, overflow="fold")
    _add_said(table, turn)
    for change in turn.data:
        table.add_row(_value(change, "-"), _value(change, "+"))
    return Group(above, table, "") if table.row_count else Group(above, "")


def _add_said(table: Table, turn: TurnComparison) -> None:
    """Rows of what was said; what both say stands on the same height."""
    before, after = said(turn.recorded, turn.what), said(turn.now, turn.what)
    gone: list[str] = []
    for sign, start, stop in stretches(before, after):
        if sign == "-":
            gone = before[start:stop]
        elif sign == "+":
            table.add_row(_text(gone, "-"), _text(after[start:stop], "+"))
        elif start < stop:
            table.add_row(*[_text(before[start:stop], " ")] * 2)


def _text(lines: list[str], sign: str) -> Text:
    return Text("\n".join(lines), _STYLES[sign])


def _value(change: Change, sign: str) -> Text:
    value = change.before if sign == "-" else change.after
    is_there = not (change.added if sign == "-" else change.removed)
    text = Text(f"data.{shown(change.path)}: ".replace("data.:", "data:").replace("data.[", "data["), "cyan")
    text.append(safe_line(as_json(value)) if is_there else "nothing", _STYLES[sign])
    return text
