"""The chat with several agents: switching, files that change, and coming back to what was interrupted."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from support.chat_agents import AgentFolder, saying, talking_to
from support.fake_terminal import ChatDriver, echo, without_colours
from support.real_terminal import CTRL_C, CTRL_D, ENTER

from flue_cli.agents.discovery import Agent
from flue_cli.agents.search_path import AgentSource
from flue_cli.repl.agent_file import LoadedAgent, load_agent_file
from flue_cli.stores import open_store
from flue_cli.stores.records import Failure, TurnFailure, TurnRequest, TurnResult


@pytest.fixture
def folder(tmp_path: Path) -> AgentFolder:
    folder = AgentFolder(tmp_path / "agents")
    folder.write("tester", saying("old"))
    return folder


def crash(driver: ChatDriver, prompt: str, name: str = "work") -> None:
    """A process begins to answer a prompt, and dies."""
    with closing(open_store(str(driver.file))) as other:
        other.begin(TurnRequest("tester", name, prompt, wait=0), lambda seconds, holder: None)


# Agents


def test_talking_to_another_agent(driver: ChatDriver, folder: AgentFolder) -> None:
    """/agent NAME goes on with another agent in a new session, and says how to come back; /resume does."""
    folder.write("other", saying("other"))
    page = driver.chat(
        talking_to(driver, folder),
        *("one" + ENTER, "/agent other" + ENTER, "two" + ENTER, "/resume tester/work" + ENTER),
        *("three" + ENTER, CTRL_D),
    )
    name = page.partition("in the new session ")[2].partition(";")[0]

    assert (
        f"now talking to other, in the new session {name}; back: /resume tester/work\nType a prompt, or / for the commands.\nother two\n"
        in page
    )
    assert "tester · session work (1 turn) · /help" in page
    assert page.endswith("old three\nresume with: flue chat tester -r work\n")
    assert driver.sent() == ["one", "three"]
    assert driver.sent(name, "other") == ["two"]


def test_another_agent_that_says_nothing_leaves_nothing(driver: ChatDriver, folder: AgentFolder) -> None:
    """Who only looks at another agent makes no session of it."""
    folder.write("other", saying("other"))
    page = driver.chat(talking_to(driver, folder), "/agent other" + ENTER, CTRL_D)

    assert "back:" not in page
    assert driver.store.sessions() == []


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/agent nobody", "error: there is no agent 'nobody'"),
        ("/agent tester", "error: you are talking to tester already"),
        ("/agent a/b", "error: "),
        ("/agent broken", "error: agent 'broken' cannot be loaded: ZeroDivisionError: "),
        ("/resume broken/there", "error: agent 'broken' cannot be loaded: ZeroDivisionError: "),
        ("/resume tester/nowhere", "error: there is no session 'nowhere' of agent 'tester'"),
    ],
)
def test_an_agent_that_cannot_be_talked_to(
    driver: ChatDriver, folder: AgentFolder, typed: str, words: str
) -> None:
    """An agent that is not there or cannot be loaded is an error, and the chat stays with its own."""
    folder.write("broken", "1 / 0\n")
    ask = TurnRequest("broken", "there", "hi", wait=0)
    begun: Any = driver.store.begin(ask, lambda seconds, holder: None)
    driver.store.abandon(begun.lease, TurnFailure("failed", Failure("agent", "no"), {}))
    page = driver.chat(talking_to(driver, folder), typed + ENTER, "one" + ENTER, CTRL_D)

    assert words in page
    assert "old one\n" in page
    assert driver.sent() == ["one"]


def test_agent_alone_lists_the_agents(
    driver: ChatDriver, folder: AgentFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/agent alone lists the agents, one that is broken as such, and says to whom one talks."""
    monkeypatch.setenv("COLUMNS", "300")
    folder.write("other", f'"""Says other."""\n{saying("other")}')
    folder.write("broken", "def agent(\n")
    page = without_colours(driver.chat(talking_to(driver, folder), "/agent" + ENTER, CTRL_D))

    assert "Says other." in page
    assert "broken: not valid Python" in page
    assert "you are talking to tester\n" in page


# A file that changes


