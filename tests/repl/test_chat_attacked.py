"""The chat, treated badly: odd bytes, odd line ends, huge replies, sessions that vanish."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from support.fake_terminal import ChatDriver, echo
from support.real_terminal import ALT_ENTER, CTRL_D, ENTER, PASTE_BEGINS, PASTE_ENDS, UP

from flue_cli.agents.discovery import Agent

EXPAND, BACKSPACE = "\x0f", "\x7f"
GONE = [
    "error: session 'work' was deleted, renamed or replaced meanwhile",
    "hint: /new begins another, /sessions lists the existing ones",
]
LAID_OUT = Agent(
    "tester", lambda prompt, session, context: "some **bold** words", "v1", reply_format="markdown"
)


@pytest.mark.parametrize("blank", ["  ", "\t", ALT_ENTER])
def test_a_command_and_blanks(driver: ChatDriver, blank: str) -> None:
    """A command is the same command with blanks, tabs or an empty line behind it."""
    page = driver.chat(echo, f"/undo{blank}" + ENTER, CTRL_D)

    assert page.splitlines()[1:] == ["error: nothing has been said yet"]


def test_a_command_whose_argument_is_on_the_next_line(driver: ChatDriver) -> None:
    """What a command takes may begin on a new line."""
    page = driver.chat(echo, f"/try{ALT_ENTER}hello" + ENTER, CTRL_D)

    assert "<hello>" in page
    assert "dry run" in page


@pytest.mark.parametrize("beginning", ["/usr/lib/one.py:1: oh", "// a comment", "/undo"])
def test_a_long_paste_that_begins_with_a_slash(driver: ChatDriver, beginning: str) -> None:
    """A long text that was pasted is sent as it is, whatever it begins with: it is no command."""
    text = "\n".join([beginning, *map(str, range(20))])
    driver.chat(echo, PASTE_BEGINS + text + PASTE_ENDS, ENTER, CTRL_D)

    assert driver.sent() == [text]


@pytest.mark.parametrize("turn", ["99999999999", "9" * 5000])
def test_a_copy_as_of_an_absurd_turn(driver: ChatDriver, turn: str) -> None:
    """/fork with a number beyond all sessions is a mistake like others, and the chat goes on."""
    page = driver.chat(echo, "one" + ENTER, f"/fork copy {turn}" + ENTER, "two" + ENTER, CTRL_D)

    assert "error: /fork takes a name and the number of a turn" in page
    assert driver.sent() == ["one", "two"]


def test_no_turns_of_the_history(driver: ChatDriver) -> None:
    """/history 0 does not claim that nothing was said."""
    page = driver.chat(echo, "one" + ENTER, "/history 0" + ENTER, CTRL_D)

    assert "error: /history takes a number of turns" in page


def test_a_broken_character_for_the_editor(
    driver: ChatDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/editor takes a text along whose bytes are no UTF-8: what is broken in it is a question mark."""
    monkeypatch.setenv("VISUAL", f"cp -f -t {tmp_path}")
    driver.keys.send_bytes(b"/editor caf\xe9\r")
    driver.chat(echo, ENTER, CTRL_D)

    assert [path.read_text() for path in tmp_path.glob("flue-*.md")] == ["caf?\n"]
    assert driver.sent() == ["caf?"]


@pytest.mark.parametrize(
    "line", ["more", "/try more", "/undo", "/retry", "/fork copy", "/rename other", "/data set a 1"]
)
def test_a_session_that_was_deleted_meanwhile(driver: ChatDriver, line: str) -> None:
    """Whatever is done in a session that somebody deleted, the chat says so, and how to go on in it."""

    driver.page.when("<one>", lambda: driver.store.delete(driver.store.head("tester", "work"), seen_forks=[]))
    page = driver.chat(echo, "one" + ENTER, line + ENTER, "/new work" + ENTER, "anew" + ENTER, CTRL_D)

    assert page.splitlines()[2:4] == GONE
    assert driver.sent() == ["anew"]


def test_what_was_said_is_laid_out_like_what_is_said(driver: ChatDriver) -> None:
    """An agent that replies in markdown is laid out in the recap, in /history, and what others said, too."""
    driver.page.when("some", lambda: driver.elsewhere("theirs", LAID_OUT.function))
    page = driver.chat(LAID_OUT, "mine" + ENTER, "/history" + ENTER, CTRL_D)
    recap = driver.chat(LAID_OUT, CTRL_D)

    assert "meanwhile in another process" in page
    assert (page.count("words"), recap.count("words")) == (1 + 1 + 2, 2)
    assert "**" not in page + recap


def test_a_huge_reply_in_markdown(driver: ChatDriver) -> None:
    """A reply of megabytes is there at once, as it came, rather than laid out after minutes."""
    reply = "# Head\n\n- **bold** item\n\n" * 80_000
    agent = Agent("tester", lambda prompt, session, context: reply, "v1", reply_format="markdown")
    began = time.monotonic()
    page = driver.chat(agent, "go" + ENTER, CTRL_D)
    again = driver.chat(agent, CTRL_D)

    assert reply.rstrip("\n") in page
    assert reply.rstrip("\n") in again
    assert time.monotonic() - began < 20


def test_a_large_prompt_comes_back(
    driver: ChatDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A prompt with a large file comes back folded after its beginning; it is sent whole, the file once."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "log.txt").write_text("some words in a line of text\n" * 36_000)
    driver.chat(echo, "read @log.txt" + ENTER, "/edit" + ENTER, " please" + ENTER, CTRL_D)
    (whole,) = driver.sent()
    driver.chat(echo, "/edit" + ENTER, BACKSPACE * 8 + ENTER, CTRL_D)

    assert whole.startswith("read @log.txt\n\n@log.txt:\n```\n")
    assert whole.endswith("``` please")
    assert whole.count("some words") == 36_000
    assert len(driver.sent()[-1]) < 100  # Backspace took all that was folded


def test_a_large_command_comes_back(driver: ChatDriver) -> None:
    """A long command that Up brings back, folded, is still a command, and whole."""
    words = "word " * 4_000 + "end"
    driver.chat(echo, PASTE_BEGINS + f"/try {words}" + PASTE_ENDS + EXPAND + ENTER, CTRL_D)

    assert f"<{words}!>" in driver.chat(echo, UP + "!" + ENTER, CTRL_D)
    assert driver.entries() == []
