"""What a person sees while an agent works, and how its replies look: the real command in a terminal."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import pytest
from conftest import Flue
from support.real_terminal import CTRL_C, CTRL_D, CTRL_Z, ENTER, UP, Terminal
from support.terminals import Terminals

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

GATED = """
import asyncio, os, subprocess, time

def opened(name="gate"):
    while not os.path.exists(name):
        time.sleep(0.01)
"""

SIGN = re.compile(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] \d+ s · Ctrl-C cancels$", re.MULTILINE)


def working(terminal: Terminal) -> bool:
    return bool(SIGN.search(terminal.screen))


def sign_of(terminal: Terminal) -> None:
    """Wait until the screen shows that the agent works."""
    terminal.until(lambda: working(terminal), "a sign of work")


def opened(flue: Flue, name: str = "gate") -> None:
    (flue.folder / name).touch()


# Signs of life


def test_work_is_shown_until_the_reply_comes(terminals: Terminals, flue: Flue) -> None:
    """Who waits sees for how long, below the prompt; with the reply it is gone without a trace."""
    flue.agent("gated", GATED + "def agent(prompt, *_):\n    opened()\n    return f'<{prompt}>'\n")
    terminal = terminals.chat("gated", "-s", "work")
    terminal.say("go")
    sign_of(terminal)
    assert terminal.typed == ""
    terminal.wait_for(" 1 s · Ctrl-C cancels")  # it goes on
    opened(flue)
    terminal.wait_for("<go>\n>")
    terminal.say("again")
    terminal.wait_for("<again>\n>")

    assert terminal.everything.endswith("commands.\n\n> go\n<go>\n\n> again\n<again>\n\n>\n")


def test_a_quick_reply_shows_no_work(terminals: Terminals) -> None:
    """A reply that comes at once is all that is seen."""
    terminal = terminals.chat("echo")
    terminal.say("first")  # makes the store, which takes longer
    terminal.wait_for("<first>\n>")
    seen = len(terminal.raw)
    terminal.say("go")
    terminal.wait_for("<go>\n>")
    assert b"cancels" not in terminal.raw[seen:]


def test_the_first_piece_is_sign_enough(terminals: Terminals, flue: Flue) -> None:
    """Once the reply is on its way nothing stands below it."""
    flue.agent(
        "gated",
        GATED + "def agent(*_):\n    opened()\n    yield 'first'\n    opened('two')\n    yield ' second'\n",
    )
    terminal = terminals.chat("gated")
    terminal.say("go")
    sign_of(terminal)
    opened(flue)
    terminal.wait_for("> go\nfirst\n")
    assert not working(terminal)
    opened(flue, "two")
    terminal.wait_for("first second\n>")


def test_work_at_the_bottom_of_the_screen_leaves_no_trace(terminals: Terminals, flue: Flue) -> None:
    """On a full screen what went before scrolls up, and is followed by the reply as everywhere."""
    flue.agent(
        "gated", GATED + "def agent(prompt, *_):\n    prompt == 'go' and opened()\n    return f'<{prompt}>'\n"
    )
    terminal = terminals.flue("chat", "gated", "-s", "work", rows=6)
    for word in "one two three four".split():
        terminal.say(word)
        terminal.wait_for(f"<{word}>\n")
    terminal.say("go")
    sign_of(terminal)
    opened(flue)
    terminal.wait_for("<go>\n>")

    assert terminal.everything.splitlines()[2:] == [
        *["", "> one", "<one>", "", "> two", "<two>", "", "> three", "<three>", "", "> four", "<four>"],
        *["", "> go", "<go>", "", ">"],
    ]


def test_prints_and_work_keep_out_of_each_others_way(terminals: Terminals, flue: Flue) -> None:
    """What an agent and its programs print stands whole, line by line, with the sign of work below."""
    flue.agent(
        "prints",
        GATED
        + """
def agent(prompt, session, context):
    opened("zero")
    for number in range(4):
        print("line", number)
        opened(f"line{number}")
    print("un", end="", flush=True)
    opened("half")
    print("broken")
    subprocess.run(["sh", "-c", "echo child 1; echo child 2; sleep 0.4; echo child 3"])
    opened()
    return "done"
