"""A comparison on a terminal: side by side where there is room, else one below the other."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flue_cli.jsondata.diff import Change
from flue_cli.jsondata.path import shown
from flue_cli.jsondata.strict import readable_json
from flue_cli.render.unified import Line, pair_lines, said, stretches, title, unified
from flue_cli.sessions.comparison import Comparison, TurnPair
from flue_cli.text import safe_line, turns

NARROW = 60
"""Columns below which two texts are not read side by side."""

_STYLES = {"-": "red", "+": "green", " ": "", "": "bold"}


def differences(found: Comparison) -> RenderableType | None:
    """What to show of a comparison; None if nothing differs."""
    if shutil.get_terminal_size().columns < NARROW:
        return _one_below_the_other(unified(found)) or None
    parts: list[RenderableType] = []
    if found.before.head.uid == found.after.head.uid:
        parts += [_one_below_the_other(pair_lines(pair)) for pair in found.turns]
    else:
        pairs = list(found.turns)
        if pairs:
            parts += [Text(f"{turns(found.common)} in common", "dim"), _side_by_side(found, pairs)]
    if found.data:
        parts.append(_data_table(found))
    return Group(*_spaced(parts)) if parts else None


def _one_below_the_other(lines: Iterable[Line]) -> Text:
    text = Text()
    for line in lines:
        text.append(str(line), _STYLES[line.sign])
    text.rstrip()
    return text


def _side_by_side(found: Comparison, pairs: Iterable[TurnPair]) -> Table:
    """Turns of two sessions; what both say stands on the same height."""
    table = _columns(title(found.before), title(found.after))
    for number, pair in enumerate(pairs):
        if number:
            table.add_row("", "")
        table.add_row(*(Text(f"[{pair.turn}]" if side else "", "dim") for side in (pair.before, pair.after)))
        before, after = said(pair.before), said(pair.after)
        gone: list[str] = []
        for sign, start, stop in stretches(before, after):
            if sign == "-":
                gone = before[start:stop]
            elif sign == "+":
                table.add_row(_text(gone, "-"), _text(after[start:stop], "+"))
            elif start < stop:
                table.add_row(*[_text(before[start:stop], " ")] * 2)
        if pair.says_the_same:
            table.add_row(*[Text("(only the data after it differs)", "dim")] * 2)
    return table


def _data_table(found: Comparison) -> Table:
    table = _columns("data", title(found.before), title(found.after))
    table.columns[0].ratio, table.columns[0].max_width = None, 40
    for change in found.data:
        table.add_row(
            Text(safe_line(shown(change.path) or "all of it"), "cyan"),
            *(Text(safe_line(text), style) for text, style in _values(change)),
        )
    return table


def _values(change: Change) -> Iterator[tuple[str, str]]:
    yield ("" if change.added else readable_json(change.before)), _STYLES["-"]
    yield ("" if change.removed else readable_json(change.after)), _STYLES["+"]


def _columns(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    for heading in headings:
        table.add_column(Text(heading), ratio=1, overflow="fold")
    return table


def _text(lines: list[str], sign: str) -> Text:
    return Text("\n".join(lines), _STYLES[sign])


def _spaced(parts: list[RenderableType]) -> Iterator[RenderableType]:
    for number, part in enumerate(parts):
        if number:
            yield ""
        yield part
