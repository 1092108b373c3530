"""The command `flue` in real terminals, and agents that are easy to interrupt in them."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any

from support.real_terminal import Terminal

if TYPE_CHECKING:
    from conftest import Flue

ECHO = 'def agent(prompt, session, context):\n    return f"<{prompt}>"\n'

HEADING = "import asyncio, time\n\n"
WORKING = {
    "sync": """
def agent(prompt, session, context):
    if prompt == "go":
        print("working")
        while True:
            time.sleep(0.01)
    return f"<{prompt}>"
""",
    "streaming": """
def agent(prompt, session, context):
    yield f"<{prompt}>"
    if prompt == "go":
        print("working")
        while True:
            time.sleep(0.01)
""",
    "async": """
async def agent(prompt, session, context):
    if prompt == "go":
        print("working")
        await asyncio.sleep(100)
    return f"<{prompt}>"
""",
    "asleep": """
def agent(prompt, session, context):
    if prompt == "go":
        print("working")
        time.sleep(100)
    return f"<{prompt}>"
""",
    "stubborn": """
def agent(prompt, session, context):
    if prompt == "go":
        print("working")
    while prompt == "go":
        try:
            time.sleep(0.01)
        except BaseException:
            pass
    return f"<{prompt}>"
""",
}

IN_TWO_PIECES = """
import os, time

def agent(prompt, session, context):
    yield f"first {prompt}"
    while not os.path.exists("gate"):
        time.sleep(0.01)
    yield f", second {prompt}"
"""

LONG = """
def agent(prompt, session, context):
    return "\\n".join(f"row {number:03} {'-' * 40}" for number in range(1000)) if prompt == "go" else "short"
"""


class Terminals:
    """Terminals that run the command `flue`; all are closed at the end of the test."""

    def __init__(self, flue: Flue) -> None:
        self._flue = flue
        self._opened: list[Terminal] = []
        self._programs = flue.folder.parent / "bin"
        self._programs.mkdir()
        self.program("flue", f'exec {shlex.join(flue.command)} "$@"')

    def flue(self, *arguments: str, rows: int = 24, columns: int = 80, **env: str) -> Terminal:
        """A terminal that runs `flue`, with `env` added to its environment."""
        return self._open([*self._flue.command, *arguments], env, rows, columns)

    def chat(self, *arguments: str, **settings: Any) -> Terminal:
        """A terminal that runs `flue chat`."""
        return self.flue("chat", *arguments, **settings)

    def shell(self, command: str = "", *, columns: int = 80) -> Terminal:
        """A terminal with an interactive shell, or one that runs just `command`."""
        bash = ["bash", "--norc", "--noprofile", *(["-c", command] if command else ["-i"])]
        env = {"PATH": f"{self._programs}:{self._flue.env['PATH']}", "PS1": "shell$ "}
        return self._open(bash, env, 24, columns)

    def program(self, name: str, script: str) -> str:
        """Make a program for the shell; its path."""
        path = self._programs / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        return str(path)

    def close(self) -> None:
        for terminal in self._opened:
            terminal.close()

    def _open(self, command: list[str], env: dict[str, str], rows: int, columns: int) -> Terminal:
        terminal = Terminal(
            command, cwd=self._flue.folder, env=self._flue.env | env, rows=rows, columns=columns
        )
        self._opened.append(terminal)
        return terminal
