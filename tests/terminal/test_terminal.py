"""The chat as a person has it: the real command in a terminal, and what its screen shows."""

from __future__ import annotations

import json
import shutil
import signal
import stat
import termios
from pathlib import Path

import pytest
from conftest import Flue
from support.real_terminal import (
    ALT_ENTER,
    CTRL_C,
    CTRL_D,
    CTRL_J,
    CTRL_R,
    CTRL_Z,
    EDITOR,
    ENTER,
    RIGHT,
    TAB,
    UP,
    untouched_settings,
)
from support.terminals import ECHO, HEADING, WORKING, Terminals

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

IN_TWO_PIECES = """
import os, time

def agent(prompt, session, context):
    yield f"first {prompt}"
    while not os.path.exists("gate"):
        time.sleep(0.01)
    yield f", second {prompt}"
"""

TALKING = """
def agent(prompt, session, context):
    yield "working\\n"
    while True:
        time.sleep(0.01)
        yield "and so on\\n"
"""


# Talking


def test_greeting_remembers_a_name(terminals: Terminals) -> None:
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
        "> my name is Alice",
        "Nice to meet you, Alice! How can I help?",
        "> Tell me a joke",
        'Hello again, Alice! You said: "Tell me a joke"',
        ">",
        "resume with: flue chat greeting -r work",
    ]
    assert terminal.settings == untouched_settings()


def test_task_planner_keeps_a_list_per_session(terminals: Terminals) -> None:
    """Tasks add up in one session, and a chat in a new session begins without any."""
    first = terminals.chat("task-planner")
    first.say("add Buy groceries")
    first.wait_for('Added task: "Buy groceries". You now have 1 tasks.')
    first.say("add Call mom")
    first.wait_for('Added task: "Call mom". You now have 2 tasks.')
    first.say("list tasks")
    first.wait_for("Your tasks:\n1. Buy groceries\n2. Call mom\n>")
    second = terminals.chat("task-planner")
    second.say("list tasks")
    second.wait_for("You currently have no tasks.")


def test_looking_in_makes_no_session(terminals: Terminals, flue: Flue) -> None:
    """Who opens a chat and leaves it by Ctrl-D leaves nothing behind, and the command has succeeded."""
    terminal = terminals.chat("greeting")
    terminal.ready()
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    assert not flue.store.exists()
    assert "resume with" not in terminal.screen


@pytest.mark.parametrize("way", ["/exit", "/quit"])
def test_leaving_by_a_command(terminals: Terminals, way: str) -> None:
    """/exit and /quit end the chat, and the command has succeeded."""
    terminal = terminals.chat("greeting")
    terminal.say(way)
    assert terminal.ended() == 0


def test_a_prompt_of_several_lines(terminals: Terminals) -> None:
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


def test_a_reply_comes_piece_by_piece(terminals: Terminals, flue: Flue) -> None:
    """The first piece is on the screen while the agent still works on the second."""
    flue.agent("streaming", IN_TWO_PIECES)
    terminal = terminals.chat("streaming")
    terminal.say("go")
    terminal.wait_for("first go")
    assert "second" not in terminal.screen

    (flue.folder / "gate").touch()
    terminal.wait_for("> go\nfirst go, second go\n>")


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


LONG = """
def agent(prompt, session, context):
    return "\\n".join(f"row {number:03} {'-' * 40}" for number in range(1000)) if prompt == "go" else "short"
"""


