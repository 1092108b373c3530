"""The screen of the session picker, and of other lists, from top to bottom."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from prompt_toolkit.application import get_app
from prompt_toolkit.data_structures import Size
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import ConditionalContainer, Dimension, HSplit, Layout, VSplit, Window
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.processors import BeforeInput

from flue_cli.repl.cell_width import pad_cells, truncate_cells
from flue_cli.repl.picker.list_view import ListView
from flue_cli.repl.picker.rows_and_preview import DrawLines, SizedControl, session_rows, turn_preview
from flue_cli.repl.picker.state import Picker
from flue_cli.stores.records import Entry
from flue_cli.text import session_label

LIST_STYLE = {
    "selected": "reverse",
    "agent": "ansicyan",
    "name": "bold",
    "prompt": "bold",
    "problem": "bold",
    "head": "bold",
    "label": "ansicyan",
    "aside": "ansibrightblack",
}

_MIN_ROWS_FOR_PREVIEW = 12
"""Smallest number of rows on the screen for which the preview is shown."""

_PICKER_HINTS = {
    "choose": "Enter opens · Ctrl-R renames · Ctrl-X deletes · Esc leaves",
    "name": "Enter renames · Esc leaves it as it is",
}


class ListParts(NamedTuple):
    """The parts of a screen that differ from list to list.

    `heading` and `preview` draw the line above the preview and the preview. `name_label` stands before the
    field for a name; `key_hints` has the bottom line of each mode.
    """

    rows: DrawLines
    heading: DrawLines
    preview: DrawLines
    name_label: str
    key_hints: Mapping[str, str]


def picker_layout(picker: Picker) -> Layout:
    """Lay out the session picker."""
    return list_layout(
        picker,
        ListParts(
            lambda width, height: session_rows(picker.session_list, width, height),
            lambda width, height: [heading_line(_selected_label(picker), width)],
            lambda width, height: preview_lines(*picker.preview_turns(), width, height),
            "new name: ",
            _PICKER_HINTS,
        ),
    )


def list_layout(view: ListView, parts: ListParts) -> Layout:
    """Lay out the filter, the list, a preview if the screen is tall enough, and the message line."""
    filter_line = Window(BufferControl(view.filter_buffer, [BeforeInput("> ")]))
    name_line = Window(BufferControl(view.name_buffer, [BeforeInput(parts.name_label)]), height=1)
    count = Window(FormattedTextControl(lambda: _count_line(view)), dont_extend_width=True)
    preview = HSplit(
        [Window(SizedControl(parts.heading), height=1), Window(SizedControl(parts.preview))],
        height=Dimension(weight=2),
    )
    bottom_line = FormattedTextControl(lambda: _bottom_line(view, parts.key_hints))
    return Layout(
        HSplit(
            [
                VSplit([filter_line, count], height=1),
                Window(SizedControl(parts.rows), height=Dimension(min=1, weight=3)),
                ConditionalContainer(
                    preview, Condition(lambda: _terminal_size().rows >= _MIN_ROWS_FOR_PREVIEW)
                ),
                ConditionalContainer(name_line, Condition(lambda: view.mode == "name")),
                Window(bottom_line, wrap_lines=True, dont_extend_height=True),
            ]
        ),
        filter_line,
    )


def heading_line(title: str, width: int) -> StyleAndTextTuples:
    """Draw the line above the preview, with the title in it."""
    title = f" {title} " if title else ""
    return [("", "──" + truncate_cells(title, width - 4) + "─" * width)]


def preview_lines(
    entries: Sequence[Entry], problem: str, width: int, height: int
) -> list[StyleAndTextTuples]:
    """Draw the turns of the preview, or the problem that hid them."""
    return (
        [[("class:problem", pad_cells(problem, width))]] if problem else turn_preview(entries, width, height)
    )


def _selected_label(picker: Picker) -> str:
    session = picker.session_list.selected
    return session_label(session) if session else ""


def _terminal_size() -> Size:
    return get_app().output.get_size()


def _count_line(view: ListView) -> str:
    return f" {len(view.list.filtered)}/{len(view.list.items)}"


def _bottom_line(view: ListView, key_hints: Mapping[str, str]) -> StyleAndTextTuples:
    if view.message:
        return [("class:problem" if view.message.startswith("error") else "", view.message)]
    if view.mode == "delete":
        return [("class:problem", view.question)]
    return [("", truncate_cells(key_hints[view.mode], _terminal_size().columns))]
