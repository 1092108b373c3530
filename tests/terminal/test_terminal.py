"""The chat as a person has it: the real command in a terminal, and what its screen shows."""

from __future__ import annotations

import shlex
import shutil
import signal

import pytest
from conftest import Flue
from support.real_terminal import (
    ALT_ENTER,
    CTRL_C,
    CTRL_D,
    CTRL_J,
    ENTER,
    UP,
    untouched_settings,
)
from support.terminals import ECHO, HEADING, IN_TWO_PIECES, LONG, WORKING, Terminals

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")


# Talking


def test_the_screen_after_a_conversation(terminals: Terminals) -> None:
    """Who has said their name is greeted by it from the second prompt on."""
    terminal = terminals.chat("greeting", "-s", "work")
    terminal.say("my name is Alice")
    terminal.wait_for("Nice to meet you, Alice! How can I help?")
    terminal.say("Tell me a joke")
    terminal.wait_for('Hello again, Alice! You said: "Tell me a joke"')
    terminal.ready()
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    assert terminal.lines == [
        "greeting · session work (new) · /help",
        "Remembers your name.",
        "Try: my name is Ada",
        "",
        "> my name is Alice",
        "Nice to meet you, Alice! How can I help?",
        "",
        "> Tell me a joke",
        'Hello again, Alice! You said: "Tell me a joke"',
        "",
        ">",
        "resume with: flue chat greeting -r work",
    ]
    assert terminal.settings == untouched_settings()


def test_lines_typed_and_lines_pasted_are_one_prompt(terminals: Terminals) -> None:
    """Alt-Enter and Ctrl-J add a line, pasted lines stay together, and Enter sends it all as one prompt."""
    terminal = terminals.chat("echo", "-s", "work")
    terminal.ready()
    terminal.type("one" + ALT_ENTER + "two" + CTRL_J + "three ")
    terminal.wait_for("> one\n  two\n  three")
    terminal.paste("four\r\nfive\n\nseven")
    terminal.wait_for("> one\n  two\n  three four\n  five\n\n  seven")
    terminal.type(ENTER)

    terminal.wait_for("\n<one\ntwo\nthree four\nfive\n\nseven>\n>")


def test_a_very_long_paste_is_one_prompt(terminals: Terminals, flue: Flue) -> None:
    """Five thousand pasted lines wait for Enter and are one prompt."""
    flue.agent(
        "counter", "def agent(prompt, session, context):\n    return f'{prompt.count(chr(10)) + 1} lines'\n"
    )
    terminal = terminals.chat("counter")
    terminal.ready()
    terminal.paste("\n".join(f"line {number}" for number in range(5000)))
    terminal.wait_for("> [pasted 5,000 lines]")
    terminal.type(ENTER)
    terminal.wait_for("> [pasted 5,000 lines]\n5000 lines\n>")
    terminal.say("again")
    terminal.wait_for("> again\n1 lines\n>")


def test_a_resize_while_a_reply_comes_breaks_nothing(terminals: Terminals, flue: Flue) -> None:
    """Who drags the window larger or narrower, during a turn or at the prompt, goes on as before."""
    flue.agent("streaming", IN_TWO_PIECES)
    terminal = terminals.chat("streaming")
    terminal.say("go")
    terminal.wait_for("first go")
    terminal.resize(30, 60)
    (flue.folder / "gate").touch()
    terminal.wait_for("first go, second go\n>")
    terminal.resize(40, 50)
    terminal.say("once more")

    terminal.wait_for("first once more, second once more\n>")


# What is typed early


def test_what_is_typed_while_an_agent_works_comes_next(terminals: Terminals, flue: Flue) -> None:
    """Prompts typed ahead do not get into the reply; they are sent one after another when it is done."""
    flue.agent("streaming", IN_TWO_PIECES)
    terminal = terminals.chat("streaming")
    terminal.say("go")
    terminal.wait_for("first go")
    terminal.type("two" + ENTER + "three" + ENTER + "fo")
    (flue.folder / "gate").touch()

    terminal.wait_for(
        "> go\nfirst go, second go\n> two\nfirst two, second two\n> three\nfirst three, second three\n> fo"
    )
    terminal.type("ur" + ENTER)
    terminal.wait_for("> four\nfirst four, second four\n>")


def test_what_is_pasted_while_an_agent_works_is_one_prompt(terminals: Terminals, flue: Flue) -> None:
    """Lines pasted ahead stay together, and wait for Enter as they do at the prompt."""
    flue.agent("streaming", IN_TWO_PIECES)
    terminal = terminals.chat("streaming")
    terminal.say("go")
    terminal.wait_for("first go")
    terminal.paste("one\ntwo\nthree")
    (flue.folder / "gate").touch()
    terminal.wait_for("first go, second go\n> one\n  two\n  three")
    terminal.type(ENTER)

    terminal.wait_for("  three\nfirst one\ntwo\nthree, second one\ntwo\nthree\n>")


