"""Keys that complete, suggest and search, and terminals that can do little."""

from __future__ import annotations

import pytest
from support.real_terminal import (
    CTRL_C,
    CTRL_D,
    CTRL_R,
    EDITOR,
    ENTER,
    RIGHT,
    TAB,
)
from support.terminals import Terminals

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")


def test_keys_that_save_typing(terminals: Terminals) -> None:
    """Tab completes a command, and the right arrow takes what is suggested from earlier prompts."""
    terminal = terminals.chat("echo")
    terminal.ready()
    terminal.type("/he" + TAB)
    terminal.until(lambda: terminal.typed == "> /help", "the whole command")
    terminal.type(CTRL_C)
    terminal.say("something long")
    terminal.wait_for("<something long>\n>")
    terminal.ready()
    terminal.type("some")
    terminal.wait_for("\n<something long>\n> something long")
    terminal.type(RIGHT)
    terminal.until(lambda: terminal.typed == "> something long", "what was suggested")
    terminal.type("er" + ENTER)

    terminal.wait_for("<something longer>")


def test_earlier_prompts_can_be_searched(terminals: Terminals) -> None:
    """Ctrl-R finds an earlier prompt, even from another day; Enter takes it, and Enter again sends it."""
    flue_yesterday = terminals.chat("echo")
    flue_yesterday.say("a needle")
    flue_yesterday.say("/exit")
    assert flue_yesterday.ended() == 0
    terminal = terminals.chat("echo")
    terminal.say("some hay")
    terminal.wait_for("<some hay>\n>")
    terminal.ready()
    terminal.type(CTRL_R + "need")
    terminal.wait_for("> a needle")
    terminal.type(ENTER)
    terminal.until(lambda: "I-search" not in terminal.screen, "the end of the search")
    terminal.type(ENTER)

    terminal.wait_for("> a needle\n<a needle>\n>")


def test_ctrl_c_ends_a_search(terminals: Terminals) -> None:
    """Ctrl-C in a search for earlier prompts goes back to the prompt."""
    terminal = terminals.chat("echo")
    terminal.ready()
    terminal.type(CTRL_R + "need")
    terminal.wait_for("I-search backward: need")
    terminal.type(CTRL_C)
    terminal.until(lambda: "I-search" not in terminal.screen, "the end of the search")
    terminal.ready()


def test_a_terminal_that_can_do_little_will_do(terminals: Terminals) -> None:
    """On a terminal without cursor movement the chat works all the same."""
    terminal = terminals.chat("echo", TERM="dumb")
    terminal.say("hello")
    terminal.wait_for("> hello\n<hello>\n>")
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


def test_a_prompt_can_be_written_in_an_editor(terminals: Terminals) -> None:
    """Ctrl-X Ctrl-E opens the person's editor, and what it leaves is the prompt."""
    editor = terminals.program("editor", 'printf "%s and more" "$(cat "$1")" > "$1"')
    terminal = terminals.chat("echo", EDITOR=editor)
    terminal.ready()
    terminal.type("some")
    terminal.wait_for("> some")
    terminal.type(EDITOR)
    terminal.wait_for("> some and more")
    terminal.type(ENTER)

    terminal.wait_for("<some and more>")
