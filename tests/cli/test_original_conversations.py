"""The conversations that Flue was made for, word for word."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Flue

NO_NAME = 'I don\'t know your name yet. Please tell me, "My name is [your name]".'


def test_greeting_remembers_the_name(flue: Flue) -> None:
    """The second turn knows the name given in the first."""
    first = flue("chat", "greeting", "-s", "my-unique-session-123", stdin="Hello there, my name is Alice")
    second = flue("chat", "greeting", "-s", "my-unique-session-123", stdin="Tell me a joke\n")

    assert first == (0, "Nice to meet you, Alice! How can I help?\n", "")
    assert second == (0, 'Hello again, Alice! You said: "Tell me a joke"\n', "")


def test_another_session_does_not_know_the_name(flue: Flue) -> None:
    """What is said in one session stays there."""
    flue("chat", "greeting", "-s", "one", stdin="my name is Alice")

    assert flue("chat", "greeting", "-s", "other", stdin="hello") == (0, NO_NAME + "\n", "")


def test_task_planner_keeps_its_tasks(flue: Flue) -> None:
    """Four turns of the task planner, the last in a session of its own."""
    turns = [
        ("my-task-session-456", "add Buy groceries", 'Added task: "Buy groceries". You now have 1 tasks.'),
        ("my-task-session-456", "add Call mom", 'Added task: "Call mom". You now have 2 tasks.'),
        ("my-task-session-456", "list tasks", "Your tasks:\n1. Buy groceries\n2. Call mom"),
        ("a-new-session-789", "list tasks", "You currently have no tasks."),
    ]
    for session, prompt, reply in turns:
        assert flue("chat", "task-planner", "-s", session, stdin=prompt) == (0, reply + "\n", "")


def test_task_planner_says_what_it_can_do(flue: Flue) -> None:
    """Anything else is answered with what the planner understands, under either spelling of its name."""
    done = flue("chat", "task_planner", "-s", "x", "hello", stdin=None)

    assert done == (0, "I can help you manage tasks. Try 'add [task]' or 'list tasks'.\n", "")