def test_what_is_typed_before_ctrl_c_comes_next(terminals: Terminals, flue: Flue) -> None:
    """Ctrl-C ends the turn and leaves what was typed meanwhile for the next prompt."""
    flue.agent("working", HEADING + WORKING["sync"])
    terminal = terminals.chat("working")
    terminal.say("go")
    terminal.wait_for("working\n")
    terminal.type("next" + CTRL_C)
    terminal.wait_for("cancelled")
    terminal.until(lambda: terminal.typed == "> next", "what was typed")
    terminal.type(ENTER)

    terminal.wait_for("> next\n<next>\n>")


def test_what_is_typed_while_a_long_reply_is_printed_comes_next(terminals: Terminals, flue: Flue) -> None:
    """A prompt typed while a reply rolls by does not get into it, and is sent when it is done."""
    flue.agent("long", LONG)
    terminal = terminals.chat("long")
    terminal.say("go")
    terminal.until(lambda: "row 001" in terminal.everything, "the reply's beginning")
    terminal.type("next" + ENTER)

    terminal.wait_for("row 999 " + "-" * 40 + "\n> next\nshort\n>")
    assert [line[:7] for line in terminal.everything.splitlines()[4:-5]] == [
        f"row {number:03}" for number in range(1000)
    ]


def test_what_is_typed_while_the_chat_opens_comes_first(terminals: Terminals, flue: Flue) -> None:
    """A prompt typed, with Enter, before the chat asks for one is sent as soon as it can be."""
    flue.agent(
        "slow",
        "import os, time\nprint('loading')\nwhile not os.path.exists('gate'):\n    time.sleep(0.01)\n" + ECHO,
    )
    terminal = terminals.chat("slow")
    terminal.wait_for("loading\n")
    terminal.type("early" + ENTER)
    (flue.folder / "gate").touch()

    terminal.wait_for("> early\n<early>\n>")


# Coming back


@pytest.mark.parametrize("options", [False, True], ids=["", "--store --agents"])
def test_the_hint_comes_back(terminals: Terminals, flue: Flue, options: bool) -> None:
    """The command that leaving prints, pasted into a shell, goes on in the same session."""
    repeat = []
    if options:
        (flue.folder / "Ann's agents").mkdir()
        shutil.move(flue.home / "agents" / "echo.py", flue.folder / "Ann's agents" / "echo.py")
        repeat = ["--store", "my $HOME.db", "--agents", "Ann's agents"]
    name = 'it\'s a "test" of $(quotes)'
    terminal = terminals.flue("chat", "echo", "-s", name, *repeat, columns=200)
    terminal.say("first")
    terminal.wait_for("<first>\n>")
    terminal.type(CTRL_D)
    assert terminal.ended() == 0
    hint = terminal.lines[-1]
    assert hint.startswith("resume with: flue chat echo -r ")

    resumed = terminals.shell(hint.removeprefix("resume with: "), columns=200)
    resumed.ready()
    assert resumed.lines[0] == f"echo · session {name} (1 turn) · /help"
    assert resumed.lines[2:] == ["> first", "<first>", "", ">"]
    resumed.say("/exit")
    assert resumed.ended() == 0
    assert resumed.lines[-1] == hint


def test_continuing_opens_the_last_session(terminals: Terminals, flue: Flue) -> None:
    """-c opens the session that was used last, of any agent or of the one that is named."""
    flue("chat", "echo", "-s", "older", "one")
    flue("chat", "echo", "-s", "newer", "two")
    flue("chat", "greeting", "-s", "hello", "three")
    terminal = terminals.chat("-c")
    terminal.ready()
    assert terminal.lines[0] == "greeting · session hello (1 turn) · /help"

    terminal = terminals.chat("-c", "echo")
    terminal.ready()
    assert terminal.lines[0] == "echo · session newer (1 turn) · /help"


@pytest.mark.parametrize("way", [("chat", "echo", "-r", "work"), ("sessions", "resume", "work")])
def test_resuming_by_name(terminals: Terminals, flue: Flue, way: tuple[str, ...]) -> None:
    """`flue chat AGENT -r NAME` and `flue sessions resume NAME` both open the session."""
    flue("chat", "echo", "-s", "work", "one")
    terminal = terminals.flue(*way)
    terminal.say("two")
    terminal.wait_for("<two>")
    assert terminal.lines[0] == "echo · session work (1 turn) · /help"


@pytest.mark.parametrize(
    ("way", "code", "words"),
    [
        (("echo", "-r", "wrok"), 3, "error: there is no session 'wrok' of agent 'echo'"),
        (("echo", "-s", "work", "--new"), 4, "error: session 'work' exists already"),
        (("greeting", "-c"), 3, "error: there is no session of agent 'greeting' to continue"),
        (("ehco",), 3, "error: there is no agent 'ehco'"),
    ],
)
def test_a_chat_that_cannot_be_opened(
    terminals: Terminals, flue: Flue, way: tuple[str, ...], code: int, words: str
) -> None:
    """A chat that makes no sense is refused before anything is asked or written."""
    flue("chat", "echo", "-s", "work", "one")
    terminal = terminals.chat(*way)

    assert terminal.ended() == code
    assert terminal.lines[0] == words
    assert "> " not in terminal.everything
    assert not (flue.home / "history").exists()


