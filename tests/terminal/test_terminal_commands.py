"""The chat's slash commands as a person has them: the real command in a terminal."""

from __future__ import annotations

import base64
import json
import re
import signal

import pytest
from conftest import Flue
from support.real_terminal import CTRL_C, CTRL_D, ENTER
from support.terminals import HEADING, WORKING, Terminals

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")


def saying(word: str) -> str:
    return f"def agent(prompt, session, context):\n    return '{word} ' + prompt\n"


def test_help_that_is_longer_than_the_screen_is_paged(terminals: Terminals, flue: Flue) -> None:
    """On a smaller screen /help goes through the pager, every line of it whole, and the chat is there after it."""
    pager = terminals.program("pager", "cat > paged; echo paged, press Enter; read answer < /dev/tty")
    terminal = terminals.chat("greeting", PAGER=pager, rows=16)
    terminal.say("/help")
    terminal.wait_for("paged, press Enter\n")
    terminal.type(ENTER)
    terminal.say("/help copy")

    terminal.wait_for("the reply is copied as the agent gave it.\n>")
    paged = (flue.folder / "paged").read_text().splitlines()
    assert any(line.endswith("/usage     Sum up time and tokens") for line in paged)
    assert max(len(re.sub("\x1b\\[[0-9;]*m", "", line)) for line in paged) <= 80


def test_copying_shows_nothing_of_the_reply(terminals: Terminals, flue: Flue) -> None:
    """/copy asks the terminal to take the last reply, and nothing of it reaches the screen otherwise."""
    terminal = terminals.chat("echo", PATH="/nowhere")
    terminal.say("hé")
    terminal.wait_for("<hé>\n>")
    terminal.say("/copy")
    terminal.wait_for("the last reply (4 characters) is copied by OSC 52, if the terminal takes it\n>")

    assert b"\x1b]52;c;" + base64.b64encode("<hé>".encode()) + b"\x07" in terminal.raw


def test_the_editor_has_the_whole_terminal(terminals: Terminals) -> None:
    """/editor opens the editor on the whole terminal; the text waits in the line, to be sent or changed."""
    editor = terminals.program(
        "editor", 'printf "here: "; read answer < /dev/tty; printf "%s\\nmore" "$answer" > "$1"'
    )
    terminal = terminals.chat("echo", EDITOR=editor)
    terminal.say("/editor")
    terminal.until(lambda: terminal.typed == "here: ", "the editor")
    terminal.type("typed in it" + ENTER)
    terminal.wait_for("> typed in it\n  more")
    terminal.type("!" + ENTER)

    terminal.wait_for("<typed in it\nmore!>\n>")


def test_a_session_of_another_agent_is_chosen(terminals: Terminals, flue: Flue) -> None:
    """/sessions shows all sessions on a screen of their own; Enter goes on with the one that is chosen."""
    flue("chat", "greeting", "-s", "hello", "my name is Ada")
    terminal = terminals.chat("echo", "-s", "work")
    terminal.say("one")
    terminal.wait_for("<one>\n>")
    terminal.say("/sessions")
    terminal.wait_for("hello")
    terminal.type("ada")
    terminal.until(lambda: "echo" not in terminal.lines[0], "the picker")
    terminal.type(ENTER)
    terminal.wait_for("greeting · session hello (1 turn) · /help\n")
    terminal.say("hi")
    terminal.wait_for("Hello again, Ada!")
    terminal.ready()
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    assert terminal.lines[-1] == "resume with: flue chat greeting -r hello"


def test_another_agent_is_talked_to(terminals: Terminals) -> None:
    """/agent NAME finds it as the command line does; a near miss is told, and the chat stays."""
    terminal = terminals.chat("echo", "-s", "work")
    terminal.say("one")
    terminal.wait_for("<one>\n>")
    terminal.say("/agent greting")
    terminal.wait_for("error: there is no agent 'greting'\nhint: did you mean greeting?\n>")
    terminal.say("/agent greeting")
    terminal.wait_for("Remembers your name.\nTry: my name is Ada\n\n>")
    assert "back: /resume echo/work" in terminal.everything.replace("\n", "")
    terminal.say("my name is Ada")
    terminal.wait_for("Nice to meet you, Ada!")
    terminal.say("/resume echo/work")
    terminal.wait_for("echo · session work (1 turn) · /help\n")
    terminal.say("two")

    terminal.wait_for("<two>\n>")


