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
from flue_cli.jsondata.path import format_path
from flue_cli.jsondata.strict import readable_json
from flue_cli.render.diff_lines import (
    DiffLine,
    diff_runs,
    pair_lines,
    session_turn_title,
    turn_lines,
    unified_diff,
)
from flue_cli.sessions.comparison import Comparison, TurnPair
from flue_cli.text import format_turns, safe_line

_NARROW = 60
"""Columns below which two texts are not read side by side."""

DIFF_STYLES = {"-": "red", "+": "green", " ": "", "": "bold"}
"""The style of each sign of a DiffLine."""


def comparison_view(found: Comparison) -> RenderableType | None:
    """Return the view of a comparison; None if nothing differs."""
    if is_terminal_narrow():
        return _strip_lines(unified_diff(found)) or None
    parts: list[RenderableType] = []
    if found.before.head.uid == found.after.head.uid:
        parts += [_strip_lines(pair_lines(pair)) for pair in found.turns]
    else:
        pairs = list(found.turns)
        if pairs:
            parts += [Text(f"{format_turns(found.common)} in common", "dim"), _turn_table(found, pairs)]
    if found.data:
        parts.append(_data_table(found))
    return Group(*_space_out(parts)) if parts else None


def is_terminal_narrow() -> bool:
    """True if the terminal has no room for two texts side by side."""
    return shutil.get_terminal_size().columns < _NARROW


def diff_line_text(lines: Iterable[DiffLine], *, same: str = "") -> Text:
    """Return lines one below the other; `same` is the style of those that both sides have."""
    styles = DIFF_STYLES | {" ": same}
    text = Text()
    for line in lines:
        text.append(str(line), styles[line.sign])
    return text


def side_by_side_table(*headings: str) -> Table:
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
            table.add_row(
                _styled_text(gone, DIFF_STYLES["-"]), _styled_text(after[start:stop], DIFF_STYLES["+"])
            )
        elif start < stop:
            table.add_row(*[_styled_text(before[start:stop], same)] * 2)


def _strip_lines(lines: Iterable[DiffLine]) -> Text:
    text = diff_line_text(lines)
    text.rstrip()
    return text


def _turn_table(found: Comparison, pairs: Iterable[TurnPair]) -> Table:
    """Turns of two sessions."""
    table = side_by_side_table(session_turn_title(found.before), session_turn_title(found.after))
    for number, pair in enumerate(pairs):
        if number:
            table.add_row("", "")
        table.add_row(*(Text(f"[{pair.turn}]" if side else "", "dim") for side in (pair.before, pair.after)))
        add_text_rows(table, turn_lines(pair.before), turn_lines(pair.after))
        if pair.differs_only_in_data:
            table.add_row(*[Text("(only the data after it differs)", "dim")] * 2)
    return table


def _data_table(found: Comparison) -> Table:
    table = side_by_side_table("data", session_turn_title(found.before), session_turn_title(found.after))
    table.columns[0].ratio, table.columns[0].max_width = None, 40
    for change in found.data:
        table.add_row(
            Text(safe_line(format_path(change.path) or "all of it"), "cyan"),
            *(Text(safe_line(text), style) for text, style in _value_pairs(change)),
        )
    return table


def _value_pairs(change: Change) -> Iterator[tuple[str, str]]:
    yield ("" if change.added else readable_json(change.before)), DIFF_STYLES["-"]
    yield ("" if change.removed else readable_json(change.after)), DIFF_STYLES["+"]


def _styled_text(lines: list[str], style: str) -> Text:
    return Text("\n".join(lines), style)


def _space_out(parts: list[RenderableType]) -> Iterator[RenderableType]:
    for number, part in enumerate(parts):
        if number:
            yield ""
        yield part