def test_an_agent_is_chosen_from_a_list(terminals: Terminals) -> None:
    """`flue chat` alone lists the agents and asks for one, by number or name, until there is such an agent."""
    terminal = terminals.chat()
    terminal.wait_for("Talk to which agent, 1 to 4 or a name?")
    number = next(line.split()[0] for line in terminal.lines if line.split()[1:2] == ["echo"])
    terminal.type("ehco\r")
    terminal.wait_for("hint: did you mean echo?\nTalk to which agent")
    terminal.type(f"{number}\r")
    terminal.say("one")
    terminal.wait_for("<one>")


def test_nobody_chooses_an_agent(terminals: Terminals, flue: Flue) -> None:
    """Ctrl-D at the list of agents ends the command with 2, and nothing is created."""
    terminal = terminals.chat()
    terminal.wait_for("Talk to which agent")
    terminal.type(CTRL_D)

    assert terminal.ended() == 2
    assert not flue.store.exists()


def test_the_file_of_an_agent_is_talked_to(terminals: Terminals, flue: Flue) -> None:
    """`flue chat FILE` opens a chat, and the command that resumes it finds the file's agent again."""
    folder = flue.folder / "elsewhere"
    folder.mkdir()
    (folder / "echo.py").write_text('def agent(prompt, session, context):\n    return f"({prompt})"\n')
    terminal = terminals.chat("elsewhere/echo.py", "-s", "work", columns=250)
    terminal.say("one")
    terminal.wait_for("(one)\n>")
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    *command, agents, found = shlex.split(terminal.lines[-1].removeprefix("resume with: "))
    assert (command, agents) == (["flue", "chat", "echo", "-r", "work"], "--agents")
    assert found == str(folder)
    assert flue(*command[1:], agents, found, "two").out == "(two)\n"


def test_a_chat_that_is_not_kept(terminals: Terminals, flue: Flue) -> None:
    """With --no-save the agent remembers for as long as the chat lasts, and nothing is left of it."""
    shutil.rmtree(flue.home)
    terminal = terminals.chat("greeting", "--no-save", "-s", "work")
    terminal.say("my name is Alice")
    terminal.wait_for("Nice to meet you, Alice!")
    terminal.say("Tell me a joke")
    terminal.wait_for("Hello again, Alice!")
    terminal.ready()
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    assert terminal.lines[0] == "greeting · session work (new, not saved) · /help"
    assert "resume with" not in terminal.screen
    assert not flue.home.exists()


def test_a_sample_that_is_shadowed(terminals: Terminals, flue: Flue) -> None:
    """When a folder's agent stands in for one of Flue's samples, the chat says which file it uses."""
    (flue.folder / "agents").mkdir()
    (flue.folder / "agents" / "greeting.py").write_text(ECHO)
    terminal = terminals.chat("greeting", "-s", "work")
    terminal.say("hello")
    terminal.wait_for("<hello>")

    assert terminal.lines[:2] == ["using ./agents/greeting.py", "greeting · session work (new) · /help"]


def test_a_history_that_cannot_be_kept_is_noted_on_a_line_of_its_own(
    terminals: Terminals, flue: Flue
) -> None:
    """When what was typed cannot be kept in a file, that is said on a line of its own, and the chat goes on."""
    (flue.home / "history").write_text("in the way")
    terminal = terminals.chat("echo", "-s", "work")
    terminal.say("hello")
    terminal.wait_for("<hello>\n>")

    assert "> hello" in terminal.lines
    assert any(line.startswith("the input history cannot be saved") for line in terminal.lines)


# Other processes


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_waiting_for_another_process(terminals: Terminals, flue: Flue, signum: signal.Signals) -> None:
    """Who waits behind another process is told so; Ctrl-C goes back to the prompt, a signal ends the chat."""
    flue.agent("working", HEADING + WORKING["sync"])
    first = terminals.chat("working", "-s", "work")
    first.say("go")
    first.wait_for("working\n")
    second = terminals.chat("working", "-s", "work")
    second.say("hello")
    second.wait_for("waiting: process ")
    if signum == signal.SIGINT:
        second.type(CTRL_C)
        second.wait_for("cancelled")
        second.ready()
        second.type(UP)
        second.until(lambda: second.typed == "> hello", "the prompt that was not sent")
    else:
        second.kill(signum)
        assert second.ended() == 128 + signum
        assert second.settings == untouched_settings()


def test_a_prompt_that_a_crash_left_is_mentioned(terminals: Terminals, flue: Flue) -> None:
    """Who comes back after a crash learns which prompt was never answered."""
    flue.agent("working", HEADING + WORKING["sync"])
    terminal = terminals.chat("working", "-s", "work")
    terminal.say("go")
    terminal.wait_for("working\n")
    terminal.kill(signal.SIGKILL)
    assert terminal.ended() == 137

    terminal = terminals.chat("working", "-r", "work")
    terminal.say("next")
    terminal.wait_for("note: turn 1 was interrupted and not answered: go\n<next>\n>")
