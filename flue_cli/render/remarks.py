"""What is said on stderr while a turn goes its way."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from flue_cli.errors import AgentError, FlueError
from flue_cli.render.output import Output
from flue_cli.stores.records import Begun, Holder
from flue_cli.text import safe_line

if TYPE_CHECKING:
    from flue_cli.timeline import Moved

_PATIENCE = 1.0
"""Seconds of waiting that need no words."""


class Waiting:
    """Says once, to a person, whom a turn waits for."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._began = time.monotonic()
        self._said = not output.remarks_on_terminal

    def __call__(self, holder: Holder) -> None:
        if self._said or time.monotonic() - self._began < _PATIENCE:
            return
        self._said = True
        who = f"process {holder.pid} on {holder.host}" if holder.pid else "another turn"
        seconds = max(0, time.time_ns() // 1000 - holder.since) // 1_000_000
        self._output.note(f"waiting: {who} has been answering for {seconds} s")


def show_failure(error: FlueError, output: Output, *, verbose: bool) -> None:
    """A turn's error; with `verbose`, after the agent's own traceback."""
    if verbose and isinstance(error, AgentError) and error.traceback:
        output.note(error.traceback.rstrip("\n"))
    output.error(error)


def say_interrupted(output: Output, begun: Begun) -> None:
    """Say that an earlier prompt was left unanswered by a crash, if one was."""
    if begun.interrupted:
        lost = begun.interrupted
        output.note(f"note: turn {lost.turn} was interrupted and not answered: {safe_line(lost.prompt[:60])}")


def say_moved(output: Output, moved: Moved) -> None:
    """Say where a session stands after it was moved along its timeline."""
    before, after = moved.before, moved.after
    what = "undone" if after.turn < before.turn else "done again"
    turns = moved.turns
    numbers = f"turn {turns[0]}" if len(turns) == 1 else f"turns {turns[0]} to {turns[-1]}" if turns else ""
    where = f"{safe_line(after.agent)}/{safe_line(after.name)} is at turn {after.turn}"
    output.note(f"{numbers} {what}: {where}" if turns else where)
