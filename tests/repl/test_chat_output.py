"""How replies look in the chat, without a terminal; and what draws below the cursor, on a screen of its own."""

from __future__ import annotations

import os
import re
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyte
import pytest
from conftest import Flue
from support.fake_terminal import ChatDriver, echo
from support.real_terminal import CTRL_D, ENTER

from flue_cli.agents.discovery import Agent
from flue_cli.render.status_line import draw_below_cursor, wrap_words
from flue_cli.render.streams import Output
from flue_cli.repl.loop import run_chat
from flue_cli.settings import ChatStyle
from flue_cli.times import format_whole_seconds
from flue_cli.turns import watchdog

REPLY = "# Plan\n* one **bold** List<String>\n* two\n\n<script>&lt;\n"
LAID_OUT = "# Plan\n\n • one bold List<String>\n • two\n\n<script>&lt;\n"


@pytest.fixture(autouse=True)
def no_colour(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")


def in_markdown(agent: Any) -> Agent:
    return Agent("tester", agent, "v1", "markdown")


def replies(page: str) -> str:
    """What the page shows between greeting and goodbye."""
    return page.partition("\n")[2].partition("resume with")[0]


def whole(prompt: str, session: Any, context: Any) -> str:
    return REPLY


def pieces(prompt: str, session: Any, context: Any) -> Iterator[str]:
    yield from (REPLY[start : start + 5] for start in range(0, len(REPLY), 5))


# Markdown


@pytest.mark.parametrize("agent", [whole, pieces])
def test_an_agent_may_ask_for_markdown(driver: ChatDriver, agent: Any) -> None:
    """The replies of an agent that speaks markdown are laid out, whole or in pieces."""
    assert replies(driver.chat(in_markdown(agent), "go" + ENTER, CTRL_D)) == LAID_OUT


@pytest.mark.parametrize("agent", [whole, pieces])
def test_replies_are_raw_unless_asked_for(driver: ChatDriver, agent: Any) -> None:
    """The replies of any other agent are shown as they came."""
    assert replies(driver.chat(agent, "go" + ENTER, CTRL_D)) == REPLY


def test_markdown_can_be_turned_on_and_off(driver: ChatDriver) -> None:
    """/markdown on and off overrule the agent; /markdown says how it stands."""
    page = driver.chat(
        in_markdown(whole),
        *(line + ENTER for line in ["/markdown", "/markdown off", "go", "/markdown on", "go"]),
        CTRL_D,
    )
    assert replies(page) == (
        "replies are laid out as Markdown\nreplies are shown as they come\n"
        f"{REPLY}replies are laid out as Markdown\n{LAID_OUT}"
    )


def test_markdown_is_on_or_off(driver: ChatDriver) -> None:
    """/markdown takes nothing else."""
    assert (
        replies(driver.chat(echo, "/markdown maybe" + ENTER, CTRL_D)) == "error: /markdown takes on or off\n"
    )


def test_layout_leaves_the_recorded_reply_alone(driver: ChatDriver) -> None:
    """Laying out changes what is shown and not what is kept."""
    driver.chat(in_markdown(pieces), "go" + ENTER, CTRL_D)
    assert [entry.reply for entry in driver.entries()] == [REPLY]


def test_a_reply_that_is_tried_is_laid_out(driver: ChatDriver) -> None:
    """/try shows what the reply would look like."""
    page = replies(driver.chat(in_markdown(pieces), "/try go" + ENTER, CTRL_D))
    assert page == f"{LAID_OUT}dry run: nothing was saved\n"


@pytest.mark.parametrize("reply", ["", " ", "\n\n"])
def test_an_empty_reply_is_an_empty_line(driver: ChatDriver, reply: str) -> None:
    """A reply without a word takes a line, so that one sees that it came."""
    assert replies(driver.chat(in_markdown(lambda *_: reply), "go" + ENTER, CTRL_D)) == "\n"


def test_what_had_come_before_a_failure_is_shown(driver: ChatDriver) -> None:
    """The pieces that came before an agent failed stand before its error, the unfinished block too."""

    def fails(prompt: str, session: Any, context: Any) -> Iterator[str]:
        yield "# Plan\n\nFirst *th"
        raise ValueError("no more")

    page = replies(driver.chat(in_markdown(fails), "go" + ENTER, CTRL_D))
    assert page.startswith("# Plan\n\nFirst *th\nerror: the agent failed: ValueError: no more (")


def test_a_blocks_beginning_does_not_wait_for_the_reply(driver: ChatDriver) -> None:
    """A block is shown for good as soon as the next one has begun."""
    shown: list[str] = []

    def agent(prompt: str, session: Any, context: Any) -> Iterator[str]:
        for piece in ("# Pl", "an\n", "\nFirst\n", "\n- a\n", "- b\n"):
            yield piece
            shown.append(replies(driver.page.text))

    driver.chat(in_markdown(agent), "go" + ENTER, CTRL_D)
    assert shown == ["", "", "# Plan\n", "# Plan\n\nFirst\n", "# Plan\n\nFirst\n"]


def test_a_long_block_in_small_pieces_takes_no_time(driver: ChatDriver) -> None:
    """Ten thousand lines of code in as many pieces do not keep the agent waiting."""
    began = time.process_time()
    code = "".join(f"line_{number} = {number}\n" for number in range(10_000))
    page = driver.chat(
        in_markdown(lambda *_: iter(["```\n", *code.splitlines(keepends=True), "```\n"])),
        "go" + ENTER,
        CTRL_D,
    )
    assert time.process_time() - began < 10
    assert code in page


def test_hostile_pieces_are_made_safe(driver: ChatDriver) -> None:
    """A sequence that is split over pieces is no more obeyed than a whole one, nor is a line break torn."""
    page = driver.chat(in_markdown(lambda *_: iter(["a\x1b", "[2Jb\r", "\nc\r", "d"])), "go" + ENTER, CTRL_D)
    assert replies(page) == "a^[[2Jb\nc^Md\n"


def test_pieces_of_an_agent_given_up_are_not_shown(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Pieces that a stubborn agent goes on to yield after its turn was given up do not reach the screen."""
    monkeypatch.setattr(watchdog, "GRACE_SECONDS", 0.1)
    gate, over = threading.Event(), threading.Event()

    def stubborn(prompt: str, session: Any, context: Any) -> Iterator[str]:
        if prompt == "go":
            yield "# One\n\n"
            try:
                yield "Two\n\nThree"
                driver.signal(signal.SIGINT)
                gate.wait()
            except BaseException:  # noqa: BLE001 - that is what stubborn means
                gate.wait()
            yield "Four\n\n"
            over.set()
        yield "five\n"

    page = driver.chat(in_markdown(stubborn), "go" + ENTER, "next" + ENTER, CTRL_D)
    gate.set()
    over.wait(0.2)
    assert "Four" not in page + driver.page.text
    assert "# One\n\nTwo\n" in page
    assert page.endswith("five\nresume with: flue chat tester -r work\n")


@pytest.mark.parametrize("value", ["'html'", "None", "['markdown']", "1"])
def test_a_reply_format_that_there_is_not(flue: Flue, value: str) -> None:
    """An agent that asks for a way of showing that there is not is refused when it is loaded."""
    flue.agent("wrong", f"reply_format = {value}\n\ndef agent(*_):\n    return 'x'\n")
    code, out, err = flue("chat", "wrong", "hello")
    assert (code, out) == (1, "")
    assert err.startswith(
        "error: agent 'wrong' cannot be loaded: its reply_format is neither 'text' nor 'markdown'\nhint: look at "
    )
    assert "reply_format" in flue("agents", "check", "wrong").out


def test_one_reply_is_printed_exactly(flue: Flue) -> None:
    """Outside the chat a reply in markdown is printed as the agent gave it."""
    flue.agent("plan", f"reply_format = 'markdown'\n\ndef agent(*_):\n    return {REPLY!r}\n")
    assert flue("chat", "plan", "hello").out == REPLY


def test_an_installed_agent_may_ask_for_markdown(
    flue: Flue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """For an agent of an installed package the module that holds it says how its replies are shown."""
    from flue_cli.agents.discovery import load_agent
    from flue_cli.agents.search_path import AgentSource

    (tmp_path / "plan_of_a_package.py").write_text(
        "reply_format = 'markdown'\n\nclass Agents:\n    @staticmethod\n    def plan(*_):\n        return 'x'\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    path = str(tmp_path / "plan_of_a_package.py")
    loaded = load_agent(AgentSource("plan", path, "package p", "plan_of_a_package", "Agents.plan"))
    assert loaded.reply_format == "markdown"


# The bell


@pytest.mark.parametrize(("bell", "rings"), [(0.05, 1), (60.0, 0), (0.0, 0)])
def test_the_bell_after_a_long_turn(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch, bell: float, rings: int
) -> None:
    """The bell rings once after a turn that took as long as the settings say; 0 is never."""
    monkeypatch.setenv("TERM", "xterm")
    assert _rung(driver, bell, thinks) == rings


def test_the_bell_after_a_long_failure(driver: ChatDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who waited for a turn that failed is called too; who cancelled it is there anyway."""
    monkeypatch.setenv("TERM", "xterm")

    def fails(prompt: str, session: Any, context: Any) -> str:
        time.sleep(0.1)
        if prompt == "cancel":
            driver.signal(signal.SIGINT)
            time.sleep(0.1)
        raise ValueError("no")

    assert _rung(driver, 0.05, fails) == 1
    assert _rung(driver, 0.05, fails, "cancel") == 0


def test_no_bell_on_a_dumb_terminal(driver: ChatDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    """A terminal that can do nothing is not rung."""
    monkeypatch.setenv("TERM", "dumb")
    assert _rung(driver, 0.01, thinks) == 0


def thinks(prompt: str, session: Any, context: Any) -> str:
    time.sleep(0.1)
    return "done"


def _rung(driver: ChatDriver, bell: float, agent: Any, prompt: str = "go") -> int:
    driver.keys.send_text(prompt + ENTER + CTRL_D)
    conversation = driver.conversation(agent)
    run_chat(
        conversation,
        driver.page,
        driver.cancelling,
        history_path=lambda agent: "",
        style=ChatStyle(bell=bell),
    )
    seen: str = driver.page.text
    driver.page.text = ""
    return seen.count("\a")


# What is drawn below the cursor


class Screen:
    """A terminal's screen, on which is written what a person would see written."""

    def __init__(self, columns: int = 20, rows: int = 5) -> None:
        self._screen = pyte.HistoryScreen(columns, rows)
        self._stream = pyte.Stream(self._screen)

    def write(self, text: str) -> None:
        self._stream.feed(text.replace("\n", "\r\n"))

    @property
    def lines(self) -> list[str]:
        above = ["".join(line[x].data for x in range(20)).rstrip() for line in self._screen.history.top]
        return [*above, *(line.rstrip() for line in self._screen.display)]


def test_lines_are_drawn_below_and_leave_no_trace() -> None:
    """Text goes on where it stopped, whatever was drawn below it in between."""
    screen = Screen()
    for word in ("one", " two\n", "three", " four\nfive"):
        screen.write(word)
        screen.write(draw_below_cursor(["sign", "of work"]))
        shown = screen.lines
        screen.write("\x1b[J")
    assert shown == ["one two", "three four", "five", "sign", "of work"]
    assert screen.lines == ["one two", "three four", "five", "", ""]


def test_the_screen_scrolls_to_make_room() -> None:
    """At the bottom of the screen the text moves up with the cursor, and only once."""
    screen = Screen()
    screen.write("1\n2\n3\n4\nfive")
    for _ in range(3):
        screen.write(draw_below_cursor(["sign", "of work"]))
    assert screen.lines == ["1", "2", "3", "4", "five", "sign", "of work"]
    screen.write("\x1b[J ends\nsix\n")
    assert screen.lines == ["1", "2", "3", "4", "five ends", "six", ""]


def test_a_line_that_is_too_long_moves_nothing() -> None:
    """A line that turns out wider than the screen is cut, and does not push others up."""
    screen = Screen()
    screen.write("1\n2\n3\n4\nfive")
    screen.write(draw_below_cursor(["x" * 50, "sign"]))
    assert screen.lines == ["1", "2", "3", "4", "five", "x" * 20, "sign"]


def test_what_others_wrote_over_it_is_mended() -> None:
    """What a program wrote where the sign of work was stands alone in its line."""
    screen = Screen()
    screen.write("one\n" + draw_below_cursor(["sign of work"]))
    screen.write("two\nthree\n" + draw_below_cursor(["sign of work"]))
    assert screen.lines[-1] == "sign of work"
    assert screen.lines[:2] == ["one", "two"]


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (80, ["⠋ 5 s · Ctrl-C cancels"]),
        (22, ["⠋ 5 s · Ctrl-C cancels"]),
        (21, ["⠋ 5 s", "Ctrl-C cancels"]),
        (8, ["⠋ 5 s", "Ctrl-C c", "ancels"]),
    ],
)
def test_words_go_below_each_other_where_there_is_no_room(columns: int, lines: list[str]) -> None:
    """Words are never wider than the screen."""
    assert wrap_words(["⠋ 5 s", "Ctrl-C cancels"], columns, " · ") == lines


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.9, "0 s"), (59.9, "59 s"), (60.0, "1 min 00 s"), (3723.0, "1 h 02 min")]
)
def test_durations_are_said_in_whole_seconds(seconds: float, words: str) -> None:
    """Seconds first, minutes and seconds later, then hours and minutes."""
    assert format_whole_seconds(int(seconds * 1e6)) == words