def test_what_is_typed_while_a_long_reply_is_printed_comes_next(terminals: Terminals, flue: Flue) -> None:
    """A prompt typed while a reply rolls by does not get into it, and is sent when it is done."""
    flue.agent("long", LONG)
    terminal = terminals.chat("long")
    terminal.say("go")
    terminal.until(lambda: "row 001" in terminal.everything, "the reply's beginning")
    terminal.type("next" + ENTER)

    terminal.wait_for("row 999 " + "-" * 40 + "\n> next\nshort\n>")
    assert [line[:7] for line in terminal.everything.splitlines()[2:-3]] == [
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


# Ctrl-C


def test_a_second_ctrl_c_leaves(terminals: Terminals) -> None:
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


@pytest.mark.parametrize("kind", WORKING)
def test_ctrl_c_cancels_the_turn_and_not_the_chat(terminals: Terminals, flue: Flue, kind: str) -> None:
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


def test_an_agent_given_up_is_not_heard_any_more(terminals: Terminals, flue: Flue) -> None:
    """What an agent that would not stop says later does not get between the prompts that follow."""
    flue.agent(
        "chatty",
        """
import os, time

def agent(prompt, session, context):
    if prompt != "go":
        while not os.path.exists("spoken"):
            time.sleep(0.01)
        yield f"<{prompt}>"
        return
    try:
        yield "working"
        while not os.path.exists("gate"):
            try:
                time.sleep(0.01)
            except BaseException:
                pass
        yield "too late"
        yield "much too late"
    finally:
        open("spoken", "w").close()
""",
    )
    terminal = terminals.chat("chatty")
    terminal.say("go")
    terminal.wait_for("working")
    terminal.type(CTRL_C)
    terminal.wait_for("cancelled")
    terminal.ready()
    (flue.folder / "gate").touch()
    terminal.type("next" + ENTER)
    terminal.wait_for("<next>\n>")

    assert "too late" not in terminal.everything


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


# Keys and commands


def test_help_names_every_command(terminals: Terminals) -> None:
    """/help explains each command in a line."""
    terminal = terminals.flue("chat", "greeting", rows=50)
    terminal.say("/help")
    terminal.wait_for("F4 switches to vi.\n>")

    from flue_cli.repl.slash import COMMANDS

    for name in COMMANDS:
        assert any(line.startswith(f"{name} ") for line in terminal.lines), name


def test_data_and_history_are_shown(terminals: Terminals) -> None:
    """/data shows what the agent keeps, /history what was said."""
    terminal = terminals.chat("greeting")
    terminal.say("my name is Alice")
    terminal.wait_for("Nice to meet you")
    terminal.say("/data")
    terminal.wait_for('> /data\n+ userName: "Alice"\n+ new, ~ changed, - gone by the last turn\n>')
    terminal.say("/history")
    terminal.wait_for("> /history\n[1] ")
    terminal.ready()

    assert terminal.lines[-3:] == ["> my name is Alice", "Nice to meet you, Alice! How can I help?", ">"]


def test_a_new_session_by_name(terminals: Terminals, flue: Flue) -> None:
    """/new NAME goes on in a fresh session, which is the one to resume."""
    terminal = terminals.chat("echo", "-s", "work")
    terminal.say("one")
    terminal.wait_for("<one>")
    terminal.say("/new other one")
    terminal.wait_for("> /new other one\nnew session other one\n>")
    terminal.say("two")
    terminal.wait_for("<two>\n>")
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    assert terminal.lines[-1] == "resume with: flue chat echo -r 'other one'"
    assert flue("sessions", "show", "work").out == "[1]\n> one\n<one>\n"
    assert flue("sessions", "show", "other one").out == "[1]\n> two\n<two>\n"


def test_a_slash_that_is_no_command(terminals: Terminals) -> None:
    """An unknown command is reported and not sent; a line that begins with two slashes is sent with one."""
    terminal = terminals.chat("echo")
    terminal.say("/foo")
    terminal.wait_for("error: there is no command /foo\nhint: ")
    terminal.say("/hlep")
    terminal.wait_for("error: there is no command /hlep\nhint: did you mean /help?\n>")
    terminal.say("//x")
    terminal.wait_for("> //x\n</x>\n>")
    terminal.say("/history")
    terminal.wait_for("[1] ")

    assert "[2]" not in terminal.screen


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


def test_keys_that_are_not_utf_8_do_not_end_the_chat(terminals: Terminals) -> None:
    """Bytes from a terminal with another encoding spoil their own prompt at most."""
    terminal = terminals.chat("echo")
    terminal.ready()
    terminal.type(b"caf\xe9")
    terminal.wait_for("> caf")
    terminal.type(ENTER)
    terminal.until(lambda: "> caf" not in terminal.typed, "what becomes of it")
    terminal.say("hello")

    terminal.wait_for("<hello>")


def test_a_terminal_that_can_do_little_will_do(terminals: Terminals) -> None:
    """On a terminal without cursor movement the chat works all the same."""
    terminal = terminals.chat("echo", TERM="dumb")
    terminal.say("hello")
    terminal.wait_for("> hello\n<hello>\n>")
    terminal.type(CTRL_D)
    assert terminal.ended() == 0


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
    assert resumed.lines[2:] == ["> first", "<first>", ">"]
    resumed.say("/exit")
    assert resumed.ended() == 0
    assert resumed.lines[-1] == hint


def test_a_resumed_chat_recalls_the_last_turns(terminals: Terminals, flue: Flue) -> None:
    """Who comes back sees the last three turns, harmless whatever they hold, before being asked."""
    prompts = "one\ntwo\nthree \x1b]0;title\x07\u202eback\nfour\n"
    flue("chat", "echo", "-s", "work", "--lines", stdin=prompts)
    terminal = terminals.chat("echo", "-r", "work")
    terminal.ready()
    times_dropped = [line for line in terminal.lines if not line.startswith("[")]

    assert times_dropped == [
        "echo · session work (4 turns) · /help",
        "> two",
        "<two>",
        "",
        "> three ^[]0;title^G<U+202E>back",
        "<three ^[]0;title^G<U+202E>back>",
        "",
        "> four",
        "<four>",
        ">",
    ]
    assert b"\x1b]0;" not in terminal.raw


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
        ((), 2, "error: which agent?"),
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
    assert terminal.lines[0] == "greeting · session work (new, not kept) · /help"
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


def test_what_is_typed_is_kept_for_its_owner_alone(terminals: Terminals, flue: Flue) -> None:
    """Whatever the umask, nobody else can read what was typed or put anything into Flue's folder."""
    shutil.rmtree(flue.home)
    terminal = terminals.shell("umask 000; flue chat greeting")
    terminal.say("my secret")
    terminal.wait_for("I don't know your name yet.")
    history = flue.home / "history" / "greeting.txt"

    assert "+my secret\n" in history.read_text()
    assert _mode(history) == 0o600
    assert _mode(history.parent) == 0o700
    assert _mode(flue.home) & 0o022 == 0


def test_history_that_cannot_be_kept_costs_only_itself(terminals: Terminals, flue: Flue) -> None:
    """When what was typed cannot be kept in a file, that is said on a line of its own, and the chat goes on."""
    (flue.home / "history").write_text("in the way")
    terminal = terminals.chat("echo", "-s", "work")
    terminal.say("hello")
    terminal.wait_for("<hello>\n>")

    assert "> hello" in terminal.lines
    assert any(line.startswith("note: the input history is not kept") for line in terminal.lines)


# Other processes


def test_turns_made_meanwhile_are_shown(terminals: Terminals, flue: Flue) -> None:
    """What another process said in this session is shown before the next prompt, and ours not again."""
    terminal = terminals.chat("echo", "-s", "work")
    terminal.say("one")
    terminal.wait_for("<one>\n>")
    flue("chat", "echo", "-s", "work", "from elsewhere")
    terminal.type(ENTER)
    terminal.wait_for("meanwhile in another process:\n[2] ")
    terminal.ready()
    assert terminal.lines[-3:] == ["> from elsewhere", "<from elsewhere>", ">"]

    flue("chat", "echo", "-s", "work", "once more")
    terminal.say("two")
    terminal.wait_for("> once more\n<once more>\n")
    terminal.ready()
    assert terminal.screen.count("<two>") == 1
    assert terminal.screen.count("<from elsewhere>") == 1


def test_a_session_deleted_meanwhile_stays_deleted(terminals: Terminals, flue: Flue) -> None:
    """When another process deletes the session, the next prompt is an error and makes no new one."""
    terminal = terminals.chat("echo", "-s", "work")
    terminal.say("one")
    terminal.wait_for("<one>\n>")
    assert flue("sessions", "delete", "--yes", "work").code == 0
    terminal.say("two")
    terminal.wait_for("error: session 'work' was deleted, renamed or made anew meanwhile\n")
    terminal.ready()
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    assert json.loads(flue("sessions", "list", "--json").out) == []
    assert "resume with" not in terminal.screen


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


# What reaches the screen


ORDERS = "\\x1b]52;c;aGk=\\x07\\x1b[2J\\u202e\\x9b31m\\r."
SHOWN = "^[]52;c;aGk=^G^[[2J<U+202E><U+009B>31m^M."


def test_nothing_an_agent_says_gives_orders_to_the_terminal(terminals: Terminals, flue: Flue) -> None:
    """Replies, pieces, prints and errors with control sequences in them are shown, not obeyed."""
    flue.agent(
        "hostile",
        f"""
import sys

ORDERS = "{ORDERS}"

def agent(prompt, session, context):
    match prompt:
        case "whole":
            return "reply " + ORDERS
        case "pieces":
            return iter("pieces " + ORDERS)
        case "print":
            print("printed", ORDERS)
            print("error", ORDERS, file=sys.stderr)
            sys.stdout.buffer.write(f"bytes {{ORDERS}}\\n".encode())
            return "done"
        case "fail":
            raise ValueError(ORDERS)
""",
    )
    terminal = terminals.chat("hostile")
    terminal.say("whole")
    terminal.wait_for(f"> whole\nreply {SHOWN}\n>")
    terminal.say("pieces")
    terminal.wait_for(f"> pieces\npieces {SHOWN}\n>")
    terminal.say("print")
    terminal.wait_for(f"> print\nprinted {SHOWN}\nerror {SHOWN}\nbytes {SHOWN}\ndone\n>")
    terminal.say("fail")
    terminal.wait_for(f"> fail\nerror: the agent failed: ValueError: {SHOWN}\n>")
    terminal.say("/history 3")
    terminal.wait_for("> print\ndone\n\n[4] ")

    assert b"\x1b]52" not in terminal.raw
    assert b"\x1b[2J" not in terminal.raw
    assert "\u202e".encode() not in terminal.raw


@pytest.mark.parametrize(
    "asks",
    [
        "input('name? ')",
        "sys.stdin.readline()",
        "subprocess.run(['head', '-n1'], stdout=subprocess.PIPE, text=True).stdout",
    ],
    ids=["input", "stdin", "program"],
)
def test_an_agent_cannot_take_what_is_typed(terminals: Terminals, flue: Flue, asks: str) -> None:
    """An agent that reads standard input finds nothing there; what is typed meanwhile is the next prompt."""
    flue.agent(
        "asking",
        f"""
import os, subprocess, sys, time

def agent(prompt, session, context):
    if prompt != "go":
        return f"<{{prompt}}>"
    print("working")
    try:
        return "heard " + {asks}
    finally:
        while not os.path.exists("gate"):
            time.sleep(0.01)
""",
    )
    terminal = terminals.chat("asking")
    terminal.say("go")
    terminal.wait_for("working\n")
    terminal.type("next" + ENTER)
    (flue.folder / "gate").touch()

    terminal.wait_for("> next\n<next>\n>")


def test_an_agent_that_fails_does_not_end_the_chat(terminals: Terminals, flue: Flue) -> None:
    """What went wrong is said in a line, with --verbose below its traceback, and the chat goes on."""
    flue.agent("boom", "def agent(prompt, session, context):\n    return f'<{1 / len(prompt[3:])}>'\n")
    terminal = terminals.chat("boom")
    terminal.say("bad")
    terminal.wait_for("> bad\nerror: the agent failed: ZeroDivisionError: division by zero\n>")
    terminal.say("good")
    terminal.wait_for("> good\n<1.0>\n>")

    terminal = terminals.chat("boom", "--verbose")
    terminal.say("bad")
    terminal.wait_for("error: the agent failed: ZeroDivisionError: division by zero\n")
    terminal.ready()
    assert "Traceback (most recent call last):" in terminal.screen


def test_remarks_may_go_elsewhere(terminals: Terminals, flue: Flue) -> None:
    """With stderr in a file, replies and what one asks to see still reach the screen, paged or not."""
    flue("chat", "echo", "-s", "work", "--lines", stdin="".join(f"{number}\n" for number in range(10)))
    terminal = terminals.shell("PAGER=cat flue chat echo -r work 2> log")
    terminal.say("hello")
    terminal.wait_for("<hello>\n>")
    terminal.say("/history 2")
    terminal.wait_for("> hello\n<hello>\n>")
    terminal.say("/history")
    terminal.ready()

    assert terminal.everything.count("<9>") >= 2
    assert "<9>" not in (flue.folder / "log").read_text()


# Signals


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_the_prompt_ends_the_chat(terminals: Terminals, signum: signal.Signals) -> None:
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


def test_a_signal_after_ctrl_c_still_ends_the_chat(terminals: Terminals, flue: Flue) -> None:
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


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