""",
    )
    terminal = terminals.chat("prints")
    terminal.say("go")
    sign_of(terminal)
    opened(flue, "zero")
    for number in range(4):
        terminal.wait_for(f"line {number}\n")
        terminal.until(lambda: SIGN.search(terminal.lines[-1]) is not None, "a sign of work at the end")
        opened(flue, f"line{number}")
    terminal.wait_for("un\n")
    sign_of(terminal)
    opened(flue, "half")
    terminal.wait_for("child 3")
    sign_of(terminal)
    opened(flue)
    terminal.wait_for("done\n>")

    shown = terminal.everything
    assert "> go\nline 0\nline 1\nline 2\nline 3\nunbroken\n" in shown
    # Programs write past us: on what stood there, but not into it.
    assert re.search(r"^child 1.*\nchild 2.*\nchild 3\ndone\n\n>", shown, re.MULTILINE)
    assert shown.count("cancels") <= 1


def test_stopping_leaves_a_clean_screen_to_the_shell(terminals: Terminals, flue: Flue) -> None:
    """Ctrl-Z takes the sign of work away; with fg it comes back."""
    flue.agent("gated", GATED + "def agent(prompt, *_):\n    opened()\n    return f'<{prompt}>'\n")
    terminal = terminals.shell()
    terminal.wait_for("shell$")
    terminal.type("flue chat gated" + ENTER)
    terminal.say("go")
    sign_of(terminal)
    terminal.type(CTRL_Z)
    terminal.until(lambda: terminal.typed == "shell$ ", "the shell")
    assert not working(terminal)
    terminal.type("fg" + ENTER)
    sign_of(terminal)
    opened(flue)
    terminal.wait_for("<go>\n>")


@pytest.mark.parametrize(
    ("settings", "sign"),
    [
        ({"TERM": "dumb"}, None),
        (
            {"LANG": "C", "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            r"[|/\\-] \d s - Ctrl-C cancels$",
        ),
        ({"NO_COLOR": "1"}, r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] 1 s · Ctrl-C cancels$"),
    ],
    ids=["dumb", "ASCII", "no colour"],
)
def test_work_is_shown_as_the_terminal_can(
    terminals: Terminals, flue: Flue, settings: dict[str, str], sign: str | None
) -> None:
    """A terminal that can do little shows no work, one without Unicode shows it in ASCII."""
    flue.agent("gated", GATED + "def agent(*_):\n    opened()\n    time.sleep(0.8)\n    return 'done'\n")
    terminal = terminals.chat("gated", **settings)
    terminal.say("go")
    if sign:
        terminal.until(lambda: re.search(sign, terminal.screen, re.MULTILINE) is not None, "a sign of work")
    opened(flue)
    terminal.wait_for("> go\ndone\n>")
    assert (b"cancels" in terminal.raw) == bool(sign)


def test_work_is_not_shown_where_notices_go_elsewhere(terminals: Terminals, flue: Flue) -> None:
    """With stderr in a file, neither the file nor the screen gets a sign of work."""
    flue.agent("slow", "import time\n\ndef agent(prompt, *_):\n    time.sleep(0.8)\n    return 'done'\n")
    notices = flue.folder / "notices"
    terminal = terminals.shell(f"exec flue chat slow 2> {notices}")
    terminal.say("go")
    terminal.wait_for("> go\ndone\n>")
    assert b"cancels" not in terminal.raw + notices.read_bytes()


@pytest.mark.parametrize("columns", [10, 20, 500])
def test_work_on_narrow_and_wide_screens(terminals: Terminals, flue: Flue, columns: int) -> None:
    """On a narrow screen the words go below each other, and nothing of them stays."""
    flue.agent("gated", GATED + "def agent(prompt, *_):\n    opened()\n    return f'<{prompt}>'\n")
    terminal = terminals.flue("chat", "gated", "-s", "w", columns=columns)
    terminal.say("go")
    terminal.until(lambda: "Ctrl-C" in terminal.screen, "a sign of work")
    terminal.resize(24, columns + 5)
    opened(flue)
    terminal.wait_for("<go>\n>")
    assert "Ctrl-C" not in terminal.everything


# Waiting for another process


def test_waiting_says_for_whom_and_how_long(terminals: Terminals, flue: Flue) -> None:
    """Who waits behind another process sees for whom, how long already and how long still; then the turn it made."""
    flue.agent("gated", GATED + "def agent(prompt, *_):\n    opened()\n    return f'<{prompt}>'\n")
    first = terminals.chat("gated", "-s", "work")
    first.say("go")
    sign_of(first)
    second = terminals.chat("gated", "-s", "work", "--wait", "20")
    second.say("hello")
    second.until(
        lambda: (
            re.search(
                r"waiting: process \d+ on .+ has been answering for [2-9] s[ ·\n]+gives up in 1\d s[ ·\n]+Ctrl-C cancels",
                second.screen,
            )
            is not None
        ),
        "whom it waits for",
    )
    opened(flue)
    second.wait_for("│ > go\n│ <go>\n\n<hello>\n\n>")
    assert "waiting" not in second.everything
    assert "gives up" not in second.everything


def test_a_slash_command_that_waits_says_so(terminals: Terminals, flue: Flue) -> None:
    """A command that has to wait for another process's turn says so too, and can be cancelled."""
    flue.agent(
        "gated", GATED + "def agent(prompt, *_):\n    prompt == 'go' and opened()\n    return f'<{prompt}>'\n"
    )
    first = terminals.chat("gated", "-s", "work")
    first.say("one")
    first.wait_for("<one>\n>")
    second = terminals.chat("gated", "-s", "work")
    second.ready()
    first.say("go")
    sign_of(first)
    second.say("/data set a 1")
    second.wait_for("waiting: process ")
    second.type(CTRL_C)
    second.wait_for("cancelled")
    second.ready()
    assert "waiting" not in second.screen


