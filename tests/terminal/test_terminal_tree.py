"""/tree in a real terminal: find a turn, label it, and go there."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.real_terminal import CTRL_C, CTRL_D, CTRL_R, ENTER, UP, Terminal

from flue_cli.stores import open_store

if TYPE_CHECKING:
    from conftest import Flue

ESC, CTRL_U, END = "\x1b", "\x15", "\x1b[F"
ENTERS_ALTERNATE_SCREEN, LEAVES_ALTERNATE_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
ECHO = """
def agent(prompt, session, context):
    session.data["said"] = [*session.data.get("said", []), prompt]
    return f"<{prompt}>"
"""


@pytest.fixture
def chat(flue: Flue) -> Iterator[Callable[..., Terminal]]:
    """A chat in a session of three turns whose undone fork has another third turn."""
    flue.agent("echo", ECHO)
    flue("chat", "echo", "-s", "work", "--lines", stdin="one\ntwo\nthree\n")
    flue("sessions", "undo", "work")
    flue("chat", "echo", "-s", "work", "--lines", stdin="instead\n")
    opened: list[Terminal] = []

    def open_(session: str = "work", **settings: Any) -> Terminal:
        environment = flue.env | settings.pop("env", {})
        command = [*flue.command, "chat", "echo", "-s", session]
        opened.append(Terminal(command, cwd=flue.folder, env=environment, **settings))
        return opened[-1]

    yield open_
    for terminal in opened:
        terminal.close()


def open_tree(terminal: Terminal) -> None:
    trees = terminal.raw.count(ENTERS_ALTERNATE_SCREEN)
    terminal.say("/tree")
    terminal.until(lambda: terminal.raw.count(ENTERS_ALTERNATE_SCREEN) > trees, "the tree")
    terminal.wait_for("Enter goes there")


def selected(terminal: Terminal) -> str:
    """The selected line, without the filter's."""
    return next((line for line in terminal.lines[1:] if line.startswith("> ")), "")


def leave(terminal: Terminal, key: str) -> None:
    """Leave the tree, and wait for the chat's prompt."""
    trees = terminal.raw.count(LEAVES_ALTERNATE_SCREEN)
    terminal.type(key)
    terminal.until(lambda: terminal.raw.count(LEAVES_ALTERNATE_SCREEN) > trees, "the chat")
    terminal.ready()


def test_a_turn_of_this_session_is_gone_to(chat: Callable[..., Terminal]) -> None:
    """Enter on an earlier turn goes back to it, and the prompt after it comes back into the line."""
    terminal = chat()
    open_tree(terminal)
    assert selected(terminal).split() == [">", "*", "3", "instead"]
    terminal.type(UP * 2)
    terminal.until(lambda: selected(terminal).split() == [">", "2", "two"], "turn 2")
    terminal.type(ENTER)
    terminal.wait_for("turn 3 undone: echo/work is at turn 2")
    terminal.until(lambda: terminal.typed == "> instead", "the prompt after it")
    terminal.type(" of it" + ENTER)
    terminal.wait_for("<instead of it>")


def test_a_turn_is_found_by_its_words(chat: Callable[..., Terminal]) -> None:
    """Typing filters; Enter on a turn of an undone fork goes on in that fork, at that turn."""
    terminal = chat()
    open_tree(terminal)
    terminal.type("three")
    terminal.wait_for("1/5")
    assert selected(terminal).split() == [">", "3", "three", "work~1"]
    terminal.type(ENTER)
    terminal.wait_for("echo · session work~1 (3 turns)")
    terminal.say("more")
    terminal.wait_for("<more>")
    open_tree(terminal)
    terminal.type("thr")
    terminal.until(lambda: "1/6" in terminal.lines[0], "one turn")
    terminal.type(ENTER)
    terminal.wait_for("turn 4 undone: echo/work~1 is at turn 3")
    terminal.until(lambda: terminal.typed == "> more", "the prompt after it")


def test_a_turn_is_labelled_in_the_tree(chat: Callable[..., Terminal], flue: Flue) -> None:
    """Ctrl-R labels the selected turn; an empty label takes it off, and Esc keeps it."""
    terminal = chat()
    open_tree(terminal)
    terminal.type(CTRL_R + "good place" + ENTER)
    terminal.wait_for("turn 3: [good place]")
    terminal.wait_for("3  [good place] instead")
    terminal.type("good")
    terminal.wait_for("1/5")
    terminal.type(CTRL_R)
    terminal.wait_for("label: good place")
    terminal.type(CTRL_U + ESC)
    terminal.wait_for("Enter goes there")
    terminal.wait_for("[good place] instead")
    terminal.type(CTRL_R)
    terminal.wait_for("label: good place")
    terminal.type(CTRL_U + ENTER)
    terminal.wait_for("turn 3 has no label now")
    terminal.type(CTRL_U + END + CTRL_R + "x" * 101 + ENTER)
    terminal.wait_for("error: a label has at most 100 characters")