def test_a_changed_agent_is_taken(driver: ChatDriver, folder: AgentFolder) -> None:
    """/reload takes the agent's file as it is now; session and data stay."""
    driver.page.when("old one\n", lambda: folder.write("tester", saying("new")))
    page = driver.chat(
        talking_to(driver, folder), "one" + ENTER, "/reload" + ENTER, "two" + ENTER, "/reload" + ENTER, CTRL_D
    )

    assert "tester.py is loaded again\nnew two\ntester.py is loaded again, unchanged\n" in page
    assert driver.sent() == ["one", "two"]
    sources = [entry.meta["source"] for entry in driver.entries()]
    assert sources[0] != sources[1]


def test_a_broken_edit_leaves_the_agent_as_it_was(driver: ChatDriver, folder: AgentFolder) -> None:
    """/reload of a file that is broken shows why, with --verbose where; the old agent answers on."""
    driver.page.when("old one\n", lambda: folder.write("tester", "def agent(:\n"))
    page = driver.chat(
        talking_to(driver, folder, verbose=True), "one" + ENTER, "/reload" + ENTER, "two" + ENTER, CTRL_D
    )

    assert "error: agent 'tester' cannot be loaded: SyntaxError: " in page
    assert "Traceback (most recent call last):" in page
    assert "the old agent goes on answering\nold two\n" in page


def test_what_the_old_agent_needs_stays_after_a_broken_edit(driver: ChatDriver, tmp_path: Path) -> None:
    """An agent in several files that imports one late can still do so after a failed reload."""
    package = tmp_path / "parts"
    package.mkdir()
    (package / "late.py").write_text("WORD = 'late'\n")
    main = package / "__init__.py"
    main.write_text("def agent(prompt, session, context):\n    from .late import WORD\n    return WORD\n")
    source = AgentSource("tester", str(main), "./agents")
    driver.page.when("/help\n", lambda: main.write_text("1 / 0\n"))
    page = driver.chat(driver.conversation(load_agent_file(source)), "/reload" + ENTER, "one" + ENTER, CTRL_D)

    assert "error: agent 'tester' cannot be loaded: ZeroDivisionError" in page
    assert page.splitlines()[-2] == "late"


def test_every_file_of_an_agent_counts(driver: ChatDriver, tmp_path: Path) -> None:
    """Of an agent in several files, a change in any of them is noticed, and taken by /reload."""
    package = tmp_path / "parts"
    package.mkdir()
    part = package / "words.py"
    part.write_text("WORD = 'old'\n")
    main = package / "__init__.py"
    main.write_text("from .words import WORD\n\ndef agent(prompt, session, context):\n    return WORD\n")
    driver.page.when("old\n", lambda: part.write_text("WORD = 'changed'\n"))
    source = AgentSource("tester", str(main), "./agents")
    page = driver.chat(
        driver.conversation(load_agent_file(source)), "one" + ENTER, "/reload" + ENTER, "two" + ENTER, CTRL_D
    )

    file = "parts/__init__.py"
    assert f"{file} has changed: /reload loads it\n{file} is loaded again\nchanged\n" in page


def test_a_module_beside_an_agent_counts(driver: ChatDriver, folder: AgentFolder) -> None:
    """A changed module that an agent imports from its folder is mentioned, and /reload takes it."""
    folder.write("words", "word = 'old'\n")
    folder.write("other", "word = 'other'\n")
    folder.write(
        "tester",
        "from .words import word\ndef agent(prompt, session, context):\n    return f'{word} {prompt}'\n",
    )

    def change() -> None:
        folder.write("other", "word = 'changed'\n")
        folder.write("words", "word = 'new'\n")

    driver.page.when("old one\n", change)
    page = driver.chat(
        talking_to(driver, folder),
        "one" + ENTER,
        "two" + ENTER,
        "/reload" + ENTER,
        "three" + ENTER,
        "/reload" + ENTER,
        CTRL_D,
    )

    assert page.count("tester.py has changed: /reload loads it") == 1
    assert "old two\ntester.py is loaded again\nnew three\ntester.py is loaded again, unchanged\n" in page


def test_a_changed_file_is_mentioned_once(driver: ChatDriver, folder: AgentFolder) -> None:
    """Without --watch, a changed file is mentioned once a change, and the agent stays."""
    conversation = talking_to(driver, folder)
    driver.page.when("old one\n", lambda: folder.write("tester", saying("new")))
    driver.page.when("old two\n", lambda: folder.write("tester", saying("newer")))
    page = driver.chat(conversation, "one" + ENTER, ENTER, "two" + ENTER, "three" + ENTER, CTRL_D)

    assert page.splitlines()[2:-1] == [
        "old one",
        "tester.py has changed: /reload loads it",
        "old two",
        "tester.py has changed: /reload loads it",
        "old three",
    ]