# Ctrl-C


@pytest.mark.parametrize(
    ("kind", "body"),
    {
        "async": "async def agent(prompt, *_):\n    if prompt == 'go':\n        await asyncio.sleep(100)\n    return 'done'\n",
        "async pieces": "async def agent(prompt, *_):\n    yield 'do'\n    if prompt == 'go':\n        await asyncio.sleep(100)\n    yield 'ne'\n",
        "asleep in C": "def agent(prompt, *_):\n    if prompt == 'go':\n        time.sleep(1.5)\n    return 'done'\n",
        "asleep for long": "def agent(prompt, *_):\n    if prompt == 'go':\n        time.sleep(100)\n    return 'done'\n",
    }.items(),
)
def test_ctrl_c_cancels_and_says_so(terminals: Terminals, flue: Flue, kind: str, body: str) -> None:
    """Ctrl-C ends the turn and not the chat, whatever the agent is at; meanwhile it says that it is cancelling."""
    flue.agent("busy", GATED + body)
    terminal = terminals.chat("busy")
    terminal.say("go")
    if "pieces" in kind:
        terminal.wait_for("> go\ndo")
    else:
        sign_of(terminal)
    terminal.type("next" + CTRL_C)
    terminal.wait_for("cancelled\n> next")
    assert "cancelling" not in terminal.everything
    assert " s · cancelling".encode() in terminal.raw or "asleep" not in kind
    terminal.type(ENTER)
    terminal.wait_for("> next\ndone\n>")


# The bell


@pytest.mark.parametrize(("bell", "rings"), [("0.4", 1), ("30", 0), ("0", 0)])
def test_the_bell_rings_after_a_long_turn(terminals: Terminals, flue: Flue, bell: str, rings: int) -> None:
    """A turn that took long ends with the bell; how long that is, and whether at all, can be set."""
    flue.agent(
        "slow",
        "import time\n\ndef agent(prompt, *_):\n    prompt == 'go' and time.sleep(0.6)\n    return 'done'\n",
    )
    config = Path(flue.env["HOME"]) / ".config" / "flue" / "config.toml"
    config.parent.mkdir(parents=True)
    config.write_text(f"bell = {bell}\n")
    terminal = terminals.chat("slow")
    terminal.say("quick")
    terminal.wait_for("done\n>")
    assert b"\a" not in terminal.raw
    terminal.say("go")
    terminal.wait_for("> go\ndone\n>")
    terminal.type(CTRL_D)
    terminal.ended()
    assert terminal.raw.count(b"\a") == rings


# Replies


