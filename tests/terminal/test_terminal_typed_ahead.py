"""What is typed before the chat is ready and while an agent works, and what terminals send by themselves."""

from __future__ import annotations

import termios

import pytest
from conftest import Flue
from support.real_terminal import CTRL_C, CTRL_D, ENTER, PASTE_BEGINS, untouched_settings
from support.terminals import HEADING, IN_TWO_PIECES, WORKING, Terminals

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

FAILING = """
import os, time

def agent(prompt, session, context):
    if prompt == "go":
        while not os.path.exists("gate"):
            time.sleep(0.01)
        raise ValueError("no")
    return f"<{prompt}>"
"""


# Before the chat is ready


def test_prompts_typed_before_the_chat_starts_are_turns(terminals: Terminals, flue: Flue) -> None:
    """Two lines typed right after the command, before anything reads them, are two turns; Ctrl-D then leaves."""
    terminal = terminals.shell(f"sleep 0.3; exec {' '.join(flue.command)} chat task-planner -s work")
    terminal.type("add A" + ENTER + "add B" + ENTER + CTRL_D)

    assert terminal.ended() == 0
    shown = flue("sessions", "show", "work").out
    assert '> add A\nAdded task: "A".' in shown
    assert '> add B\nAdded task: "B".' in shown
    assert terminal.settings == untouched_settings()


# While an agent works


def test_what_is_typed_while_a_reply_comes_is_shown_below_it(terminals: Terminals, flue: Flue) -> None:
    """Prompts that wait are shown below the reply, with the one that is being typed, and then leave no trace."""
    flue.agent("streaming", IN_TWO_PIECES)
    terminal = terminals.chat("streaming")
    terminal.say("go")
    terminal.wait_for("first go")
    terminal.type("two" + ENTER + "fou\x7f\x7five" + ENTER + "thr")
    terminal.wait_for("first go\n")
    terminal.wait_for("queued: two\nqueued: five\n> thr\n")
    (flue.folder / "gate").touch()

    terminal.wait_for(
        "> go\nfirst go, second go\n\n> two\nfirst two, second two\n\n> five\nfirst five, second five\n\n> thr\n"
    )
    assert "queued" not in terminal.screen


def test_a_stalled_reply_shows_the_time_again(terminals: Terminals, flue: Flue) -> None:
    """When no piece comes for a while, time and "Ctrl-C cancels" are back below it, and gone with the next."""
    flue.agent("streaming", IN_TWO_PIECES)
    terminal = terminals.chat("streaming")
    terminal.say("go")
    terminal.wait_for("first go\n")
    terminal.wait_for(" s · Ctrl-C cancels\n")
    assert terminal.typed == "first go"
    (flue.folder / "gate").touch()

    terminal.wait_for("> go\nfirst go, second go\n\n>")
    assert "cancels" not in terminal.screen


@pytest.mark.parametrize("text", ["x" * 20, "x" * 18 + "漢", "x" * 30])
def test_a_stalled_reply_at_the_edge_of_the_screen(terminals: Terminals, flue: Flue, text: str) -> None:
    """A reply that stops in the last column, also in the last row, goes on there as if nothing was drawn."""
    flue.agent("edge", IN_TWO_PIECES.replace('f"first {prompt}"', f'"1\\n2\\n3\\n" + "{text}"'))
    terminal = terminals.chat("edge", columns=20, rows=8)
    terminal.say("go")
    terminal.wait_for("Ctrl-C cancels")
    terminal.type("next")
    terminal.wait_for("\n> next")
    (flue.folder / "gate").touch()

    terminal.until(
        lambda: f"3\n{text}, second go\n\n> next\n" in terminal.everything.replace("\x00", ""), "the reply"
    )
    assert "cancels" not in terminal.everything


def test_a_queued_prompt_is_not_sent_after_ctrl_c(terminals: Terminals, flue: Flue) -> None:
    """What was queued when a turn is cancelled comes back into the line, all of it, and waits for Enter."""
    flue.agent("working", HEADING + WORKING["sync"])
    terminal = terminals.chat("working", "-s", "work")
    terminal.say("go")
    terminal.wait_for("working\n")
    terminal.type("two" + ENTER + "three" + ENTER)
    terminal.wait_for("queued: two\nqueued: three\n")
    terminal.type(CTRL_C)
    terminal.wait_for("cancelled\n\n> two\n  three\n")
    terminal.type(ENTER)

    terminal.wait_for("<two\nthree>\n\n>")


def test_a_prompt_typed_after_ctrl_c_is_sent(terminals: Terminals, flue: Flue) -> None:
    """Who cancels a turn and types on, before it has ended, means that prompt."""
    flue.agent(
        "slow",
        "import os, time\n\ndef agent(prompt, session, context):\n    if prompt != 'go':\n        return f'<{prompt}>'\n"
        "    try:\n        print('working')\n        time.sleep(100)\n    finally:\n"
        "        while not os.path.exists('gate'):\n            time.sleep(0.01)\n",
    )
    terminal = terminals.chat("slow", "-s", "work")
    terminal.say("go")
    terminal.wait_for("working\n")
    terminal.type(CTRL_C)
    terminal.wait_for("cancelling")
    terminal.type("next" + ENTER)
    terminal.wait_for("queued: next")
    (flue.folder / "gate").touch()

    terminal.wait_for("> next\n<next>\n\n>")


def test_a_queued_prompt_is_not_sent_after_a_failure(terminals: Terminals, flue: Flue) -> None:
    """What was queued when a turn fails comes back into the line: it may depend on the reply."""
    flue.agent("failing", FAILING)
    terminal = terminals.chat("failing", "-s", "work")
    terminal.say("go")
    terminal.type("then commit" + ENTER)
    terminal.wait_for("queued: then commit")
    (flue.folder / "gate").touch()
    terminal.until(lambda: terminal.typed == "> then commit", "the queued prompt")
    terminal.type(ENTER)

    terminal.wait_for("> then commit\n<then commit>\n\n>")


