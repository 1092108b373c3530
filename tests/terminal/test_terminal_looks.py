"""The look of the chat: what is bold, dim or coloured on a terminal, and what is there without colours."""

from __future__ import annotations

import re

import pytest
from conftest import Flue
from support.real_terminal import CTRL_C, CTRL_D, ENTER, TAB, Terminal
from support.terminals import Terminals

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

AGENT = """
import sys, time

def agent(prompt, session, context):
    if prompt == "fail":
        raise ValueError("no such colour")
    if prompt == "wait":
        yield "begun"
        time.sleep(100)
    print("thinking")
    yield f"<{prompt}>"
"""

STYLED = re.compile(rb"\x1b\[([0-9;]*)m")


def talk(terminal: Terminal) -> bytes:
    """Run a turn that prints, one that fails and one that is cancelled; all that reached the terminal."""
    for prompt, answer in (("hi", "<hi>"), ("fail", "no such colour"), ("wait", "begun")):
        terminal.say(prompt)
        terminal.wait_for(answer)
    terminal.type(CTRL_C)
    terminal.ready()
    terminal.type(CTRL_D)
    assert terminal.ended() == 0
    return terminal.raw.replace(b"\r\n", b"\n")


def test_notices_are_dim_and_errors_red(flue: Flue, terminals: Terminals) -> None:
    """Notices and what an agent prints are dim, the word "error:" is red, and a reply is as it is."""
    flue.agent("painter", AGENT)
    raw = talk(terminals.chat("painter", "-s", "work", TERM="xterm-256color"))

    assert b"\x1b[2mthinking\x1b[22m\n" in raw
    assert b"\x1b[1;31merror:\x1b[0m the agent failed: ValueError: no such colour" in raw
    assert b"\x1b[2mcancelled\x1b[22m\n" in raw
    assert b"\x1b[2mresume with: flue chat painter -r work\x1b[22m\n" in raw
    assert b"<hi>\n" in raw
    assert b"\x1b[2m<hi>" not in raw


def test_without_colours(flue: Flue, terminals: Terminals) -> None:
    """NO_COLOR takes the colours away, and leaves bold and dim."""
    flue.agent("painter", AGENT)
    raw = talk(terminals.chat("painter", "-s", "work", TERM="xterm-256color", NO_COLOR="1"))

    assert b"\x1b[2mthinking\x1b[22m\n" in raw
    assert b"\x1b[1merror:\x1b[0m the agent failed" in raw
    codes = {code for codes in STYLED.findall(raw) for code in codes.split(b";")}
    assert codes <= {b"", b"0", b"1", b"2", b"22"}


def test_a_dumb_terminal_gets_words_only(flue: Flue, terminals: Terminals) -> None:
    """With TERM=dumb nothing is styled, and every notice, error and reply is there all the same."""
    flue.agent("painter", AGENT)
    raw = talk(terminals.chat("painter", "-s", "work", TERM="dumb"))

    assert set(STYLED.findall(raw)) <= {b"0"}
    for text in (b"thinking\n", b"<hi>\n", b"error: the agent failed", b"cancelled\n", b"resume with: "):
        assert text in raw


def test_own_prompts_stand_out(terminals: Terminals) -> None:
    """A prompt that was sent is bold, with an empty line above it; one that is being typed is not."""
    terminal = terminals.chat("echo", "-s", "work", TERM="xterm-256color")
    terminal.ready()
    terminal.type("hello")
    terminal.until(lambda: terminal.typed == "> hello", "the prompt")
    assert not terminal.is_bold("hello")
    terminal.type(ENTER)
    terminal.say("again")
    terminal.wait_for("<again>\n")

    assert "\n\n> hello\n<hello>\n\n> again\n<again>\n" in terminal.everything
    assert terminal.is_bold("> hello")
    assert not terminal.is_bold("<hello>")


@pytest.mark.parametrize("columns", [80, 200])
def test_the_menu_opens_with_the_slash(terminals: Terminals, columns: int) -> None:
    """A slash opens the menu of commands, as wide as the screen; what is typed narrows it, Enter sends."""
    terminal = terminals.chat("echo", "-s", "work", columns=columns)
    terminal.ready()
    terminal.type("/")
    terminal.wait_for("/undo [N]")
    assert "Undo the last turn, or N." in terminal.screen
    terminal.type("res")
    terminal.until(lambda: "/undo" not in terminal.screen and "/resume" in terminal.screen, "fewer commands")
    row = next(line for line in terminal.lines if "/resume NAME" in line)
    assert row.index("/resume") == 1
    terminal.type(CTRL_C)
    terminal.say("/status")
    terminal.wait_for("\nagent    echo\n")


def test_a_long_description_is_cut_at_the_edge(terminals: Terminals) -> None:
    """The menu of sessions shows as much of their last prompts as there is room for."""
    words = (
        "so much to say that it takes more than forty characters of the screen, and more than eighty in all"
    )
    earlier = terminals.chat("echo", "-s", "older")
    earlier.say(words)
    earlier.wait_for("in all>")
    earlier.say("/exit")
    assert earlier.ended() == 0
    for columns, shown in ((80, "more than forty characters"), (200, "more than eighty in all")):
        terminal = terminals.chat("echo", "-s", "work", columns=columns)
        terminal.ready()
        terminal.type("/resume " + TAB)
        terminal.wait_for(shown)


