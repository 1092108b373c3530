"""Ctrl-C, Ctrl-Z, signals, and windows that are closed, at the prompt and while an agent works."""

from __future__ import annotations

import signal
import termios

import pytest
from conftest import Flue
from support.real_terminal import (
    CTRL_C,
    CTRL_D,
    CTRL_Z,
    ENTER,
    UP,
    untouched_settings,
)
from support.terminals import HEADING, IN_TWO_PIECES, LONG, WORKING, Terminals

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")


TALKING = """
def agent(prompt, session, context):
    yield "working\\n"
    while True:
        time.sleep(0.01)
        yield "and so on\\n"
"""


# Ctrl-C


def test_leaving_by_ctrl_c_ends_the_command_by_sigint(terminals: Terminals) -> None:
    """Ctrl-C on an empty line says what a second one does; the second one ends the command by SIGINT."""
    terminal = terminals.chat("greeting")
    terminal.ready()
    terminal.type(CTRL_C)
    terminal.wait_for("press Ctrl-C again to leave, or Ctrl-D\n>")
    terminal.ready()
    terminal.type(CTRL_C)

    assert terminal.ended() == 130
    assert terminal.died_by == signal.SIGINT
    assert terminal.settings == untouched_settings()


def test_a_shell_sees_that_ctrl_c_ended_the_chat(terminals: Terminals) -> None:
    """In a shell, a chat left by Ctrl-C has the exit code 130, and the shell goes on."""
    terminal = terminals.shell()
    terminal.wait_for("shell$")
    terminal.type("flue chat greeting" + ENTER)
    terminal.ready()
    terminal.type(CTRL_C)
    terminal.wait_for("press Ctrl-C again to leave, or Ctrl-D\n>")
    terminal.type(CTRL_C)
    terminal.until(lambda: terminal.typed == "shell$ ", "the shell")
    terminal.type("echo code $?" + ENTER)

    terminal.wait_for("\ncode 130\n")


def test_ctrl_c_clears_the_line_and_up_brings_it_back(terminals: Terminals) -> None:
    """Ctrl-C with something typed clears the line, a second one does not leave, and Up has it again."""
    terminal = terminals.chat("echo")
    terminal.ready()
    terminal.type("a long thought")
    terminal.wait_for("> a long thought")
    terminal.type(CTRL_C)
    terminal.ready()
    terminal.type(CTRL_C)
    terminal.wait_for("press Ctrl-C again")
    terminal.ready()
    terminal.type(UP)
    terminal.until(lambda: terminal.typed == "> a long thought", "what was typed")
    terminal.type(" indeed" + ENTER)

    terminal.wait_for("<a long thought indeed>")


@pytest.mark.parametrize("kind", ["sync", "async", "asleep", "stubborn"])
def test_ctrl_c_at_the_keyboard_cancels_the_turn(terminals: Terminals, flue: Flue, kind: str) -> None:
    """Ctrl-C ends the turn whatever the agent does about it; Up has its prompt, and the next is answered."""
    flue.agent("working", HEADING + WORKING[kind])
    terminal = terminals.chat("working", "-s", "work")
    terminal.say("go")
    terminal.wait_for("working\n")
    terminal.type(CTRL_C)
    terminal.wait_for("cancelled")
    terminal.ready()
    terminal.type(UP)
    terminal.until(lambda: terminal.typed == "> go", "the cancelled prompt")
    terminal.type(CTRL_C)
    terminal.say("next")
    terminal.wait_for("> next\n<next>\n>")
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    kept = flue("sessions", "show", "work").out
    assert kept.startswith("[1] (cancelled)\n> go\n")
    assert kept.endswith("[2]\n> next\n<next>\n")


def test_ctrl_c_while_a_long_reply_is_printed_keeps_the_chat(terminals: Terminals, flue: Flue) -> None:
    """One Ctrl-C never leaves the chat, not even while a reply rolls by."""
    flue.agent("long", LONG)
    terminal = terminals.chat("long")
    terminal.say("go")
    terminal.until(lambda: "row 001" in terminal.everything, "the reply's beginning")
    terminal.type(CTRL_C)
    terminal.say("next")

    terminal.wait_for("> next\nshort\n>")


