"""Tables on terminals of different widths, and on one that can do little."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from support.real_terminal import CTRL_D, Terminal

if TYPE_CHECKING:
    from conftest import Flue

DEEP = "a/folder/that/is/as/deep/as/site/packages/of/an/environment/often/are"


@pytest.fixture
def run(flue: Flue) -> Iterator[Callable[..., Terminal]]:
    """A command in a terminal of its own."""
    opened: list[Terminal] = []

    def open_(*arguments: str, env: dict[str, str] | None = None, **settings: Any) -> Terminal:
        command = [*flue.command, *arguments]
        opened.append(Terminal(command, cwd=flue.folder, env=flue.env | (env or {}), **settings))
        return opened[-1]

    yield open_
    for terminal in opened:
        terminal.close()


@pytest.mark.parametrize("columns", [80, 100, 140])
def test_each_agent_has_its_path_on_one_line(run: Callable[..., Terminal], flue: Flue, columns: int) -> None:
    """A path is relative, or loses its beginning, and keeps the file's name; descriptions have room."""
    folder = flue.folder.parent / DEEP
    folder.mkdir(parents=True)
    (folder / "far_away.py").write_text('"""Answers from far away."""\ndef agent(*_): ...\n')
    flue.agent("near", '"""Answers from here."""\ndef agent(*_): ...\n')
    terminal = run("agents", "list", "--agents", str(folder), columns=columns, rows=50)
    assert terminal.ended() == 0

    far = next(line for line in terminal.lines if line.startswith("far-away"))
    assert re.search(r"Answers from\b.*…/.*/far_away\.py$", far), far
    near = next(line for line in terminal.lines if line.startswith("near"))
    assert near.endswith("near.py")
    assert sum("far_away.py" in line or DEEP[-20:] in line for line in terminal.lines) == 1


def test_a_narrow_table_of_agents_has_no_paths(run: Callable[..., Terminal]) -> None:
    """Below 80 columns the descriptions need the room; `agents show` has the path."""
    terminal = run("agents", "list", columns=60, rows=50)
    assert terminal.ended() == 0

    assert terminal.lines[0].split() == ["agent", "description", "where", "from"]
    assert "Remembers your name." in terminal.screen


def test_a_dumb_terminal_has_no_pager(run: Callable[..., Terminal], flue: Flue) -> None:
    """With TERM=dumb a list longer than the screen is printed, as wide as the terminal: less would warn."""
    for number in range(12):
        flue("chat", "greeting", "-s", f"session {number}", "hello, this prompt is a rather long one" * 3)
    settings = {"env": {"TERM": "dumb"}, "rows": 8, "columns": 60}

    listed = run("sessions", "list", **settings)
    assert listed.ended() == 0
    chat = run("chat", "greeting", "-s", "new", **settings)
    chat.say("/sessions")
    chat.until(lambda: "session 0" in chat.everything and chat.typed == "> ", "the list")
    chat.type(CTRL_D)
    assert chat.ended() == 0

    for terminal in (listed, chat):
        assert "WARNING" not in terminal.everything
        rows = list(re.finditer(r"greeting   session (\d+) ", terminal.everything))
        assert [row[1] for row in rows] == [str(number) for number in reversed(range(12))]
        starts = [row.start() for row in rows]  # rows that reach the edge are joined in `everything`
        assert {after - before for before, after in pairwise(starts)} == {60}