@pytest.mark.parametrize(("example", "hint"), [("example_prompt = 'draw a cat'\n", "draw a cat"), ("", "")])
def test_the_first_screen(flue: Flue, terminals: Terminals, example: str, hint: str) -> None:
    """A new session begins with what the agent does and one thing to try; a resumed one does not."""
    flue.agent("painter", f'"""Paints what you say."""\n{example}{AGENT}')
    terminal = terminals.chat("painter", "-s", "work", TERM="xterm-256color")
    terminal.ready()

    assert terminal.lines == [
        "painter · session work (new) · /help",
        "Paints what you say.",
        f"Try: {hint}" if hint else "Type a prompt, or / for the commands.",
        "",
        ">",
    ]
    assert terminal.is_bold("painter")
    assert not terminal.is_bold("session work")
    terminal.say("hello")
    terminal.wait_for("<hello>\n")
    resumed = terminals.chat("painter", "-s", "work")
    resumed.ready()
    assert "Paints what you say." not in resumed.screen


TOOLS = """
from flue_cli import Message, Reply

def agent(prompt, session, context):
    function = {"name": "search", "arguments": '{"query": "flue"}'}
    messages = [
        Message("assistant", None, {"tool_calls": [{"id": "1", "type": "function", "function": function}]}),
        Message("tool", "three results: " + "one, two and three, " * 10, {"tool_call_id": "1"}),
    ]
    if prompt != "stream":
        return Reply("it", messages)
    return iter(["found ", Reply("it", messages)])
"""

TOOL_LINE = '⚙ search("flue") -> three results: one, two and three, one, two and three, one…'


def test_tool_messages_are_seen(flue: Flue, terminals: Terminals) -> None:
    """A turn's tool messages are dim lines, cut to the width: in the chat, in /history, in show and in a pipe."""
    flue.agent("finder", f'reply_format = "markdown"\n{TOOLS}')
    terminal = terminals.chat("finder", "-s", "work", TERM="xterm-256color", rows=40)
    terminal.say("find")
    terminal.wait_for("it\n>")
    terminal.say("stream")
    terminal.wait_for("found it\n")
    terminal.say("/try find")
    terminal.wait_for("dry run: nothing was saved")
    assert f"> find\n{TOOL_LINE}\nit\n\n> stream\nfound it\n{TOOL_LINE}\n\n> /try find\n" in terminal.screen
    assert b"\x1b[2m" + TOOL_LINE.encode() + b"\x1b[22m" in terminal.raw
    terminal.say("/history 1")
    terminal.wait_for(f"> stream\n{TOOL_LINE}\nfound it\n")
    shown = terminals.flue("sessions", "show", "work")
    assert shown.ended() == 0
    assert f"> find\n{TOOL_LINE}\nit\n\n[2]" in shown.screen
    piped = flue("sessions", "show", "work", stdin=None).out
    assert '[1]\n> find\n⚙ search("flue") -> three results: ' in piped
    assert max(map(len, piped.splitlines())) == 200


def test_signs_where_the_locale_has_only_ascii(flue: Flue, terminals: Terminals) -> None:
    """In a locale without UTF-8, the first line and the marks of tool messages are ASCII."""
    flue.agent("finder", TOOLS)
    ascii_only = {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    terminal = terminals.chat("finder", "-s", "work", **ascii_only)
    terminal.say("find")
    assert terminal.lines[0] == "finder - session work (new) - /help"
    terminal.wait_for('* search("flue") -> three results: one, two and three, one, two and three, o...\nit\n')


SLOW = """
import os, time

def agent(prompt, session, context):
    print("thinking")
    while not os.path.exists("gate"):
        time.sleep(0.01)
    yield "done "
    yield "now"
"""


def test_a_single_prompt_shows_a_sign_of_life(flue: Flue, terminals: Terminals) -> None:
    """Who waits at a terminal for one reply sees the time pass; with the reply it is gone without a trace."""
    flue.agent("slow", SLOW)
    terminal = terminals.chat("slow", "-s", "work", "hi")
    terminal.wait_for("thinking\n")
    terminal.wait_for(" 1 s · Ctrl-C cancels")
    (flue.folder / "gate").touch()

    assert terminal.ended() == 0
    assert terminal.everything == "thinking\ndone now\n"


def test_a_single_prompt_can_be_cancelled(flue: Flue, terminals: Terminals) -> None:
    """Ctrl-C ends the turn of a single prompt, and leaves nothing of the sign of life."""
    flue.agent("slow", SLOW)
    terminal = terminals.chat("slow", "-s", "work", "hi")
    terminal.wait_for("thinking\n")
    terminal.wait_for("Ctrl-C cancels")
    terminal.type(CTRL_C)

    assert terminal.ended() == 130
    assert [line.replace("^C", "") for line in terminal.lines] == ["thinking", "cancelled"]


@pytest.mark.parametrize("redirection", ["2>&1 | cat", "2> errors", "> reply"])
def test_no_sign_of_life_in_a_pipe_or_file(flue: Flue, terminals: Terminals, redirection: str) -> None:
    """Unless both stdout and stderr are a terminal, no escape sequence is written."""
    flue.agent("slow", SLOW)
    terminal = terminals.shell(f"(sleep 1; touch gate) & flue chat slow -s work hi {redirection}; echo over")
    terminal.wait_for("over\n")

    written = terminal.raw + b"".join(path.read_bytes() for path in flue.folder.glob("e*s"))
    assert b"thinking" in written
    assert b"cancels" not in written
