"""The look of the chat: what is bold, dim or coloured on a terminal, and what is there without colours."""

from __future__ import annotations

import re

import pytest
from conftest import Flue
from support.real_terminal import CTRL_C, CTRL_D, Terminal
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
    assert b"\n<hi>\n" in re.sub(rb"\x1b\[[?0-9;]*[A-Za-ln-z]", b"", raw)


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
