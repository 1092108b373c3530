"""The chat at awkward moments: between two instructions of another thread, or as the window goes away."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from conftest import Flue
from support.fake_terminal import ChatDriver, echo
from support.real_terminal import CTRL_C, CTRL_D, ENTER
from support.terminals import Terminals

from flue_cli.agents.search_path import AgentSource
from flue_cli.errors import OutputClosed
from flue_cli.render.status_line import StatusLine
from flue_cli.render.streams import Output
from flue_cli.repl.agent_file import AgentLoader, load_agent_file
from flue_cli.stores.records import LeaseHolder
from flue_cli.turns.cancellation import Cancellation

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")


@pytest.mark.parametrize("look", range(1, 6))
def test_a_turn_that_begins_while_its_waiting_is_drawn(
    look: int, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """The turn's thread may say that the waiting is over at any look that the drawing takes at the clock."""
    looks, now = 0, 0.0

    def monotonic() -> float:
        nonlocal looks
        looks += 1
        if now and looks == look:
            working.begun()
        return now

    monkeypatch.setattr(time, "monotonic", monotonic)
    monkeypatch.setattr(Output, "can_draw", True)
    monkeypatch.setattr("os.get_terminal_size", lambda descriptor: (80, 24))
    working = StatusLine(Output(), Cancellation(), wait=30.0)
    with working.shown_while():
        working.waiting(LeaseHolder(4711, "elsewhere", 0))
        looks, now = 0, 10.0
        working.tick()

    assert "Ctrl-C cancels" in capfd.readouterr().err


def test_a_window_that_goes_away_as_a_turn_begins(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever closes the window in the moment before the agent starts is told of no bug of ours."""
    written, marks = driver.page.write_raw, []

    def write_raw(text: str) -> None:
        if "2004h" in text:
            marks.append(text)
            if len(marks) == 3:  # before the prompt, for the line, for the turn
                raise OutputClosed("nobody reads the result any more")
        written(text)

    monkeypatch.setattr(driver.page, "write_raw", write_raw)
    with pytest.raises(OutputClosed):
        driver.chat(echo, "hello" + ENTER, CTRL_D)

    assert driver.sent() == []


def test_a_file_saved_before_a_retry_counts(driver: ChatDriver, tmp_path: Path) -> None:
    """With --watch, a prompt that is sent again is answered by the agent's file as it is then."""
    path = tmp_path / "tester.py"
    path.write_text("def agent(prompt, session, context):\n    return 'old ' + prompt\n")
    source = AgentSource("tester", str(path), "--agents")

    def save() -> None:
        path.write_text("def agent(prompt, session, context):\n    return 'newer ' + prompt\n")
        driver.keys.send_text("/retry" + ENTER + "/try two" + ENTER + CTRL_D)

    conversation = driver.conversation(load_agent_file(source), agents=AgentLoader(reloads_on_change=True))
    driver.page.when("press Ctrl-C again", save)  # the prompt waits for keys then
    page = driver.chat(conversation, "one" + ENTER, CTRL_C)

    assert (
        "> one\ntester.py is loaded again\nthe undone turns are kept in session work~1\nnewer one\nnewer two\n"
        in page
    )


REDIRECTED = """
import contextlib, io, time

def agent(prompt, session, context):
    with contextlib.redirect_stderr(io.StringIO()):
        if prompt == "hang":
            while True:
                with contextlib.suppress(BaseException):
                    time.sleep(0.05)
        time.sleep(0.8)  # long enough for signs of life
    return f"<{prompt}>"
"""


def test_an_agent_may_keep_what_is_said_on_stderr(terminals: Terminals, flue: Flue) -> None:
    """While an agent collects what is written to sys.stderr, the chat goes on showing that it works."""
    flue.agent("collector", REDIRECTED)
    terminal = terminals.chat("collector", "-s", "work")
    terminal.say("go")
    terminal.wait_for(" s · Ctrl-C cancels")
    terminal.wait_for("<go>\n>")


def test_an_error_is_not_said_to_the_agent(flue: Flue) -> None:
    """An agent that is given up while it collects what is written to sys.stderr does not get the error."""
    flue.agent("collector", REDIRECTED)
    done = flue("chat", "collector", "-s", "work", "hang", "--timeout", "0.2")

    assert done.code == 124
    assert "error: " in done.err
