"""The session picker's screen, from top to bottom."""

from __future__ import annotations

from prompt_toolkit.application import get_app
from prompt_toolkit.data_structures import Size
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import ConditionalContainer, Dimension, HSplit, Layout, VSplit, Window
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.processors import BeforeInput

from flue_cli.repl.cell_width import pad_cells, truncate_cells
from flue_cli.repl.picker.rows_and_preview import SizedControl, session_rows, turn_preview
from flue_cli.repl.picker.state import Picker
from flue_cli.text import session_label

PICKER_STYLE = {
    "selected": "reverse",
    "agent": "ansicyan",
    "name": "bold",
    "prompt": "bold",
    "problem": "bold",
}

_MIN_ROWS_FOR_PREVIEW = 12
"""Smallest number of rows on the screen for which the preview is shown."""

_KEY_HINTS = {
    "choose": "Enter opens · Ctrl-R renames · Ctrl-X deletes · Esc leaves",
    "rename": "Enter renames · Esc leaves it as it is",
}


def picker_layout(picker: Picker) -> Layout:
    """Lay out the filter, the list, a preview if the screen is tall enough, and the message line."""
    filter_line = Window(BufferControl(picker.filter_buffer, [BeforeInput("> ")]))
    name_line = Window(BufferControl(picker.name_buffer, [BeforeInput("new name: ")]), height=1)
    count = Window(FormattedTextControl(lambda: _count_line(picker)), dont_extend_width=True)
    sessions = SizedControl(lambda width, height: session_rows(picker.session_list, width, height))
    preview = HSplit(
        [
            Window(SizedControl(lambda width, height: _heading_lines(picker, width)), height=1),
            Window(SizedControl(lambda width, height: _preview_lines(picker, width, height))),
        ],
        height=Dimension(weight=2),
    )
    parts = [
        VSplit([filter_line, count], height=1),
        Window(sessions, height=Dimension(min=1, weight=3)),
        ConditionalContainer(preview, Condition(lambda: _terminal_size().rows >= _MIN_ROWS_FOR_PREVIEW)),
        ConditionalContainer(name_line, Condition(lambda: picker.mode == "rename")),
        Window(FormattedTextControl(lambda: _bottom_line(picker)), wrap_lines=True, dont_extend_height=True),
    ]
    return Layout(HSplit(parts), filter_line)


def _terminal_size() -> Size:
    return get_app().output.get_size()


def _count_line(picker: Picker) -> str:
    return f" {len(picker.session_list.filtered)}/{len(picker.session_list.sessions)}"


def _heading_lines(picker: Picker, width: int) -> list[StyleAndTextTuples]:
    session = picker.session_list.selected
    title = f" {session_label(session)} " if session else ""
    return [[("", "──" + truncate_cells(title, width - 4) + "─" * width)]]


def _preview_lines(picker: Picker, width: int, height: int) -> list[StyleAndTextTuples]:
    entries, problem = picker.preview_turns()
    return (
        [[("class:problem", pad_cells(problem, width))]] if problem else turn_preview(entries, width, height)
    )


def _bottom_line(picker: Picker) -> StyleAndTextTuples:
    if picker.message:
        return [("class:problem" if picker.message.startswith("error") else "", picker.message)]
    if picker.mode == "delete":
        return [("class:problem", picker.question)]
    return [("", truncate_cells(_KEY_HINTS[picker.mode], _terminal_size().columns))]
