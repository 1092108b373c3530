"""The chat's line as a person sees it: toolbar, folded pastes, completion, keys of one's own."""

from __future__ import annotations

import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import Flue
from support.real_terminal import CTRL_C, CTRL_D, ENTER, TAB, UP, AnsweringTerminal, Terminal

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

ECHO = """
def agent(prompt, session, context):
    session.data["said"] = prompt
    return f"<{prompt}>"
"""
CTRL_L, CTRL_O, F2, F4, ESCAPE = "\x0c", "\x0f", "\x1bOQ", "\x1bOS", "\x1b"


class Answering(AnsweringTerminal):
    """A terminal with a toolbar at its bottom."""

    @property
    def bar(self) -> str:
        """The last line of the screen."""
        return str(self._screen.display[-1]).strip()

    def shows(self, *texts: str) -> None:
        """Wait until the toolbar has each of `texts`."""
        self.until(lambda: all(text in self.bar for text in texts), f"a toolbar with {texts}")


class Seat:
    """Where a person sits, with an agent that says what it was told."""

    def __init__(self, flue: Flue) -> None:
        self._flue = flue
        self._opened: list[Terminal] = []
        flue.agent("echo", ECHO)

    def chat(self, *arguments: str, columns: int = 80, **env: str) -> Answering:
        terminal = Answering(
            [*self._flue.command, "chat", *arguments],
            cwd=self._flue.folder,
            env=self._flue.env | env,
            rows=16,
            columns=columns,
        )
        self._opened.append(terminal)
        return terminal

    def configure(self, text: str) -> Path:
        """Write the person's `config.toml`; its path."""
        file = Path(self._flue("config", "path", stdin=None).out.removesuffix("\n"))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
        return file

    def close(self) -> None:
        for terminal in self._opened:
            terminal.close()


@pytest.fixture
def seat(flue: Flue) -> Iterator[Seat]:
    seat = Seat(flue)
    yield seat
    seat.close()


def test_the_toolbar_says_where_we_are(seat: Seat) -> None:
    """Agent, session, turn and sizes are right after every turn, and nothing of it stays behind."""
    terminal = seat.chat("echo", "-s", "work")
    terminal.ready()
    terminal.shows("echo · work · new", "Ctrl-G editor", "F4 vi")
    terminal.say("hello")
    terminal.shows("echo · work · turn 1 · data 16 bytes · 2 messages")
    terminal.say("/undo")
    terminal.shows("echo · work · turn 0 · data 2 bytes · 0 messages")
    terminal.say("/new other")
    terminal.shows("echo · other · new")
    terminal.say("/resume work")
    terminal.shows("echo · work · turn 0")
    terminal.ready()
    terminal.type("draft" + CTRL_C)
    terminal.ready()
    terminal.type(CTRL_L)
    terminal.until(lambda: terminal.lines[:2] == ["", ">"], "a clear screen")
    terminal.type("there" + ENTER)
    terminal.shows("turn 1")
    terminal.ready()
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    assert [line for line in terminal.everything.splitlines() if "F4" in line or "messages" in line] == []


def test_a_narrow_toolbar_is_cut(seat: Seat) -> None:
    """In 20 columns the toolbar is one line, and the chat goes on as in any other width."""
    terminal = seat.chat("echo", "-s", "a session with a long name", columns=20)
    terminal.shows("echo · a session…")
    assert sum("·" in line for line in terminal.lines[3:]) == 1
    terminal.resize(16, 60)
    terminal.shows("echo · a session with a long name · new")
    terminal.say("hello")
    terminal.wait_for("> hello\n<hello>\n")
    terminal.resize(16, 20)
    terminal.shows("echo · a session…")


@pytest.mark.parametrize(
    ("options", "config", "env"),
    [(["--no-toolbar"], "", {}), ([], "toolbar = false", {}), ([], "", {"TERM": "dumb"})],
    ids=["option", "config", "dumb"],
)
def test_no_toolbar(seat: Seat, options: list[str], config: str, env: dict[str, Any]) -> None:
    """Who wants none, or has a terminal that can do little, sees the prompt and nothing below it."""
    seat.configure(config)
    terminal = seat.chat("echo", "-s", "work", *options, **env)
    terminal.say("hello")
    terminal.wait_for("> hello\n<hello>\n>")
    terminal.say("again")
    terminal.wait_for("> again\n<again>\n>\n")
    terminal.ready()

    assert terminal.bar == ""
    assert "turn 1" not in terminal.everything


