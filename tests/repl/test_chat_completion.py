"""What Tab offers in the chat."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from support.fake_terminal import ChatDriver, echo
from support.real_terminal import CTRL_D, ENTER

from flue_cli.agents.discovery import Agent
from flue_cli.agents.search_path import AgentSource
from flue_cli.repl.agent_file import AgentLoader
from flue_cli.repl.completion import ARGUMENT_SUGGESTIONS, ChatCompleter
from flue_cli.repl.slash import COMMANDS


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that the chat was started in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def offers(driver: ChatDriver, folder: Path) -> Callable[[str], list[str]]:
    """What Tab offers for what is typed."""
    for name in ("notes.txt", "my notes.txt", ".hidden", 'quo"te', "esc\x1bape"):
        (folder / name).write_text("")
    (folder / "night").mkdir()
    (folder / "night" / "owl.md").write_text("")

    def planner(prompt: str, session: Any, context: Any) -> str:
        session.data.update(tasks=[{"title": "milk"}, {"title": "eggs"}], total=2)
        session.data["any key"] = {"deep": 1}
        return "done"

    for name in ("older", "old times", "newer"):
        driver.elsewhere("hello\x1b", name=name)
    conversation = driver.conversation(
        planner,
        agents=AgentLoader(
            list_sources=lambda: [AgentSource(name, "", "") for name in ("echo", "tester", "elk")]
        ),
    )
    driver.chat(conversation, "go" + ENTER, CTRL_D)
    completer = ChatCompleter(conversation)

    def offered(typed: str) -> list[str]:
        found = [*completer.get_completions(Document(typed), CompleteEvent())]
        assert all(completion.display_text.isprintable() for completion in found)
        assert all(completion.display_meta_text.isprintable() for completion in found)
        return [typed[: len(typed) + completion.start_position] + completion.text for completion in found]

    return offered


@pytest.mark.parametrize(
    ("typed", "whole"),
    [
        ("/he", ["/help"]),
        ("/ag", ["/agent"]),
        ("//he", []),
        ("/agent e", ["/agent echo", "/agent elk"]),
        ("/agent t", []),
        ("/resume old", ["/resume old times", "/resume older"]),
        ("/resume w", []),
        ("/help un", ["/help /undo"]),
        ("/help /un", ["/help /undo"]),
        ("/data ", ["set ", "unset ", "edit", "tasks", "total", '["any key"]']),
        ("/data ta", ["tasks"]),
        ("/data tasks[", ["tasks[0]", "tasks[1]"]),
        ("/data tasks[1].", ["tasks[1].title"]),
        ('/data ["an', ['["any key"]']),
        ('/data ["any key"].', ['["any key"].deep']),
        ("/data nobody.", []),
        ("/data set to", ["set total"]),
        ("/data unset tasks[0]", ["unset tasks[0].title"]),
        ("/export ni", ["/export night/"]),
        ("/export night/", ["/export night/owl.md"]),
        ("/export nowhere/", []),
        ("/nonsense no", []),
        ("see @no", ["see @notes.txt"]),
        ("@m", ['@"my notes.txt"']),
        ('@"m', ['@"my notes.txt"']),
        ("@night/", ["@night/owl.md"]),
        ("@.h", ["@.hidden"]),
        ("@q", []),
        ("@esc", []),
        ("me@no", []),
        ("no", []),
        ("", []),
        ("/try see @no", ["/try see @notes.txt"]),
        ("/new @no", []),
    ],
)
def test_what_tab_offers(offers: Any, typed: str, whole: list[str]) -> None:
    """Commands, what they take, and files: only what can be told apart, and nothing within a word."""
    command = "/data " if typed.startswith("/data ") else ""
    assert sorted(offers(typed)) == sorted(command + text for text in whole)


def test_the_newest_sessions_are_offered_first(offers: Any) -> None:
    """Sessions come last used first, without the one that we are in."""
    assert offers("/resume ") == ["/resume newer", "/resume old times", "/resume older"]


def test_sessions_of_other_agents_are_offered_by_both_names(driver: ChatDriver) -> None:
    """Those of another agent come after ours, with its name."""
    driver.elsewhere("hello", name="here")
    other = driver.conversation(Agent("other", echo, "v1"), name="there")
    driver.chat(other, "hello" + ENTER, CTRL_D)
    completer = ChatCompleter(driver.conversation(echo))

    found = completer.get_completions(Document("/resume "), CompleteEvent())
    assert [completion.text for completion in found] == ["here", "other/there"]


def test_names_are_completed_however_they_are_spelt(driver: ChatDriver, tmp_path: Path) -> None:
    """Tab finds a session whose name has an accent, and an agent with an underscore, as they are typed too."""
    driver.elsewhere("hello", name="caf\u00e9")
    source = AgentSource("task-planner", str(tmp_path / "task_planner.py"), "--agents")
    agents = AgentLoader(list_sources=lambda: [source])

    def offered(line: str) -> list[str]:
        completer = ChatCompleter(driver.conversation(echo, agents=agents))
        return [one.text for one in completer.get_completions(Document(line), CompleteEvent())]

    assert offered("/resume cafe\u0301") == ["caf\u00e9"]
    assert offered("/agent task_p") == ["task-planner"]


def test_a_store_that_fails_offers_nothing(driver: ChatDriver) -> None:
    """Tab does not end the chat when the store cannot be read."""
    driver.elsewhere("hello")
    conversation = driver.conversation(echo)
    driver.file.write_bytes(b"x" * 4096)

    assert list(ChatCompleter(conversation).get_completions(Document("/resume "), CompleteEvent())) == []


def test_only_commands_that_exist_are_completed() -> None:
    """No command is offered whose argument could be completed but which is not there."""
    assert set(ARGUMENT_SUGGESTIONS) <= set(COMMANDS)