def test_ctrl_c_while_data_is_printed_keeps_the_chat(terminals: Terminals, flue: Flue) -> None:
    """One Ctrl-C does not leave the chat while a command's answer rolls by, and typed prompts wait."""
    flue.agent(
        "hoarder",
        "def agent(prompt, session, context):\n"
        "    session.data['rows'] = [f'row {number:03} ' + '-' * 40 for number in range(1000)]\n"
        "    return f'<{prompt}>'\n",
    )
    terminal = terminals.chat("hoarder")
    terminal.say("keep")
    terminal.wait_for("<keep>")
    terminal.say("/data rows")
    terminal.until(lambda: "row 001" in terminal.everything, "the data's beginning")
    terminal.type(CTRL_C)
    terminal.type("next" + ENTER)

    terminal.wait_for("> next\n<next>\n>")


def test_ctrl_c_in_the_pager_keeps_the_chat(terminals: Terminals, flue: Flue) -> None:
    """Ctrl-C while a long history is paged is the pager's, and the chat is there afterwards."""
    flue("chat", "echo", "-s", "work", "--lines", stdin="".join(f"{number}\n" for number in range(10)))
    pager = terminals.program(
        "pager", "trap '' INT; cat > paged; echo paged, press Enter; read answer < /dev/tty; echo $answer"
    )
    terminal = terminals.chat("echo", "-s", "work", PAGER=pager)
    terminal.say("/history 100")
    terminal.wait_for("paged, press Enter\n")
    terminal.type(CTRL_C)
    terminal.type("answer" + ENTER)
    terminal.wait_for("\nanswer\n")
    terminal.say("next")

    terminal.wait_for("<next>")
    assert "> 9\n" in (flue.folder / "paged").read_text().replace("\x1b[1m", "").replace("\x1b[0m", "")


def test_a_pager_that_is_not_there(terminals: Terminals, flue: Flue) -> None:
    """A long history is shown or an error, but the chat goes on, when PAGER names no program."""
    flue("chat", "echo", "-s", "work", "--lines", stdin="".join(f"{number}\n" for number in range(10)))
    terminal = terminals.chat("echo", "-s", "work", PAGER="no-such-pager")
    terminal.say("/history")
    terminal.say("next")

    terminal.wait_for("> next\n<next>\n>")


# Signals


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_prompt_leaves_the_terminal_as_it_was(
    terminals: Terminals, signum: signal.Signals
) -> None:
    """TERM and HUP end the chat by that signal, say how to come back, and leave the terminal as it was."""
    terminal = terminals.chat("echo", "-s", "work")
    terminal.say("hello")
    terminal.wait_for("<hello>\n>")
    terminal.ready()
    terminal.type("half a pro")
    terminal.wait_for("> half a pro")
    terminal.kill(signum)

    assert terminal.ended() == 128 + signum
    assert terminal.died_by == signum
    assert terminal.settings == untouched_settings()
    assert terminal.lines[-2:] == ["> half a pro", "resume with: flue chat echo -r work"]


@pytest.mark.parametrize(
    ("signum", "kind"),
    [
        (signal.SIGTERM, "sync"),
        (signal.SIGHUP, "streaming"),
        (signal.SIGTERM, "async"),
        (signal.SIGHUP, "asleep"),
    ],
)
def test_a_signal_during_a_turn_ends_turn_and_chat(
    terminals: Terminals, flue: Flue, signum: signal.Signals, kind: str
) -> None:
    """TERM and HUP cancel the turn and end the chat by that signal, with the terminal as it was."""
    flue.agent("working", HEADING + WORKING[kind])
    terminal = terminals.chat("working", "-s", "work")
    terminal.say("go")
    terminal.wait_for("working\n")
    terminal.kill(signum)

    assert terminal.ended() == 128 + signum
    assert terminal.died_by == signum
    assert terminal.settings == untouched_settings()
    assert terminal.lines[-1] == "resume with: flue chat working -r work"
    assert flue("sessions", "show", "work").out.startswith("[1] (cancelled)\n> go\n")


