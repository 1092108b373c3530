"""`flue chat --pick` in a real terminal."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest
from support.real_terminal import CTRL_C, CTRL_D, ENTER, Terminal, untouched_settings

if TYPE_CHECKING:
    from conftest import Flue

ESC = "\x1b"
LEAVES_ALTERNATE_SCREEN = b"\x1b[?1049l"


@pytest.fixture
def pick(flue: Flue) -> Iterator[Callable[..., Terminal]]:
    """`flue chat --pick`, with two sessions to choose from."""
    flue("chat", "greeting", "-s", "alice", stdin="my name is Alice")
    flue("chat", "greeting", "-s", "bob", stdin="my name is Bob")
    opened: list[Terminal] = []

    def open_(*arguments: str, **settings: Any) -> Terminal:
        environment = flue.env | settings.pop("env", {})
        command = [*flue.command, "chat", *arguments, "--pick"]
        opened.append(Terminal(command, cwd=flue.folder, env=environment, **settings))
        return opened[-1]

    yield open_
    for terminal in opened:
        terminal.close()


def test_a_picked_session_goes_on(pick: Callable[..., Terminal]) -> None:
    """Typing a part of the name and Enter resumes that session in the chat."""
    terminal = pick()
    terminal.wait_for("2/2")
    terminal.type("ali")
    terminal.wait_for("1/2")
    terminal.type(ENTER)
    terminal.wait_for("session alice (1 turn)")
    terminal.say("who am I?")
    terminal.wait_for("Alice!")
    terminal.ready()
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    assert terminal.settings == untouched_settings()


@pytest.mark.parametrize("key", [ESC, CTRL_C])
def test_leaving_the_list_is_130(pick: Callable[..., Terminal], key: str) -> None:
    """Who leaves without choosing gets the exit code of an interruption, and a clean terminal."""
    terminal = pick("greeting", rows=5, columns=20)
    terminal.wait_for("alice")
    terminal.type(key)

    assert terminal.ended() == 130
    assert terminal.settings == untouched_settings()
    assert LEAVES_ALTERNATE_SCREEN in terminal.raw


def test_a_signal_ends_the_list(pick: Callable[..., Terminal]) -> None:
    """TERM ends the picker as a signal, with the terminal as it was."""
    terminal = pick()
    terminal.wait_for("2/2")
    terminal.kill(signal.SIGTERM)

    assert terminal.ended() == 143
    assert terminal.settings == untouched_settings()
    assert LEAVES_ALTERNATE_SCREEN in terminal.raw


def test_a_closed_window_ends_the_list(pick: Callable[..., Terminal]) -> None:
    """When the window goes, so does the picker."""
    terminal = pick()
    terminal.wait_for("2/2")

    assert terminal.hang_up() == 128 + signal.SIGHUP


def test_a_dumb_terminal_gets_numbers(pick: Callable[..., Terminal]) -> None:
    """Where the screen cannot be drawn on, the sessions are numbered, and no escape sequence is sent."""
    terminal = pick("greeting", env={"TERM": "dumb"})
    terminal.wait_for("which, 1 to 2?")
    assert "  2  greeting/alice  (1 turn)  my name is Alice" in terminal.screen
    assert b"\x1b" not in terminal.raw
    terminal.type("2" + ENTER)
    terminal.wait_for("session alice")


def test_a_dumb_terminal_asks_again(pick: Callable[..., Terminal]) -> None:
    """A number that is not in the list is asked for again, and Ctrl-D opens nothing."""
    terminal = pick("greeting", env={"TERM": "dumb"})
    terminal.wait_for("which")
    terminal.type("7" + ENTER)
    terminal.until(lambda: terminal.screen.count("which") == 2, "the question once more")
    terminal.type(CTRL_D)

    assert terminal.ended() == 2
    assert terminal.lines[-1] == "error: nobody answered"


def test_without_colour_the_selection_can_be_seen(pick: Callable[..., Terminal]) -> None:
    """NO_COLOR takes the colours away; the mark before the selected session stays."""
    terminal = pick(env={"NO_COLOR": "1"})
    terminal.wait_for("2/2")
    assert "> greeting  bob" in terminal.screen
    terminal.type(ESC)

    assert terminal.ended() == 130
    assert b"\x1b[36m" not in terminal.raw
    assert b";36m" not in terminal.raw