WIDE = "日本語 " * 30 + "e\u0301 " * 30 + "👩‍👩‍👧 🇩🇪 ✌🏽 " * 6


@pytest.mark.parametrize("columns", [20, 80, 500])
@pytest.mark.parametrize("kind", ["text", "markdown"])
def test_letters_of_all_widths_are_shown(terminals: Terminals, flue: Flue, columns: int, kind: str) -> None:
    """Wide, combining and pictured characters come through in pieces, on screens of any width."""
    flue.agent(
        "wide",
        f"import time\n\nreply_format = {kind!r}\nTEXT = {WIDE!r}\n\ndef agent(*_):\n"
        "    time.sleep(0.4)\n    for start in range(0, len(TEXT), 3):\n        yield TEXT[start : start + 3]\n",
    )
    terminal = terminals.flue("chat", "wide", columns=columns)
    terminal.say("go")
    terminal.until(lambda: terminal.typed == "> " and terminal.raw.count("✌🏽".encode()) >= 6, "the reply")
    turn = next(turn for turn in terminal.raw.decode().split("\x1b[?2004l") if "👩" in turn)
    shown = turn.rpartition("\x1b[J")[2]  # after the last sign of work
    letters = ["日本語", "e\u0301", "👩‍👩‍👧", "🇩🇪", "✌🏽"]
    assert [shown.count(letter) for letter in letters] == [30, 30, 6, 6, 6]


MARKDOWN = """
import os, time

reply_format = "markdown"
PIECES = ["# Pl", "an\\n\\nFirst **th", "is**\\n\\n```python\\nx: List<int> = ", "1\\n", "", "```\\n", "and <b>that</b>\\n"]

def agent(prompt, session, context):
    for number, piece in enumerate(PIECES):
        while prompt == "go" and not os.path.exists(f"gate{number}"):
            time.sleep(0.01)
        yield piece
"""
LAID_OUT = "# Plan\n\nFirst this\n\n```python\nx: List<int> = 1\n```\n\nand <b>that</b>\n>"


def test_markdown_comes_block_by_block(terminals: Terminals, flue: Flue) -> None:
    """A finished block is laid out for good; the one that still grows is seen below, with the sign of work."""
    flue.agent("plan", MARKDOWN)
    terminal = terminals.chat("plan")
    terminal.say("go")
    sign_of(terminal)
    for number, shown in enumerate(
        [
            "> go\n\n# Pl\n⠋",
            "> go\n\n# Plan\n\nFirst **th\n⠋",
            "> go\n# Plan\n\nFirst this\n\n```python\nx: List<int> =\n```\n⠋",
        ]
    ):
        opened(flue, f"gate{number}")

        def is_shown(text: str = shown) -> bool:
            return text in re.sub(r"[⠙⠹⠸⠼⠴⠦⠧⠇⠏]", "⠋", terminal.screen)

        terminal.until(is_shown, repr(shown))
    terminal.resize(30, 60)
    for number in range(3, 7):
        opened(flue, f"gate{number}")
    terminal.wait_for("> go\n" + LAID_OUT)
    assert terminal.everything.endswith("> go\n" + LAID_OUT.replace("\n>", "\n\n>") + "\n")


def test_markdown_longer_than_the_screen(terminals: Terminals, flue: Flue) -> None:
    """A list that is longer than the screen scrolls by once: each line is there, in order, and none twice."""
    flue.agent(
        "long",
        "import time\n\nreply_format = 'markdown'\n\ndef agent(*_):\n    for number in range(60):\n"
        "        yield f'- item {number} of **many**\\n'\n        time.sleep(0.02)\n",
    )
    terminal = terminals.flue("chat", "long", rows=12)
    terminal.say("go")
    terminal.until(lambda: terminal.typed == "> " and "item 59" in terminal.everything, "the end")
    assert terminal.everything.splitlines()[4:-2] == [f" • item {number} of many" for number in range(60)]


def test_markdown_is_cancelled_where_it_stands(terminals: Terminals, flue: Flue) -> None:
    """What had come of a reply when it was cancelled stays on the screen."""
    flue.agent("plan", MARKDOWN)
    terminal = terminals.chat("plan")
    terminal.say("go")
    opened(flue, "gate0")
    opened(flue, "gate1")
    terminal.wait_for("First **th\n")
    terminal.type(CTRL_C)
    terminal.wait_for("> go\n# Plan\n\nFirst **th\ncancelled\n>")
    terminal.type(UP)
    terminal.until(lambda: terminal.typed == "> go", "the prompt")