def test_a_term_right_after_an_interrupt_ends_the_command(terminals: Terminals, flue: Flue) -> None:
    """A TERM that comes while a cancelled agent is still being stopped is not forgotten."""
    flue.agent("working", HEADING + WORKING["asleep"])
    terminal = terminals.chat("working", "-s", "work")
    terminal.say("go")
    terminal.wait_for("working\n")
    terminal.kill(signal.SIGINT)
    terminal.kill(signal.SIGTERM)
    terminal.until(lambda: terminal.over or terminal.typed == "> ", "the end or a prompt")

    assert terminal.ended() == 143
    assert flue("sessions", "show", "work").out.startswith("[1] (cancelled)\n> go\n")


def test_an_interrupt_from_elsewhere_is_no_traceback(terminals: Terminals) -> None:
    """`kill -INT` at the prompt is a Ctrl-C or the end, and nothing that looks like a bug."""
    terminal = terminals.chat("greeting")
    terminal.ready()
    terminal.kill(signal.SIGINT)
    terminal.until(lambda: terminal.over or "press Ctrl-C again" in terminal.screen, "a reaction")
    if not terminal.over:
        terminal.type(CTRL_C)

    assert terminal.ended() == 130
    assert "Traceback" not in terminal.everything


def test_closing_the_window_at_the_prompt_ends_the_chat(terminals: Terminals, flue: Flue) -> None:
    """When the terminal goes away the chat ends by SIGHUP, as every program in it."""
    terminal = terminals.chat("echo", "-s", "work")
    terminal.say("hello")
    terminal.wait_for("<hello>\n>")

    assert terminal.hang_up() == 129
    assert flue("sessions", "show", "work").out == "[1]\n> hello\n<hello>\n"


@pytest.mark.parametrize("kind", ["sync", "async", "talking"])
def test_closing_the_window_during_a_turn_cancels_it(terminals: Terminals, flue: Flue, kind: str) -> None:
    """When the terminal goes away the turn is cancelled and the chat ends by SIGHUP."""
    flue.agent("working", HEADING + (TALKING if kind == "talking" else WORKING[kind]))
    terminal = terminals.chat("working", "-s", "work")
    terminal.say("go")
    terminal.wait_for("working\n")
    code = terminal.hang_up()

    assert flue("sessions", "show", "work").out.startswith("[1] (cancelled)\n> go\n")
    assert code == 129


def test_the_chat_can_be_stopped_at_the_prompt(terminals: Terminals) -> None:
    """Ctrl-Z gives the shell back, fg brings the prompt back with what was typed."""
    terminal = terminals.shell()
    terminal.wait_for("shell$")
    terminal.type("flue chat echo" + ENTER)
    terminal.ready()
    terminal.type("half")
    terminal.wait_for("> half")
    terminal.type(CTRL_Z)
    terminal.wait_for("Stopped")
    terminal.until(lambda: terminal.typed == "shell$ ", "the shell")
    terminal.type("echo mean$((1))while" + ENTER)
    terminal.wait_for("\nmean1while\n")
    terminal.type("fg" + ENTER)
    terminal.until(lambda: terminal.typed == "> half", "the prompt")
    terminal.type(" and half" + ENTER)

    terminal.wait_for("> half and half\n<half and half>\n>")


def test_the_chat_can_be_stopped_during_a_turn(terminals: Terminals, flue: Flue) -> None:
    """Ctrl-Z during a turn gives the shell back; after fg the reply goes on, with a quiet keyboard."""
    flue.agent("streaming", IN_TWO_PIECES)
    terminal = terminals.shell()
    terminal.wait_for("shell$")
    terminal.type("flue chat streaming" + ENTER)
    terminal.say("go")
    terminal.wait_for("first go")
    terminal.type(CTRL_Z)
    terminal.wait_for("Stopped")
    terminal.until(lambda: terminal.typed == "shell$ ", "the shell")
    terminal.type("fg" + ENTER)
    terminal.wait_for("shell$ fg\nflue chat streaming\n")  # from here on it is not the shell's any more
    terminal.until(lambda: not terminal.settings[3] & termios.ECHO, "a keyboard without echo")
    terminal.type("ahead" + ENTER)
    (flue.folder / "gate").touch()

    terminal.wait_for("second go\n> ahead\nfirst ahead, second ahead\n>")
