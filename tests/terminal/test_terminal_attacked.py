"""The chat on a real terminal, treated badly."""

from __future__ import annotations

import pytest
from support.real_terminal import CTRL_C, CTRL_D, ENTER
from support.terminals import Terminals

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

CTRL_G = "\x07"


def test_what_was_typed_survives_an_editor_that_fails(terminals: Terminals) -> None:
    """Whatever goes wrong with the editor, or with bytes that it is given, is one line, and what was typed stays."""
    editor = terminals.program(
        "editor",
        'cp "$1" seen; case $(cat "$1") in fail*) exit 3;; odd*) printf "caf\\351" > "$1";; esac',
    )
    terminal = terminals.chat("echo", VISUAL=editor)
    terminal.ready()
    terminal.type("fail" + CTRL_G)
    terminal.wait_for("error: the editor failed with exit code 3: nothing was saved\n> fail")
    terminal.type(CTRL_C + "odd" + CTRL_G)
    terminal.wait_for("error: the text from the editor cannot be read")
    terminal.wait_for("> odd")
    terminal.type(CTRL_C)
    terminal.type(b"caf\xe9" + CTRL_G.encode())
    terminal.wait_for("> caf?")
    terminal.type(ENTER)
    terminal.wait_for("<caf?>")
    terminal.ready()
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    assert "Traceback" not in terminal.everything
