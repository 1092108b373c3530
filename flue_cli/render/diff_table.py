"""Differences on a terminal: side by side if it is wide enough, else one below the other.

The tables that `replay_diff` shows are made of the same rows.
"""

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
from flue_cli.render.diff_lines import DiffLine, diff_runs, pair_lines, title, turn_lines, unified_diff
from flue_cli.sessions.comparison import Comparison, TurnPair
from flue_cli.text import safe_line, turns

_NARROW = 60
"""Columns below which two texts are not read side by side."""

STYLES = {"-": "red", "+": "green", " ": "", "": "bold"}
"""The style of each sign of a DiffLine."""


def differences(found: Comparison) -> RenderableType | None:
    """Return the view of a comparison; None if nothing differs."""
    if is_narrow():
        return _stripped(unified_diff(found)) or None
    parts: list[RenderableType] = []
    if found.before.head.uid == found.after.head.uid:
        parts += [_stripped(pair_lines(pair)) for pair in found.turns]
    else:
        pairs = list(found.turns)
        if pairs:
            parts += [Text(f"{turns(found.common)} in common", "dim"), _turn_table(found, pairs)]
    if found.data:
        parts.append(_data_table(found))
    return Group(*_spaced(parts)) if parts else None


def is_narrow() -> bool:
    """True if the terminal has no room for two texts side by side."""
    return shutil.get_terminal_size().columns < _NARROW


def line_text(lines: Iterable[DiffLine], *, same: str = "") -> Text:
    """Return lines one below the other; `same` is the style of those that both sides have."""
    styles = STYLES | {" ": same}
    text = Text()
    for line in lines:
        text.append(str(line), styles[line.sign])
    return text


def side_by_side(*headings: str) -> Table:
    """Return an empty table whose columns share the width of the terminal."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, expand=True)
    for heading in headings:
        table.add_column(Text(heading), ratio=1, overflow="fold")
    return table


def add_text_rows(table: Table, before: list[str], after: list[str], *, same: str = "") -> None:
    """Add rows for two texts; lines that both have stand on the same height, in the style `same`."""
    gone: list[str] = []
    for sign, start, stop in diff_runs(before, after):
        if sign == "-":
            gone = before[start:stop]
        elif sign == "+":
            table.add_row(_text(gone, STYLES["-"]), _text(after[start:stop], STYLES["+"]))
        elif start < stop:
            table.add_row(*[_text(before[start:stop], same)] * 2)


def _stripped(lines: Iterable[DiffLine]) -> Text:
    text = line_text(lines)
    text.rstrip()
    return text


def _turn_table(found: Comparison, pairs: Iterable[TurnPair]) -> Table:
    """Turns of two sessions."""
    table = side_by_side(title(found.before), title(found.after))
    for number, pair in enumerate(pairs):
        if number:
            table.add_row("", "")
        table.add_row(*(Text(f"[{pair.turn}]" if side else "", "dim") for side in (pair.before, pair.after)))
        add_text_rows(table, turn_lines(pair.before), turn_lines(pair.after))
        if pair.says_the_same:
            table.add_row(*[Text("(only the data after it differs)", "dim")] * 2)
    return table


def _data_table(found: Comparison) -> Table:
    table = side_by_side("data", title(found.before), title(found.after))
    table.columns[0].ratio, table.columns[0].max_width = None, 40
    for change in found.data:
        table.add_row(
            Text(safe_line(shown(change.path) or "all of it"), "cyan"),
            *(Text(safe_line(text), style) for text, style in _values(change)),
        )
    return table


def _values(change: Change) -> Iterator[tuple[str, str]]:
    yield ("" if change.added else readable_json(change.before)), STYLES["-"]
    yield ("" if change.removed else readable_json(change.after)), STYLES["+"]


def _text(lines: list[str], style: str) -> Text:
    return Text("\n".join(lines), style)


def _spaced(parts: list[RenderableType]) -> Iterator[RenderableType]:
    for number, part in enumerate(parts):
        if number:
            yield ""
        yield part
