"""Figures on a terminal: numbers, and bars that compare them."""

from __future__ import annotations

from collections.abc import Iterable

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from flue_cli.render.stats_output import format_day
from flue_cli.stores.statistics import Statistics
from flue_cli.text import format_bytes, pluralize, safe_line
from flue_cli.times import format_duration

_WIDTH = 30
"""Length of the longest bar, in characters."""
_DAYS = 14
"""Days that are shown."""
_AGENTS = 10
_EIGHTHS = " ▏▎▍▌▋▊▉"


def statistics_charts(found: Statistics) -> RenderableType:
    """The figures in numbers, then what they are made of."""
    outcomes = [
        (name, count, style)
        for name, count, style in (
            ("completed", found.completed, "green"),
            ("failed", found.failed, "red"),
            ("cancelled", found.cancelled, "yellow"),
            ("interrupted", found.interrupted, "yellow"),
        )
        if count
    ]
    days = _last_days(found.days)
    sections = (
        ("outcomes", [(name, count, f"{count:,}", style) for name, count, style in outcomes]),
        (
            "agents",
            [(name, count, pluralize(count, "turn"), "cyan") for name, count in found.agents[:_AGENTS]],
        ),
        (
            "days",
            [(format_day(number), count, f"{count:,}" if count else "", "cyan") for number, count in days],
        ),
        (
            "busiest",
            [
                (f"{busy.agent}/{busy.session}", busy.turns, pluralize(busy.turns, "turn"), "cyan")
                for busy in found.busiest
            ],
        ),
        (
            "slowest",
            [
                (
                    f"{slow.agent}/{slow.session}",
                    slow.took,
                    f"{format_duration(slow.took)}, turn {slow.turn}",
                    "yellow",
                )
                for slow in found.slowest
            ],
        ),
    )
    parts: list[RenderableType] = [_count_lines(found)]
    for title, rows in sections:
        if rows:
            parts += [Text(f"\n{title}", "bold"), _bar_table(rows)]
    return Group(*parts)


def _count_lines(found: Statistics) -> Text:
    said = [
        pluralize(found.sessions, "session"),
        *([pluralize(found.undone_forks, "undone fork")] if found.undone_forks else []),
        pluralize(found.turns, "turn"),
        *([pluralize(found.edits, "edit")] if found.edits else []),
        pluralize(found.messages, "message"),
        format_bytes(found.bytes),
    ]
    return Text(", ".join(said), "bold")


def _bar_table(rows: Iterable[tuple[str, int, str, str]]) -> Table:
    """(name, amount, what is said of it, style) of each bar; the largest amount is the longest one."""
    rows = list(rows)
    most = max((amount for _, amount, _, _ in rows), default=0) or 1
    table = Table(box=box.SIMPLE, show_header=False, show_edge=False, pad_edge=False, padding=(0, 1))
    table.add_column(overflow="fold", max_width=40)
    table.add_column(no_wrap=True, min_width=4)
    table.add_column(no_wrap=True)
    for name, amount, said, style in rows:
        table.add_row(Text(safe_line(name)), Text(_bar(amount, most), style), Text(said, "dim"))
    return table


def _bar(amount: int, most: int) -> str:
    whole, part = divmod(round(amount * _WIDTH * 8 / most), 8)
    drawn = "█" * whole + (_EIGHTHS[part] if part else "")
    return drawn or ("▏" if amount else "")


def _last_days(days: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """The last days up to the newest one on which something was said, quiet ones too."""
    if not days:
        return []
    said = dict(days)
    last = days[-1][0]
    first = max(days[0][0], last - _DAYS + 1)
    return [(number, said.get(number, 0)) for number in range(first, last + 1)]