def test_leaving_the_tree_changes_nothing(chat: Callable[..., Terminal], flue: Flue) -> None:
    """Esc and Ctrl-C come back to the chat where it was."""
    terminal = chat()
    for key in (ESC, CTRL_C):
        open_tree(terminal)
        terminal.type(UP)
        leave(terminal, key)
    terminal.say("next")
    terminal.wait_for("<next>")
    terminal.ready()
    terminal.type(CTRL_D)

    assert terminal.ended() == 0
    assert flue("sessions", "list").out.split("\t")[2] == "4"


def test_the_tree_is_up_to_date(chat: Callable[..., Terminal], flue: Flue) -> None:
    """A turn that another process adds appears; going back then is refused, since the chat has not shown it."""
    terminal = chat()
    open_tree(terminal)
    flue("chat", "echo", "-s", "work", "elsewhere")
    terminal.wait_for("elsewhere")
    terminal.type(UP * 3 + ENTER)
    terminal.wait_for("error: session 'work' was changed meanwhile: it is at turn 4 now")
    terminal.wait_for("meanwhile in another process:")


def test_a_running_turn_cannot_be_gone_to(chat: Callable[..., Terminal], flue: Flue) -> None:
    """The prompt that another process answers is shown; Enter on it says so and stays."""
    with closing(open_store(str(flue.store))) as store:
        from flue_cli.testing.run_turns import begin_turn

        begin_turn(store, "a long one", "work", agent="echo")
        terminal = chat()
        open_tree(terminal)
        terminal.wait_for("a long one")
        terminal.wait_for("running")
        terminal.type("long" + ENTER)
        terminal.wait_for("error: turn 4 is being answered")


def test_before_the_first_prompt_there_is_no_tree(chat: Callable[..., Terminal]) -> None:
    """A new session has no tree yet."""
    terminal = chat("new")
    terminal.say("/tree")
    terminal.wait_for("error: nothing has been said yet")


def test_a_dumb_terminal_gets_the_tree_as_text(chat: Callable[..., Terminal]) -> None:
    """Without a movable cursor the tree is printed, to be used with /rewind and /resume."""
    terminal = chat(env={"TERM": "dumb"}, columns=60)
    terminal.say("/tree")
    terminal.wait_for("* 3  instead\n>")

    assert "  0  (start)\n  1  one\n  2  two\n  └─ 3  three" in terminal.screen
    assert " work~1\n* 3  instead\n" in terminal.screen


@pytest.mark.parametrize(("rows", "columns"), [(3, 10), (8, 30), (50, 200)])
def test_the_tree_fits_any_window(chat: Callable[..., Terminal], rows: int, columns: int) -> None:
    """In a tiny and in a huge window the tree works, and leaves the chat usable."""
    terminal = chat(rows=rows, columns=columns)
    terminal.until(lambda: terminal.typed == "> ", "a prompt")
    terminal.type("/tree" + ENTER)
    terminal.until(lambda: selected(terminal).startswith("> * 3"), "the tree")
    leave(terminal, ESC)
    terminal.type(CTRL_D)

    assert terminal.ended() == 0


def test_the_manual_shows_the_tree(flue: Flue) -> None:
    """The picture on the manual's page is what a terminal shows."""
    page = (Path(__file__).parents[2] / "flue_cli" / "manual" / "timeline.md").read_text()
    (picture,) = re.findall(r"```screen\n(.*?)```", page, re.DOTALL)
    prompts = "add Buy groceries\nadd Call mom\nadd Book the ferry\n"
    flue("chat", "task-planner", "-s", "holidays", "--lines", stdin=prompts)
    flue("sessions", "undo", "holidays")
    flue("chat", "task-planner", "-s", "holidays", "--lines", stdin="add Book the train\nlist tasks\n")
    flue("sessions", "undo", "holidays")
    with closing(open_store(str(flue.store))) as store:
        store.set_label(store.head("task-planner", "holidays"), 3, "no ferry")
    command = [*flue.command, "chat", "task-planner", "-s", "holidays"]
    terminal = Terminal(command, cwd=flue.folder, env=flue.env, rows=11, columns=78)
    try:
        open_tree(terminal)
        assert "\n".join(terminal.lines) == picture.rstrip("\n"), f"\n{terminal}"
    finally:
        terminal.close()
