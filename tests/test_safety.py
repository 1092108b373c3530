"""Nothing that an agent, a name, a path or an error says can harm the terminal."""

from __future__ import annotations

import contextlib
import json
import os
import re
import subprocess
from typing import TYPE_CHECKING

import pytest
from hostile import HOSTILE, OBEYED

if TYPE_CHECKING:
    from conftest import Flue

OUR_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
ECHO = "def agent(prompt, session, context):\n    return prompt"
STREAM = "def agent(prompt, session, context):\n    for start in range(0, len(prompt), 3):\n        yield prompt[start:start + 3]"
FAIL = "def agent(prompt, session, context):\n    raise ValueError(prompt)"


def on_a_terminal(flue: Flue, *arguments: str) -> str:
    """What reaches a real terminal, stdout and stderr together, with the line ends it makes of \\n undone."""
    ours, theirs = os.openpty()
    process = subprocess.Popen(
        [*flue.command, *arguments],
        env=flue.env | {"PAGER": "cat"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    with contextlib.suppress(OSError):  # EIO is how a terminal says that nobody is there any more
        while chunk := os.read(ours, 65536):
            seen += chunk
    os.close(ours)
    process.wait()
    return seen.decode().replace("\r\n", "\n")


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("source", [ECHO, STREAM, FAIL], ids=["reply", "stream", "error"])
def test_what_an_agent_says_is_harmless(flue: Flue, name: str, source: str) -> None:
    """On a terminal every reply and error is shown, and none of it obeyed; as JSON it is exact."""
    flue.agent("says", source)

    seen = on_a_terminal(flue, "chat", "says", "-s", "a", "--", HOSTILE[name])
    document = json.loads(flue("chat", "says", "-s", "a", "--json", "--", HOSTILE[name], stdin=None).out)

    assert not OBEYED & set(seen)
    if name in ("markup", "html", "long"):
        assert HOSTILE[name] in seen
    said = document["reply"] if document["reply"] is not None else document["error"]["message"]
    assert said.endswith(HOSTILE[name])
    assert document["prompt"] == HOSTILE[name]


@pytest.mark.parametrize(
    "command", [("list",), ("show", "says/a"), ("show", "says/a", "--last", "1"), ("list", "--json")]
)
def test_what_was_said_is_listed_harmlessly(flue: Flue, command: tuple[str, ...]) -> None:
    """A list and a conversation are in colour, and the colours are ours."""
    flue.agent("says", ECHO)
    for text in HOSTILE.values():
        flue("chat", "says", "-s", "a", "--", text, stdin=None)

    assert not OBEYED & set(OUR_COLOURS.sub("", on_a_terminal(flue, "sessions", *command)))
    assert not OBEYED & set(flue("sessions", *command, stdin=None).err)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "long"])
def test_names_and_options_are_harmless(flue: Flue, name: str) -> None:
    """An unknown agent, session, option or command is repeated in the error without being obeyed."""
    for command in (
        ("chat", f"x{HOSTILE[name]}", "hi"),
        ("chat", "greeting", "-s", f"x{HOSTILE[name]}", "--json", "hi"),
        ("chat", "greeting", "-r", f"x{HOSTILE[name]}", "hi"),
        ("chat", "greeting", f"--no-{HOSTILE[name]}", "hi"),
        ("chat", "greeting", "--timeout", HOSTILE[name], "hi"),
        ("chat", "greeting", "--store", f"/nowhere/{HOSTILE[name]}/x:y", "--wait", "x"),
        ("chat", "greeting", "--agents", HOSTILE[name], "hi"),
        ("sessions", "show", f"x{HOSTILE[name]}"),
        (f"x{HOSTILE[name]}",),
    ):
        assert not OBEYED & set(OUR_COLOURS.sub("", on_a_terminal(flue, *command))), command


def test_descriptions_are_harmless(flue: Flue) -> None:
    """An agent's docstring and its broken source are shown and not obeyed."""
    hostile = "".join(text for name, text in HOSTILE.items() if name != "long")
    flue.agent("described", f"{hostile!r}\n{ECHO}")
    flue.agent("broken", "def agent(:\n")
    flue.agent("loud", f"raise ValueError({hostile!r})")

    for command in (("agents", "list"), ("agents", "show", "described"), ("chat", "loud", "--verbose", "hi")):
        assert not OBEYED & set(OUR_COLOURS.sub("", on_a_terminal(flue, *command))), command
    assert flue("agents", "list", stdin=None).out.count("\n") == 6


def test_paths_are_harmless(flue: Flue) -> None:
    """A folder's name is text too."""
    folder = flue.folder / "\x1b[31mred\u202e"
    folder.mkdir()
    (folder / "greeting.py").write_text("1 / 0")

    seen = on_a_terminal(flue, "chat", "greeting", "--agents", str(folder), "hi")

    assert not OBEYED & set(seen)
    assert "^[[31mred<U+202E>" in seen
    assert not OBEYED & set(
        OUR_COLOURS.sub("", on_a_terminal(flue, "agents", "list", "--agents", str(folder)))
    )
