"""The README's picture of the chat: a real conversation in a pseudo-terminal, as SVG.

    PYTHONPATH=tests python tests/support/make_screenshot.py

writes flue_cli/manual/chat.svg.
"""

from __future__ import annotations

import io
import os
import sys
import tempfile
from collections.abc import Mapping, Sequence
from html import escape, unescape
from pathlib import Path
from typing import Any

import pyte
from rich.console import Console
from rich.text import Text

from support.real_terminal import AnsweringTerminal

PICTURE = Path(__file__).parents[2] / "flue_cli" / "manual" / "chat.svg"
COLUMNS, ROWS = 80, 30
_COMMAND = ["chat", "task-planner", "-s", "work"]
_CONVERSATION = (
    ("add Buy groceries", "You now have 1 tasks."),
    ("add Call mom", "You now have 2 tasks."),
    ("/data", "gone by the last turn"),
    ("/undo", "is at turn 1"),
)
_TYPED = "/re"
_GREY = 244
"""What dim text looks like, among the 256 colours of terminals."""

_SVG = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" role="img">
<title>A conversation with flue chat</title>
<desc>@TEXT@</desc>
<style>
.{unique_id}-matrix {{
font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, "DejaVu Sans Mono", monospace;
font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width;
}}
.{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


class _ScreenWithDim(pyte.Screen):
    """A screen that shows dim text in grey; pyte knows no dim."""

    def select_graphic_rendition(self, *attributes: int, **settings: Any) -> None:
        codes: list[int] = []
        for code in attributes:
            codes += {2: [38, 5, _GREY], 22: [22, 39]}.get(code, [code])
        super().select_graphic_rendition(*codes, **settings)


def take_picture(command: Sequence[str], folder: Path, env: Mapping[str, str]) -> tuple[str, str]:
    """Talk to the chat of `command`, run in `folder`; the text of its screen, and its picture."""
    terminal = AnsweringTerminal(
        [*command, *_COMMAND],
        cwd=folder,
        env={**env, "TERM": "xterm-256color", "COLORTERM": ""},
        rows=ROWS,
        columns=COLUMNS,
    )
    try:
        for prompt, answer in _CONVERSATION:
            terminal.say(prompt)
            terminal.wait_for(answer)
        terminal.ready()
        terminal.type(_TYPED)
        terminal.wait_for("Load the agent's file again.")
        terminal.wait_for("turn 1 · data")
        screen = _ScreenWithDim(COLUMNS, ROWS)
        pyte.ByteStream(screen).feed(terminal.raw)
    finally:
        terminal.close()
    text = "\n".join(line.rstrip() for line in screen.display).rstrip()
    return text, _draw(screen, text)


def picture_text() -> str:
    """Read the text of the picture that is there."""
    return unescape(PICTURE.read_text().partition("<desc>")[2].partition("</desc>")[0])


def _draw(screen: pyte.Screen, text: str) -> str:
    console = Console(
        record=True,
        width=COLUMNS,
        file=io.StringIO(),
        force_terminal=True,
        color_system="256",
        highlight=False,
    )
    for y in range(len(text.split("\n"))):
        cells = (screen.buffer[y][x] for x in range(COLUMNS))
        console.print(Text.assemble(*((cell.data, _style_of(cell)) for cell in cells)), soft_wrap=True)
    drawn = console.export_svg(title=f"flue {' '.join(_COMMAND)}", code_format=_SVG, unique_id="flue")
    return drawn.replace("@TEXT@", escape(text))


def _style_of(cell: Any) -> str:
    words = [name for name in ("bold", "italics", "underscore", "reverse") if getattr(cell, name)]
    names = {"italics": "italic", "underscore": "underline", "brown": "yellow"}
    style = [names.get(word, word) for word in words]
    for prefix, colour in (("", cell.fg), ("on ", cell.bg)):
        if colour != "default":
            is_hex = len(colour) == 6 and all(digit in "0123456789abcdef" for digit in colour)
            style.append(f"{prefix}#{colour}" if is_hex else f"{prefix}{names.get(colour, colour)}")
    return " ".join(style)


def main() -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as home:
        folder = Path(home) / "work"
        folder.mkdir()
        env = {"PATH": os.environ["PATH"], "HOME": home, "FLUE_HOME": home, "LANG": "C.UTF-8"}
        _, picture = take_picture([sys.executable, "-m", "flue_cli"], folder, env)
    PICTURE.write_text(picture)


if __name__ == "__main__":
    main()
