"""The session picker's screen, from top to bottom."""

from __future__ import annotations

from prompt_toolkit.application import get_app
from prompt_toolkit.data_structures import Size
from prompt_toolkit.filters import Condition
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.layout import ConditionalContainer, Dimension, HSplit, Layout, VSplit, Window
from prompt_toolkit.layout.controls import BufferControl, FormattedTextControl
from prompt_toolkit.layout.processors import BeforeInput

from flue_cli.repl.cell_width import filled, shortened
from flue_cli.repl.picker.rows_and_preview import Drawn, preview, rows
from flue_cli.repl.picker.state import Picker
from flue_cli.text import session_label

STYLE = {
    "selected": "reverse",
    "agent": "ansicyan",
    "name": "bold",
    "prompt": "bold",
    "problem": "bold",
}

_TALL = 12
"""From how many lines on there is a preview."""

_HINTS = {
    "choose": "Enter opens · Ctrl-R renames · Ctrl-X deletes · Esc leaves",
    "rename": "Enter renames · Esc leaves it as it is",
}


def layout(picker: Picker) -> Layout:
    """What to filter by, the list, the preview where there is room for it, and a line to talk on."""
    words = Window(BufferControl(picker.words, [BeforeInput("> ")]))
    name = Window(BufferControl(picker.name, [BeforeInput("new name: ")]), height=1)
    count = Window(FormattedTextControl(lambda: _count(picker)), dont_extend_width=True)
    sessions = Drawn(lambda width, height: rows(picker.choices, width, height))
    below = HSplit(
        [
            Window(Drawn(lambda width, height: _heading(picker, width)), height=1),
            Window(Drawn(lambda width, height: _preview(picker, width, height))),
        ],
        height=Dimension(weight=2),
    )
    parts = [
        VSplit([words, count], height=1),
        Window(sessions, height=Dimension(min=1, weight=3)),
        ConditionalContainer(below, Condition(lambda: _size().rows >= _TALL)),
        ConditionalContainer(name, Condition(lambda: picker.mode == "rename")),
        Window(FormattedTextControl(lambda: _foot(picker)), wrap_lines=True, dont_extend_height=True),
    ]
    return Layout(HSplit(parts), words)


def _size() -> Size:
    return get_app().output.get_size()


def _count(picker: Picker) -> str:
    return f" {len(picker.choices.shown)}/{len(picker.choices.all)}"


def _heading(picker: Picker, width: int) -> list[StyleAndTextTuples]:
    one = picker.choices.selected
    title = f" {session_label(one)} " if one else ""
    return [[("", "──" + shortened(title, width - 4) + "─" * width)]]


def _preview(picker: Picker, width: int, height: int) -> list[StyleAndTextTuples]:
    entries, problem = picker.previewed()
    return [[("class:problem", filled(problem, width))]] if problem else preview(entries, width, height)


def _foot(picker: Picker) -> StyleAndTextTuples:
    if picker.message:
        return [("class:problem" if picker.message.startswith("error") else "", picker.message)]
    if picker.mode == "delete":
        return [("class:problem", picker.question)]
    return [("", shortened(_HINTS[picker.mode], _size().columns))]