def test_ctrl_c_in_the_notation_of_kitty_cancels(terminals: Terminals, flue: Flue) -> None:
    """Ctrl-C cancels a turn also where the terminal makes no signal of it."""
    flue.agent("working", HEADING + WORKING["sync"])
    terminal = terminals.chat("working", "-s", "work")
    terminal.say("go")
    terminal.wait_for("working\n")
    terminal.type("\x1b[99;5u")

    terminal.wait_for("cancelled\n\n>")


def test_a_program_that_asks_for_a_password_gets_it(terminals: Terminals, flue: Flue) -> None:
    """The chat leaves the keyboard to a program that an agent starts and that reads the terminal itself."""
    flue.agent(
        "asking",
        "import subprocess\n\ndef agent(prompt, session, context):\n"
        "    script = 'exec </dev/tty; old=$(stty -g); stty icanon icrnl -echo -echonl; printf pass?; '\n"
        "    script += 'read secret; stty $old; echo got $secret'\n"
        "    return subprocess.run(['sh', '-c', script], stdout=subprocess.PIPE, text=True).stdout\n",
    )
    terminal = terminals.chat("asking")
    terminal.say("go")
    terminal.until(lambda: bool(terminal.settings[3] & termios.ICANON), "a keyboard that reads lines")
    terminal.type("sesame" + ENTER)

    terminal.wait_for("pass?got sesame\n")
    assert terminal.screen.count("sesame") == 1


# What terminals send by themselves


def test_answers_of_the_terminal_are_no_prompt(terminals: Terminals) -> None:
    """Late answers, focus and mouse reports change no prompt and open no editor, while typing and during a turn."""
    reports = "\x1b]11;rgb:1c1c/1c1c/1c1c\x07\x1b[I\x1b[O\x1b[?62;22c\x1bP>|tmux 3.4\x1b\\\x1b[<35;1;2M"
    terminal = terminals.chat("echo", EDITOR="false")
    terminal.ready()
    terminal.type("one" + reports + "two\x1b[13;2uthree" + reports + ENTER + reports)
    terminal.wait_for("<onetwo\nthree>\n\n>")
    terminal.type(reports)
    terminal.say("next")

    terminal.wait_for("<next>\n\n>")


def test_a_paste_without_an_end(terminals: Terminals) -> None:
    """When the end of a paste is lost, silence ends it; its text is in the line, and keys work."""
    terminal = terminals.chat("echo")
    terminal.ready()
    terminal.type(PASTE_BEGINS + "half a paste")
    terminal.until(lambda: terminal.typed == "> half a paste", "the pasted text")
    terminal.type(ENTER)

    terminal.wait_for("<half a paste>\n\n>")


def test_a_plain_locale_takes_utf_8(terminals: Terminals, flue: Flue) -> None:
    """In a locale without UTF-8 the chat takes the same prompts that a pipe takes."""
    terminal = terminals.chat("echo", "-s", "work", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    terminal.ready()
    terminal.type("Žofie" + ENTER)

    terminal.wait_for("<Žofie>\n\n>")
    assert flue("sessions", "show", "work").out.endswith("> Žofie\n<Žofie>\n")


# A terminal that cannot move its cursor


def test_a_dumb_terminal_gets_no_escape_sequences(terminals: Terminals, flue: Flue) -> None:
    """With TERM=dumb the chat is plain text, at the prompt, in turns and lists, and the terminal edits the line."""
    flue.agent("streaming", IN_TWO_PIECES)
    terminal = terminals.chat("streaming", "-s", "work", TERM="dumb")
    terminal.ready()
    terminal.type("gon\x7f" + ENTER)
    terminal.wait_for("first go")
    terminal.type("two\\" + ENTER + "lines" + ENTER + "three" + ENTER)
    (flue.folder / "gate").touch()
    terminal.wait_for(
        "first go, second go\n\n> two\\\n  lines\nfirst two\nlines, second two\nlines\n\n> three\n"
    )
    terminal.wait_for("second three\n\n>")
    for command in ("/help", "/history", "/data", "/status", "/sessions", "/undo"):
        terminal.say(command)
        terminal.until(lambda: terminal.typed == "> ", "the next prompt")
    terminal.say("/edit")
    terminal.until(lambda: terminal.typed == "  lines", "the last prompt")
    terminal.type("!" + ENTER)
    terminal.wait_for("second two\nlines!\n\n>")
    terminal.ready()
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    assert b"\x1b" not in terminal.raw
    assert terminal.settings == untouched_settings()
    assert "+two\n+lines!\n" in (flue.home / "history" / "streaming.txt").read_text()


def test_ctrl_c_on_a_dumb_terminal(terminals: Terminals, flue: Flue) -> None:
    """Ctrl-C cancels a turn and drops a line, and a second one leaves, as on other terminals."""
    flue.agent("working", HEADING + WORKING["sync"])
    terminal = terminals.chat("working", "-s", "work", TERM="dumb")
    terminal.say("go")
    terminal.wait_for("working\n")
    terminal.type("queued" + ENTER + CTRL_C)
    terminal.wait_for("cancelled")
    terminal.until(lambda: terminal.typed == "> queued", "the queued prompt")
    terminal.type(CTRL_C)
    terminal.wait_for("press Ctrl-C again to leave, or Ctrl-D\n\n>")
    terminal.type(CTRL_C)

    assert terminal.ended() == 130
    assert flue("sessions", "show", "work").out.count("> ") == 1
    assert terminal.settings == untouched_settings()