def test_a_watched_file_is_taken_when_it_is_saved(driver: ChatDriver, folder: AgentFolder) -> None:
    """With --watch the next prompt is answered by the file as saved; a broken one is shown once."""
    driver.page.when("old one\n", lambda: folder.write("tester", saying("new")))
    driver.page.when("new two\n", lambda: folder.write("tester", "1 / 0\n"))
    driver.page.when("new three\n", lambda: folder.write("tester", saying("mended")))
    page = driver.chat(
        talking_to(driver, folder, watches=True),
        *("one" + ENTER, "two" + ENTER, "three" + ENTER, "four" + ENTER, CTRL_D),
    )

    assert "old one\ntester.py is loaded again\nnew two\nerror: agent 'tester' cannot be loaded: " in page
    assert page.count("ZeroDivisionError") == 1
    assert "the old agent goes on answering\nnew three\ntester.py is loaded again\nmended four\n" in page


def test_a_file_saved_while_a_prompt_is_typed_counts(driver: ChatDriver, folder: AgentFolder) -> None:
    """With --watch, what was saved while one was typing is what answers."""

    def save() -> None:
        folder.write("tester", saying("new"))
        driver.keys.send_text("one" + ENTER + CTRL_D)

    driver.page.when("press Ctrl-C again", save)  # the prompt waits for keys then
    page = driver.chat(talking_to(driver, folder, watches=True), CTRL_C)

    assert "tester.py is loaded again\nnew one\n" in page


def test_a_file_that_is_gone_for_a_moment(driver: ChatDriver, folder: AgentFolder) -> None:
    """While an editor has the file away, nothing is said, and the agent stays."""
    driver.page.when("old one\n", (folder.path / "tester.py").unlink)
    page = driver.chat(talking_to(driver, folder, watches=True), "one" + ENTER, "two" + ENTER, CTRL_D)

    assert page.splitlines()[2:-1] == ["old one", "old two"]


def test_a_load_that_does_not_end_is_cancelled(driver: ChatDriver, folder: AgentFolder) -> None:
    """Ctrl-C ends a /reload that takes for ever, and the agent and the chat stay."""
    driver.page.when(
        "old one\n", lambda: folder.write("tester", "import time\nwhile True:\n    time.sleep(0.01)\n")
    )
    received = signal.signal(signal.SIGUSR1, lambda signum, frame: driver.signal(signal.SIGINT))
    conversation = talking_to(driver, folder)
    driver.page.when("has changed", threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGUSR1)).start)
    try:
        page = driver.chat(conversation, "one" + ENTER, "/reload" + ENTER, "two" + ENTER, CTRL_D)
    finally:
        signal.signal(signal.SIGUSR1, received)

    assert "cancelled\nold two\n" in page


@pytest.mark.parametrize(
    ("there", "words"),
    [
        (
            LoadedAgent(Agent("tester", echo, "v1")),
            "error: agent 'tester' has no file to load again",
        ),
        (
            LoadedAgent(Agent("tester", echo, "v1"), AgentSource("tester", "/x.py", "package p", "p")),
            "error: agent 'tester' belongs to package p, which is loaded only once",
        ),
    ],
    ids=["no file", "package"],
)
def test_an_agent_that_cannot_be_loaded_again(driver: ChatDriver, there: LoadedAgent, words: str) -> None:
    """/reload says so when there is nothing that it could load again."""
    page = driver.chat(driver.conversation(there), "/reload" + ENTER, "one" + ENTER, CTRL_D)

    assert words in page
    assert "<one>" in page


# Coming back


def test_a_source_that_changed_since_is_mentioned(driver: ChatDriver, folder: AgentFolder) -> None:
    """Who comes back reads that the agent's file has changed since the last turn, if it has."""
    driver.chat(talking_to(driver, folder), "one" + ENTER, "two" + ENTER, "/data set x 1" + ENTER, CTRL_D)
    assert "has changed" not in driver.chat(talking_to(driver, folder), CTRL_D)

    folder.write("tester", saying("new"))
    page = driver.chat(talking_to(driver, folder), "three" + ENTER, CTRL_D)
    assert "tester.py has changed since turn 2\n" in page
    assert "has changed" not in driver.chat(talking_to(driver, folder), CTRL_D)


