"""Notices on stderr during a turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flue_cli import times
from flue_cli.errors import AgentError, FlueError
from flue_cli.render.streams import Output
from flue_cli.stores.records import BegunTurn, LeaseHolder, SessionHead
from flue_cli.text import format_turn_numbers, format_turns, safe_line, session_label, undone_fork_notice
from flue_cli.times import format_duration, format_local_time, format_whole_seconds, monotonic

if TYPE_CHECKING:
    from flue_cli.sessions.timeline import TimelineMove
    from flue_cli.stores.contract import Store

_PATIENCE = 1.0
"""Seconds of waiting that need no words."""


class WaitingNotice:
    """Says once, to a person, whom a turn waits for."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._began = monotonic()
        self._said = not output.notices_on_terminal

    def __call__(self, holder: LeaseHolder) -> None:
        if self._said or monotonic() - self._began < _PATIENCE:
            return
        self._said = True
        self._output.note(f"waiting: {describe_holder(holder)}")


def describe_holder(holder: LeaseHolder) -> str:
    """For whom a turn waits, and how long that has been at it."""
    who = f"process {holder.pid} on {safe_line(holder.host)}" if holder.pid else "another turn"
    return f"{who} has been answering for {format_whole_seconds(max(0, times.now() - holder.since))}"


def show_traceback(error: FlueError | None, output: Output, *, verbose: bool) -> None:
    """Show the traceback of an agent's error with `verbose`; without, have its hint say how to see it."""
    if not verbose:
        add_traceback_hint(error, "--verbose")
    elif isinstance(error, AgentError) and error.traceback:
        output.note(error.traceback.rstrip("\n"))


def add_traceback_hint(error: FlueError | None, option: str) -> None:
    """Have the hint of an agent's error name `option`, if there is a traceback and no better hint."""
    if isinstance(error, AgentError) and error.traceback and not error.hint:
        error.hint = f"{option} shows the traceback"


def note_begun_turn(output: Output, begun: BegunTurn) -> None:
    """Say what the beginning of a turn settled: a prompt that a crash left, and turns that were undone."""
    if begun.interrupted:
        lost = begun.interrupted
        output.note(f"note: turn {lost.turn} was interrupted and not answered: {safe_line(lost.prompt[:60])}")
    if begun.undone_fork:
        output.note(undone_fork_notice(begun.undone_fork))


def turn_time(turn: int, seconds: float, *, has_unicode: bool) -> str:
    """Make the line about a turn that has just ended: its number, the time, how long it took."""
    parts = f"turn {turn}", format_local_time(times.now()), format_duration(round(seconds * 1e6))
    return (" · " if has_unicode else " - ").join(parts)


def note_timeline_move(output: Output, moved: TimelineMove) -> None:
    """Say where a session stands after it was moved along its timeline."""
    before, after = moved.before, moved.after
    what = "undone" if after.turn < before.turn else "redone"
    which = moved.turns
    where = f"{session_label(after)} is at turn {after.turn}"
    output.note(f"{format_turn_numbers(which)} {what}: {where}" if which else where)


def describe_session(store: Store, head: SessionHead) -> str:
    """A session and how much there is of it, with what was undone and can be done again."""
    undone = store.redo_head(head).turn - head.turn
    size = f"{format_turns(head.turn)}, {undone} undone" if undone else format_turns(head.turn)
    return f"{session_label(head)} ({size})"