@pytest.mark.parametrize("settings", [{"TERM": "dumb"}, {"NO_COLOR": "1"}], ids=["dumb", "no colour"])
def test_markdown_without_colour(terminals: Terminals, flue: Flue, settings: dict[str, str]) -> None:
    """Without colours a reply is laid out as with them."""
    flue.agent("plan", MARKDOWN)
    terminal = terminals.chat("plan", **settings)
    terminal.say("now")
    terminal.wait_for("> now\n" + LAID_OUT)
    reply = terminal.raw.partition(b"# Plan")[2].partition(b"</b>")[0]
    assert not re.search(rb"\x1b\[[0-9;]*m", reply)
    assert b"\x1b" not in reply or "TERM" not in settings


def test_a_signal_ends_work_and_chat_cleanly(terminals: Terminals, flue: Flue) -> None:
    """Who ends the chat while an agent works gets a screen without remains."""
    flue.agent("gated", GATED + "def agent(prompt, *_):\n    opened()\n")
    terminal = terminals.chat("gated", "-s", "work")
    terminal.say("go")
    sign_of(terminal)
    terminal.kill(signal.SIGTERM)
    assert terminal.ended() == 143
    assert "cancels" not in terminal.everything


# What libraries print


LIBRARIES = """
import logging, sys, time
from rich.console import Console
from rich.progress import track

def agent(prompt, session, context):
    console = Console(file=sys.stdout)
    console.print("[bold red]warning[/] in colour")
    for _ in track(range(3), description="laid out", console=console):
        time.sleep(0.05)
    logging.warning("logged")
    for done in range(4):  # as tqdm does
        sys.stderr.write(f"\\r{done}/3")
        sys.stderr.flush()
        time.sleep(float(prompt))
    yield "so far\\n"
    print("\\r1/1", end="")
    yield "done"
"""


@pytest.mark.parametrize("env", [{}, {"FORCE_COLOR": "1"}, {"TERM": "dumb"}])
def test_libraries_print_as_they_should(terminals: Terminals, flue: Flue, env: dict[str, str]) -> None:
    """Colours and progress bars of an agent's libraries leave readable lines in the chat, and no codes."""
    flue.agent("libraries", LIBRARIES)
    terminal = terminals.chat("libraries", **env)
    terminal.say("0")
    terminal.wait_for("\n3/3\nso far\n1/1\ndone\n>")

    assert "\nwarning in colour\nlaid out ━" in terminal.screen
    assert "\nWARNING:root:logged\n" in terminal.screen
    assert "^" not in terminal.screen


def test_a_progress_bar_moves(terminals: Terminals, flue: Flue) -> None:
    """A bar that rewrites its line is seen in each of its states, on one line."""
    flue.agent("libraries", LIBRARIES)
    terminal = terminals.chat("libraries")
    terminal.say("0.5")
    terminal.wait_for("logged\n1/3")
    terminal.wait_for("logged\n2/3")
    terminal.wait_for("logged\n3/3\nso far\n1/1\ndone\n>")


# Nothing gives orders, nothing takes keys


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
            orders = ORDERS.replace("\\r", "")  # a line may rewrite itself
            print("printed", orders)
            print("error", orders, file=sys.stderr)
            sys.stdout.buffer.write(f"bytes {{orders}}\\n".encode())
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
    printed = SHOWN.replace("^M", "")
    terminal.wait_for(f"> print\nprinted {printed}\nerror {printed}\nbytes {printed}\ndone\n>")
    terminal.say("fail")
    terminal.wait_for(f"> fail\nerror: the agent failed: ValueError: {SHOWN} (")
    terminal.wait_for("hint: /traceback shows the traceback\n>")
    terminal.say("/traceback")
    terminal.wait_for(f"\nValueError: {SHOWN}\n>")
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
    except EOFError:
        return "heard nothing"
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


def test_notices_may_go_elsewhere(terminals: Terminals, flue: Flue) -> None:
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