def test_a_long_paste_is_shown_in_short(seat: Seat) -> None:
    """A long paste is one word until it is unfolded; what Up brings back after Ctrl-C is all of it."""
    terminal = seat.chat("echo", "-s", "work")
    terminal.ready()
    terminal.type("see ")
    terminal.paste("\n".join(f"line\t{number}\u202e" for number in range(214)))
    terminal.wait_for("> see [pasted 214 lines]")
    terminal.shows("Ctrl-O expands")
    terminal.type(CTRL_O)
    terminal.wait_for("  line    213<U+202E>")
    assert "\u202e" not in terminal.raw.decode()
    terminal.until(lambda: "expands" not in terminal.bar, "no hint")
    terminal.type(CTRL_C)
    terminal.ready()
    terminal.type(UP)
    terminal.wait_for("  line    213<U+202E>")
    terminal.type(ENTER)
    terminal.shows("turn 1")

    assert terminal.everything.count("line    213<U+202E>") > 1


def test_vi_and_emacs(seat: Seat) -> None:
    """The toolbar says in which mode a key is typed; F4 changes it, and it stays for the next prompt."""
    terminal = seat.chat("echo", "-s", "work")
    terminal.ready()
    terminal.type(F4)
    terminal.shows("vi: insert", "F4 emacs")
    terminal.type("hellox" + ESCAPE)
    terminal.shows("vi: command")
    terminal.type("x" + ENTER)
    terminal.wait_for("<hello>\n")
    terminal.shows("turn 1", "vi: insert")
    terminal.type(F4)
    terminal.until(lambda: "vi:" not in terminal.bar, "no vi")


def test_tab_completes_a_file_and_its_text_is_sent(seat: Seat, flue: Flue) -> None:
    """Tab completes @ to a file with quotes where it has blanks, and a menu's choice waits for Enter."""
    (flue.folder / "my notes.txt").write_text("inside")
    (flue.folder / "one.txt").write_text("1")
    (flue.folder / "other.txt").write_text("2")
    terminal = seat.chat("echo", "-s", "work")
    terminal.ready()
    terminal.type("see @m" + TAB)
    terminal.wait_for('> see @"my notes.txt"')
    terminal.type(" @o" + TAB)
    terminal.wait_for(" other.txt\n")
    terminal.type(TAB)
    terminal.until(lambda: terminal.typed.endswith("@one.txt"), "the first choice")
    terminal.type(ENTER)
    terminal.until(lambda: "other.txt" not in terminal.screen, "the menu's end")
    terminal.type(ENTER)
    terminal.wait_for("```\n1\n```>")

    assert (
        'attached my notes.txt (6 bytes)\nattached one.txt (1 byte)\n<see @"my notes.txt"' in terminal.screen
    )


def test_a_configuration_that_is_used(seat: Seat) -> None:
    """Mode, keys and colours of config.toml are there from the first prompt on, and the hints know them."""
    seat.configure(
        'vi = true\nkeys = { newline = "f2" }\ntheme = { prompt = "ansired", toolbar = "bg:ansiblue" }\n'
    )
    terminal = seat.chat("echo", "-s", "work")
    terminal.ready()
    terminal.shows("vi: insert", "F2 new line")
    terminal.type("one" + F2 + "two" + ENTER)
    terminal.wait_for("<one\ntwo>\n")

    assert b"\x1b[0;31m" in terminal.raw
    assert b"\x1b[0;44m" in terminal.raw


@pytest.mark.parametrize(
    ("config", "complaint"),
    [
        ('keys = { editor = "ctrl-o" }', "keys: editor: 'ctrl-o' is not a valid key"),
        ('theme = { toolbar = "bluish" }', "theme: toolbar: 'bluish' is not a valid style"),
    ],
)
def test_a_configuration_that_cannot_be_used(seat: Seat, config: str, complaint: str) -> None:
    """A key or colour that does not exist is named with the file, and the chat does not begin."""
    file = seat.configure(config)
    terminal = seat.chat("echo", "-s", "work")

    assert terminal.ended() == 2
    assert terminal.everything.replace("\n", "").startswith(f"error: {file}: {complaint}".replace("\n", ""))
    assert "echo · session" not in terminal.everything


def test_nothing_typed_is_kept_of_a_chat_that_is_not(seat: Seat, flue: Flue) -> None:
    """--no-save writes no history of the input; the toolbar says that nothing is kept."""
    terminal = seat.chat("echo", "--no-save", "-s", "work")
    terminal.ready()
    terminal.shows("echo · work · not saved")
    terminal.say("secret")
    terminal.wait_for("<secret>\n")
    terminal.ready()
    terminal.type(CTRL_D)
    assert terminal.ended() == 0
    assert not (flue.home / "history").exists()

    kept = seat.chat("echo", "-s", "work")
    kept.say("no secret")
    kept.wait_for("<no secret>\n")
    file = flue.home / "history" / "echo.txt"
    assert "+no secret\n" in file.read_text()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
