"""Mistakes in a command line: a plain sentence each, with what was probably meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Flue


@pytest.mark.parametrize(
    ("line", "error", "hint"),
    [
        ("greeting", "there is no command 'greeting'", "did you mean flue chat greeting?"),
        ("task_planer hi", "there is no command 'task_planer'", "did you mean flue chat task-planner?"),
        ("./agents/x.py", "there is no command './agents/x.py'", "did you mean flue chat ./agents/x.py?"),
        ("chta", "there is no command 'chta'", "did you mean flue chat?"),
        ("undo alice", "there is no command 'undo'", "did you mean flue sessions undo?"),
        ("xyzzy", "there is no command 'xyzzy'", "see: flue --help"),
        (
            "sessions lst",
            "there is no command 'lst'",
            "did you mean flue sessions list or flue sessions set?",
        ),
        ("agents greeting", "there is no command 'greeting'", "did you mean flue agents show greeting?"),
        ("--sion", "there is no option --sion", "did you mean --version?"),
        ("sessions list --sinse 3d", "there is no option --sinse", "did you mean --since?"),
        (
            "chat greeting --hello",
            "there is no option --hello",
            "did you mean --help? (a prompt that begins with '-' goes after '--')",
        ),
        (
            "chat greeting -5",
            "there is no option -5",
            "a prompt that begins with '-' goes after '--'",
        ),
        ("chat a b c", "there is more than the command takes: c", "a prompt of several words needs quotes"),
        ("chat a --wait", "--wait needs a value", "see: flue chat --help"),
        ("chat a --wait x", "--wait is a number, not 'x'", "see: flue chat --help"),
        ("chat a --new=1", "--new takes no value", "see: flue chat --help"),
        ("sessions show", "SESSION is missing", "see: flue sessions show --help"),
        ("sessions rewind a", "--to is missing", "see: flue sessions rewind --help"),
        ("sessions list --limit x", "--limit is a whole number, not 'x'", "see: flue sessions list --help"),
        ("sessions list --limit -3", "--limit is 0 or more, not -3", "see: flue sessions list --help"),
        ("serve --port x", "--port is a whole number, not 'x'", "see: flue serve --help"),
        ("serve --port 70000", "--port is a number from 0 to 65535, not 70000", "see: flue serve --help"),
    ],
)
def test_a_mistake_in_the_command_line(flue: Flue, line: str, error: str, hint: str) -> None:
    """It is a usage error (2): a sentence without terms of a library, and a hint."""
    assert flue(*line.split(), stdin=None) == (2, "", f"error: {error}\nhint: {hint}\n")


def test_hints_know_the_agents_here(flue: Flue) -> None:
    """An agent's name in the place of a command is guessed, also for a person's own agents."""
    flue.agent("book_keeper", "def agent(prompt, session, context): return 'x'")

    assert "hint: did you mean flue chat book-keeper?" in flue("book-keeper", stdin=None).err