def test_a_forked_agent_can_print(flue: Flue) -> None:
    """What a process prints that an agent forked gets out, whatever others were writing at that moment."""
    flue.agent(
        "forks",
        """
import os, sys, threading, time

def agent(prompt, session, context):
    stop = threading.Event()

    def talk():
        while not stop.is_set():
            sys.stderr.write("x")
            sys.stderr.flush()

    threading.Thread(target=talk).start()
    try:
        for _ in range(50):
            child = os.fork()
            if not child:
                print("child")
                os._exit(0)
            os.waitpid(child, 0)
    finally:
        stop.set()
    return "done"
""",
    )
    done = flue("chat", "forks", "go", "--timeout", "30", env={"PYTHONWARNINGS": "ignore"})
    assert done.out == "done\n"
    assert len(re.findall("child\n", done.err)) == 50


def test_a_stopped_writer_lets_others_write() -> None:
    """An agent's thread that is stopped while it writes does not keep the others from writing."""
    from flue_cli.errors import TurnTimeout
    from flue_cli.turns.cancellation import AgentStopped, Cancellation

    reading, writing = os.pipe()
    output = Output(writing)
    threading.Thread(
        target=lambda: [None for _ in iter(lambda: os.read(reading, 65536), b"")], daemon=True
    ).start()
    for _ in range(50):
        cancellation, begun = Cancellation(), threading.Event()

        def write(cancellation: Cancellation = cancellation, begun: threading.Event = begun) -> None:
            try:
                with cancellation.thread_stop():
                    while True:
                        begun.set()
                        output.write("x")
            except AgentStopped:
                pass

        thread = threading.Thread(target=write)
        thread.start()
        begun.wait()
        cancellation.request(TurnTimeout("enough"))
        thread.join()
        assert output.room.lock.acquire(timeout=5)
        output.room.lock.release()
    os.close(writing)
