"""Help of the slash commands, read from the docstrings of their functions.

A docstring has a summary of at most 28 characters, then paragraphs that say what the command keeps or loses,
and lines that begin with "Usage:" and "Example:"::

    Undo the last turn, or N.

    Usage: /undo [N]
    Example: /undo 2

    The undone turns are kept: /redo brings them back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from inspect import cleandoc
from itertools import accumulate, zip_longest
from textwrap import fill
from typing import NamedTuple

from flue_cli.docstrings import docstring

_GAP_CELLS = 2
_MIN_COLUMN_CELLS = 39
"""Smallest width of a column of the list of commands."""

_MAX_LINE_CELLS = 100

Piece = tuple[str, str]
"""A text and its style."""


class CommandHelp(NamedTuple):
    """Parts of a command's help; `details` are paragraphs, each on one line."""

    summary: str
    usages: Sequence[str]
    examples: Sequence[str]
    details: Sequence[str]


def parse_help(function: Callable[..., object], name: str) -> CommandHelp:
    """Parse the docstring of a command's function; the usage defaults to the command's `name`."""
    lines = cleandoc(docstring(function)).split("\n")
    usages = [line.removeprefix("Usage: ") for line in lines if line.startswith("Usage: ")]
    examples = [line.removeprefix("Example: ") for line in lines if line.startswith("Example: ")]
    prose = "\n".join(line for line in lines[1:] if not line.startswith(("Usage: ", "Example: ")))
    details = [" ".join(paragraph.split()) for paragraph in prose.split("\n\n") if paragraph.strip()]
    return CommandHelp(lines[0], usages or [name], examples, details)


def format_command_help(command: CommandHelp, columns: int) -> str:
    """Format all help of one command for a screen that is `columns` wide."""
    width = min(columns, _MAX_LINE_CELLS)
    examples = "\n".join(f"Example: {example}" for example in command.examples)
    paragraphs = [command.summary, *command.details]
    blocks = ["\n".join(command.usages), *(fill(text, width) for text in paragraphs), examples]
    return "\n\n".join(block for block in blocks if block)


def format_command_list(groups: Mapping[str, Mapping[str, str]], columns: int) -> list[Piece]:
    """Format groups of commands and their summaries in as many columns as fit on `columns` cells."""
    name_cells = 1 + max(len(name) for commands in groups.values() for name in commands)
    blocks = [
        [
            (heading, "bold"),
            *((f"{name:<{name_cells}}{summary.rstrip('.')}", "") for name, summary in commands.items()),
        ]
        for heading, commands in groups.items()
    ]
    count = max(1, (columns + _GAP_CELLS) // (_MIN_COLUMN_CELLS + _GAP_CELLS))
    return _join_side_by_side(_balance(blocks, min(count, len(blocks))))


def _balance(blocks: Sequence[list[Piece]], count: int) -> list[list[Piece]]:
    """Distribute blocks over at most `count` columns, in order, so that the longest is as short as can be."""
    height = max(len(block) for block in blocks)
    while len(columns := _fill_columns(blocks, height)) > count:
        height += 1
    return columns


def _fill_columns(blocks: Sequence[list[Piece]], height: int) -> list[list[Piece]]:
    columns: list[list[Piece]] = [[]]
    for block in blocks:
        if columns[-1] and len(columns[-1]) + len(block) > height:
            columns.append([])
        columns[-1] += block
    return columns


def _join_side_by_side(columns: Sequence[Sequence[Piece]]) -> list[Piece]:
    widths = [max(_MIN_COLUMN_CELLS, *(len(text) for text, _ in column)) + _GAP_CELLS for column in columns]
    pieces: list[Piece] = []
    for cells in zip_longest(*columns, fillvalue=("", "")):
        end = 0  # of what is written in this line, so that no line ends in blanks
        for (text, style), start in zip(cells, accumulate(widths, initial=0), strict=False):
            if text:
                pieces += (" " * (start - end), ""), (text, style)
                end = start + len(text)
        pieces.append(("\n", ""))
    return pieces
