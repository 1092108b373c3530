"""`flue sessions move`, and `resume --agent`: a session goes on with another agent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Flue

CHAT = json.dumps([{"role": "user", "content": "I am Ada"}, {"role": "assistant", "content": "Hello Ada"}])

LISTENING = """
def agent(prompt, session, context):
    return " ".join(message.content for message in session.history)
"""


def listed(flue: Flue) -> list[str]:
    """Every session, as AGENT/NAME, undone forks too."""
    found = json.loads(flue("sessions", "list", "--all", "--json").out)
    return sorted(f"{one['agent']}/{one['session']}" for one in found)


@pytest.fixture
def imported(flue: Flue) -> Flue:
    """With the session `talk` of an agent that does not exist, and an agent that knows its history."""
    flue.agent("listening", LISTENING)
    flue("sessions", "import", "-", "--agent", "llm", "--session", "talk", stdin=CHAT)
    return flue


def test_a_session_is_given_to_another_agent(flue: Flue) -> None:
    """The session, its data and its undone forks belong to the other agent from then on."""
    flue("chat", "task-planner", "-s", "work", "--lines", stdin="add milk\nadd eggs\n")
    flue("sessions", "undo", "work")
    flue("chat", "task-planner", "-s", "work", "add bread")
    before = json.loads(flue("sessions", "export", "work").out)

    done = flue("sessions", "move", "work", "greeting/shopping")

    assert (done.code, done.err) == (0, "task-planner/work is now greeting/shopping\n")
    assert listed(flue) == ["greeting/shopping", "greeting/shopping~1"]
    after = json.loads(flue("sessions", "export", "shopping").out)
    assert after == before | {"agent": "greeting", "session": "shopping"}


def test_a_session_is_not_moved_to_a_name_that_is_taken(flue: Flue) -> None:
    """4 if the other agent has a session of that name, and nothing changes."""
    flue("chat", "greeting", "-s", "one", "hello")
    flue("chat", "task-planner", "-s", "two", "list")

    done = flue("sessions", "move", "one", "task-planner/two")

    assert done.code == 4
    assert "session 'two' of agent 'task-planner' exists already" in done.err
    assert listed(flue) == ["greeting/one", "task-planner/two"]


@pytest.mark.parametrize("place", ["other", "/other", "other/", "OTHER/one", "greeting/-x"])
def test_a_move_says_agent_and_name(flue: Flue, place: str) -> None:
    """2 unless both the agent and the name are given and can be ones."""
    flue("chat", "greeting", "-s", "one", "hello")

    done = flue("sessions", "move", "one", place)

    assert done.code == 2
    assert listed(flue) == ["greeting/one"]


def test_a_move_without_the_name_names_one(flue: Flue) -> None:
    """A forgotten name is in the hint, with the session's own as the example."""
    flue("chat", "greeting", "-s", "one", "hello")

    assert "hint: AGENT/NAME, such as other/one" in flue("sessions", "move", "one", "other").err


def test_an_undone_fork_stays_with_its_session(flue: Flue) -> None:
    """An undone fork alone cannot be moved: it belongs to its session. The hint makes a copy of it."""
    flue("chat", "greeting", "-s", "one", "--lines", stdin="a\nb\n")
    flue("sessions", "undo", "one")
    flue("chat", "greeting", "-s", "one", "c")

    for command in (["move", "one~1", "other/one"], ["resume", "one~1", "hello", "--agent", "task-planner"]):
        done = flue("sessions", *command)
        assert done.code == 2
        assert "hint: make it one of your own: flue sessions fork 'greeting/one~1' NEW" in done.err
    assert listed(flue) == ["greeting/one", "greeting/one~1"]


def test_an_imported_session_goes_on_with_another_agent(imported: Flue) -> None:
    """`resume --agent` gives a session of an agent that is not here to one that is, which knows its history."""
    done = imported("sessions", "resume", "talk", "and now?", "--agent", "listening")

    assert (done.code, done.out) == (0, "I am Ada Hello Ada\n")
    assert done.err == "llm/talk is now listening/talk\n"
    assert listed(imported) == ["listening/talk"]
    assert imported("sessions", "resume", "talk", "again").code == 0


@pytest.mark.parametrize(
    "command", [["sessions", "resume", "talk"], ["sessions", "resume", "llm/talk"], ["chat", "-r", "talk"]]
)
def test_a_session_whose_agent_is_not_here_says_how_to_go_on(imported: Flue, command: list[str]) -> None:
    """The error for a missing agent names the command that goes on with another one."""
    done = imported(*command, stdin="hi")

    assert done.code == 3
    assert "error: there is no agent 'llm'" in done.err
    assert "hint: go on with another agent: flue sessions resume llm/talk --agent NAME" in done.err


def test_a_session_of_another_agent_says_how_to_go_on_with_it(imported: Flue) -> None:
    """`flue chat AGENT -r` with another agent's session names the command that takes it over."""
    done = imported("chat", "listening", "-r", "talk", "hi")

    assert done.code == 3
    assert "flue sessions resume llm/talk --agent listening" in done.err


def test_the_agent_s_own_session_comes_first(imported: Flue) -> None:
    """With --agent its own session of that name is meant, as ever; another agent's is left alone."""
    imported("chat", "listening", "-s", "talk", "mine")

    done = imported("sessions", "resume", "talk", "again", "--agent", "listening")

    assert (done.code, done.out, done.err) == (0, "mine \n", "")
    assert listed(imported) == ["listening/talk", "llm/talk"]

    assert imported("sessions", "resume", "llm/talk", "hi", "--agent", "listening").code == 4
    assert listed(imported) == ["listening/talk", "llm/talk"]


@pytest.mark.parametrize(("agent", "code"), [("missing", 3), ("broken", 1)])
def test_an_agent_that_cannot_answer_gets_no_session(imported: Flue, agent: str, code: int) -> None:
    """If the agent is not there or does not load, the session stays where it was."""
    imported.agent("broken", "import does_not_exist")

    done = imported("sessions", "resume", "talk", "hi", "--agent", agent)

    assert done.code == code, done.err
    assert listed(imported) == ["llm/talk"]