def test_a_watched_agent_follows_its_file(terminals: Terminals, flue: Flue) -> None:
    """With --watch a saved file answers the next prompt; a broken one is shown, and the old one answers."""
    path = flue.agent("echo", saying("old"))
    terminal = terminals.chat("echo", "--watch")
    terminal.say("one")
    terminal.wait_for("old one\n>")
    path.write_text("# mended\n" + saying("new"))
    terminal.say("two")
    terminal.wait_for("echo.py is loaded again\nnew two\n>")
    path.write_text("def agent(\n")
    terminal.say("three")
    terminal.wait_for("the old agent goes on answering\nnew three\n>")

    assert "error: agent 'echo' cannot be loaded: SyntaxError: " in terminal.screen
    assert "Traceback" not in terminal.screen


def test_an_edited_agent_is_loaded_again(terminals: Terminals, flue: Flue) -> None:
    """Without --watch a saved file is mentioned, /reload takes it, and coming back later tells since when."""
    path = flue.agent("echo", saying("old"))
    terminal = terminals.chat("echo", "-s", "work")
    terminal.say("one")
    terminal.wait_for("old one\n>")
    path.write_text("# changed\n" + saying("new"))
    terminal.type(ENTER)
    terminal.wait_for("echo.py has changed: /reload loads it\n>")
    terminal.say("/reload")
    terminal.wait_for("echo.py is loaded again\n>")
    terminal.say("two")
    terminal.wait_for("new two\n>")
    terminal.say("/exit")
    assert terminal.ended() == 0

    path.write_text("# changed once more\n" + saying("newest"))
    terminal = terminals.chat("echo", "-r", "work")
    terminal.wait_for("echo.py has changed since turn 2\n>")


@pytest.mark.parametrize("endless", [False, True], ids=["at the prompt", "while it loads"])
def test_ctrl_c_ends_a_load_and_not_the_chat(terminals: Terminals, flue: Flue, endless: bool) -> None:
    """A file that takes for ever to load is given up at Ctrl-C; draft-to-be and agent stay."""
    path = flue.agent("echo", saying("old"))
    terminal = terminals.chat("echo", "-s", "work")
    terminal.say("one")
    terminal.wait_for("old one\n>")
    path.write_text("import time\nprint('loading')\n" + ("time.sleep(100)\n" if endless else saying("new")))
    terminal.say("/reload")
    terminal.wait_for("loading\n")
    if endless:
        terminal.type("ahead" + CTRL_C)
        terminal.wait_for("cancelled\n> ahead")
        terminal.type(ENTER)
        terminal.wait_for("old ahead\n>")
    else:
        terminal.say("two")
        terminal.wait_for("new two\n>")


@pytest.mark.parametrize("answer", ["/retry", "/edit", "/discard", "next"])
def test_a_prompt_that_a_crash_left(terminals: Terminals, flue: Flue, answer: str) -> None:
    """Who comes back after a crash can send the prompt again, edit it, drop it, or just go on."""
    flue.agent("working", HEADING + WORKING["sync"])
    terminal = terminals.chat("working", "-s", "work")
    terminal.say("go")
    terminal.wait_for("working\n")
    terminal.kill(signal.SIGKILL)
    assert terminal.ended() == 137

    flue.agent("working", "def agent(prompt, *_):\n    return f'<{prompt}>'\n")
    terminal = terminals.chat("working", "-r", "work")
    terminal.wait_for(
        "turn 1 was interrupted: go\n/retry sends it again, /edit brings it back into the line, /"
    )
    terminal.say(answer)
    if answer == "/edit":
        terminal.until(lambda: terminal.typed == "> go", "the prompt in the line")
        terminal.type("od" + ENTER)
    elif answer == "/discard":
        terminal.say("next")
    said = {"/retry": "go", "/edit": "good"}.get(answer, "next")
    terminal.wait_for(f"<{said}>\n>")

    turns = json.loads(flue("sessions", "show", "work", "--json").out)["turns"]
    settled = [(turn["messages"][0]["content"], turn["outcome"]) for turn in turns]
    lost = [] if answer == "/discard" else [("go", "interrupted")]
    assert settled == [*lost, (said, "completed")]


@pytest.mark.parametrize("arguments", [("hello",), ("--lines",), ()])
def test_watching_needs_a_conversation(flue: Flue, arguments: tuple[str, ...]) -> None:
    """--watch with one prompt, with many, or from a pipe is refused: there is nothing to follow."""
    code, out, err = flue("chat", "greeting", "--watch", *arguments, stdin="hello")

    assert (code, out) == (2, "")
    assert err == "error: --watch is for a conversation in the terminal\n"