def test_a_prompt_that_a_crash_left_can_be_sent_again(driver: ChatDriver) -> None:
    """Who comes back after a crash reads what was not answered; /retry sends it, keeping the mark."""
    driver.elsewhere("one")
    crash(driver, "an important question " + "x" * 100)
    page = without_colours(driver.chat(echo, "/retry" + ENTER, CTRL_D))

    assert "\nturn 2 was interrupted: an important question xxxxxxxxxxxxxxxxx…\n" in page
    assert "/retry sends it again, /edit brings it back into the line, /discard drops it\n" in page
    outcomes = [(entry.prompt[:3], entry.outcome) for entry in driver.entries()]
    assert outcomes == [("one", "completed"), ("an ", "interrupted"), ("an ", "completed")]


def test_a_prompt_that_a_crash_left_can_be_edited(driver: ChatDriver) -> None:
    """/edit brings it back into the line, and what is sent is what was made of it."""
    crash(driver, "a question")
    driver.chat(echo, "/edit" + ENTER, " or two" + ENTER, CTRL_D)

    assert driver.sent() == ["a question", "a question or two"]


def test_a_prompt_that_a_crash_left_can_be_dropped(driver: ChatDriver) -> None:
    """/discard takes it off the timeline, once; what comes next has its number."""
    driver.elsewhere("one")
    crash(driver, "a question")
    page = driver.chat(
        echo, "/discard" + ENTER, "/discard" + ENTER, "/history" + ENTER, "two" + ENTER, CTRL_D
    )

    assert "turn 2 is dropped; it had changed nothing\n" in page
    assert "error: there is no interrupted prompt to discard\n" in page
    assert "a question" not in without_colours(page).partition("is dropped")[2]
    assert driver.sent() == ["one", "two"]
    assert "was interrupted" not in driver.chat(echo, CTRL_D)


def test_a_prompt_that_a_crash_left_needs_no_answer(driver: ChatDriver) -> None:
    """Who just goes on is not held up: the next prompt is answered, and the other one stays as marked."""
    crash(driver, "a question")
    page = driver.chat(echo, "something else" + ENTER, CTRL_D)

    assert "<something else>" in page
    assert [entry.outcome for entry in driver.entries()] == ["interrupted", "completed"]


def test_a_prompt_that_another_process_answers_is_not_interrupted(driver: ChatDriver) -> None:
    """What another process is answering is neither called interrupted nor sent again nor dropped."""
    driver.elsewhere("one")
    with closing(open_store(str(driver.file))) as other:
        begun: Any = other.begin(
            TurnRequest("tester", "work", "theirs", wait=0), lambda seconds, holder: None
        )
        page = driver.chat(
            echo, *(f"/{name}" + ENTER for name in ("retry", "edit", "discard", "status")), CTRL_D
        )
        other.commit(begun.lease, TurnResult(reply="<theirs>", messages=(), data="{}", meta={}))

    assert "was interrupted" not in page
    assert page.count("error: turn 2 is being answered in another process") == 2
    assert "error: there is no interrupted prompt to discard" in page
    assert "now      another process has been answering turn 2 for " in page
    assert driver.sent() == ["one", "theirs"]


def test_an_answered_prompt_is_edited(driver: ChatDriver) -> None:
    """/edit goes back to before the last prompt and brings it into the line; its reply is kept as a fork."""
    driver.chat(echo, "one" + ENTER, "two" + ENTER, "/edit" + ENTER, " and a half" + ENTER, CTRL_D)

    assert driver.sent() == ["one", "two and a half"]
    assert driver.sent("work~1") == ["one", "two"]


@pytest.mark.parametrize("command", ["/retry", "/edit", "/discard"])
def test_nothing_to_send_again(driver: ChatDriver, command: str) -> None:
    """Before anything was said there is nothing to send again, edit or drop, and nothing is made."""
    page = driver.chat(echo, command + ENTER, CTRL_D)

    assert page.splitlines()[1] == "error: nothing has been said yet"
    assert driver.store.sessions() == []
