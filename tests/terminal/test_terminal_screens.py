"""The manual's pictures of the chat are what a terminal shows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Flue
from support.make_screenshot import PICTURE, picture_text, take_picture
from support.real_terminal import CTRL_D, ENTER, AnsweringTerminal

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

PAGE = (Path(__file__).parents[2] / "flue_cli" / "manual" / "chat.md").read_text()
PICTURES = [picture.rstrip("\n") for picture in re.findall(r"```screen\n(.*?)```", PAGE, re.DOTALL)]

ANALYST = """
import os, signal

reply_format = "markdown"

def agent(prompt, session, context):
    if "all of" in prompt:
        os.kill(os.getpid(), signal.SIGKILL)
    return REPLY
""".replace(
    "REPLY",
    repr("""\
Three regions, **one** below plan:

| Region | Plan | Sold |
|---|---:|---:|
| North | 120 | 134 |
| South | 90 | 71 |
"""),
)

Open = Callable[..., AnsweringTerminal]


@pytest.fixture
def terminal(flue: Flue) -> Iterator[Open]:
    """Opens terminals that are as wide as the page."""
    opened = []

    def command(*arguments: str, rows: int) -> AnsweringTerminal:
        opened.append(
            AnsweringTerminal(
                [*flue.command, *arguments], cwd=flue.folder, env=flue.env, rows=rows, columns=78
            )
        )
        return opened[-1]

    yield command
    for each in opened:
        each.close()


def dated(terminal: AnsweringTerminal) -> str:
    """What the screen shows, as of the day of the picture."""
    return re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d", "2026-01-31 09:30", "\n".join(terminal.lines))


def test_a_conversation(terminal: Open) -> None:
    """The first picture: two turns, the data they left with what changed, an undo, and the toolbar."""
    chat = terminal("chat", "task-planner", "-s", "work", rows=30)
    for said, answered in (
        ("add Buy groceries", "You now have 1 tasks"),
        ("add Call mom", "You now have 2 tasks"),
        ("/data", "gone by the last turn"),
        ("/undo", "is at turn 1"),
    ):
        chat.say(said)
        chat.wait_for(answered)
    chat.ready()
    chat.wait_for("turn 1 · data")

    shown = re.sub(r"\n{3,}", "\n\n", "\n".join(chat.lines))  # the toolbar is at the bottom of the screen
    assert shown == PICTURES[0], f"\n{chat}"
    chat.type(CTRL_D)
    assert chat.ended() == 0


def test_a_turn_of_another_process(flue: Flue, terminal: Open) -> None:
    """The second picture: a turn that another process made meanwhile, set apart from one's own."""
    chat = terminal("chat", "task-planner", "-s", "work", "--no-toolbar", rows=30)
    chat.say("add Buy groceries")
    chat.wait_for("You now have 1 tasks")
    chat.ready()
    assert flue("chat", "task-planner", "-s", "work", "add Call mom", stdin=None).code == 0
    chat.say("list tasks")
    chat.wait_for("2. Call mom")
    chat.ready()

    shown = "\n".join(dated(chat).split("\n")[4:])
    assert shown == PICTURES[1], f"\n{chat}"
    chat.type(CTRL_D)
    assert chat.ended() == 0


def test_choosing_a_session(flue: Flue, terminal: Open) -> None:
    """The third picture: all sessions, narrowed by what is typed, with the last turns of the one selected."""
    for name, said in (
        ("work", "add Buy groceries"),
        ("holidays", "add Book the ferry"),
        ("work", "list tasks"),
    ):
        assert flue("chat", "task-planner", "-s", name, said, stdin=None).code == 0
    assert flue("chat", "greeting", "-s", "alice", "my name is Alice", stdin=None).code == 0
    picker = terminal("chat", "--pick", rows=12)
    picker.wait_for("alice")
    picker.type("task")
    picker.until(lambda: "alice" not in picker.screen, "a shorter list")

    assert dated(picker) == PICTURES[2], f"\n{picker}"
    picker.type(ENTER)
    picker.wait_for("/help")
    picker.ready()
    picker.type(CTRL_D)
    assert picker.ended() == 0


def test_coming_back_after_a_crash(flue: Flue, terminal: Open) -> None:
    """The last picture: a reply in markdown, and a prompt that was never answered."""
    flue.agent("analyst", ANALYST)
    assert flue("chat", "analyst", "-s", "q3", "How did we do?", stdin=None).code == 0
    assert flue("chat", "analyst", "-s", "q3", "Now all of last year", stdin=None).code == 128 + 9
    chat = terminal("chat", "analyst", "-r", "q3", rows=18)
    chat.ready()
    chat.wait_for("q3 · turn")

    assert dated(chat) == PICTURES[3], f"\n{chat}"
    chat.type(CTRL_D)
    assert chat.ended() == 0


def test_the_picture_of_the_readme(flue: Flue) -> None:
    """The README's picture has the text that a terminal shows; tests/support/make_screenshot.py makes it anew."""
    text, _ = take_picture(flue.command, flue.folder, flue.env)

    assert picture_text() == text
    readme = Path(__file__).parents[2] / "README.md"
    assert f"]({PICTURE.relative_to(readme.parent)})" in readme.read_text()
