"""Rewriting what a script expects, where it stands; every other byte of the file stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from flue_cli.errors import Conflict, OutputFailed
from flue_cli.files import atomic_write
from flue_cli.script_tests.checks import Outcome, part_of
from flue_cli.script_tests.model import DATA, FAILS, INCLUDES, MATCHES, REPLY, Expected, Script
from flue_cli.script_tests.runner import PlayedTurn
from flue_cli.script_tests.writer import json_line, reply_lines


class Update(NamedTuple):
    """A script once it is updated: its text, its turns without the failures that the new text mends.

    `mended` is how many of the turns pass only by the new text.
    """

    text: str
    turns: tuple[PlayedTurn, ...]
    mended: int


def update_script(script: Script, turns: Iterable[PlayedTurn]) -> Update:
    """Rewrite the script so that it would have passed. A turn that went wrong stays as it is."""
    played = tuple(turns)
    lines = script.text.split("\n")
    ending = "\r" if lines[0].endswith("\r") else ""
    for first, last, new in sorted((one for turn in played for one in _changes(turn)), reverse=True):
        lines[first - 1 : last] = [line + ending for line in new]
    return Update("\n".join(lines), tuple(map(_mended, played)), sum(map(would_pass_after_update, played)))


def would_pass_after_update(turn: PlayedTurn) -> bool:
    """True if the turn passes once its script is updated, and not before."""
    return bool(_changes(turn)) and not _mended(turn).failures


def rewrite(path: str, before: str, after: str) -> None:
    """Replace the text of the file at `path`, whole or not at all; its permissions stay.

    Raises Conflict if it is not `before` any more, OutputFailed when it cannot be written.
    """
    place = os.path.realpath(path)  # a link stays one
    try:
        with open(place, "rb") as file:
            if file.read() != before.encode():
                raise Conflict(f"{path} was changed meanwhile, and is not updated", hint="run it again")
        atomic_write(place, [after.encode()], replace=True, mode=os.stat(place).st_mode & 0o7777)
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from error


def _mended(turn: PlayedTurn) -> PlayedTurn:
    left = tuple(failure for failure in turn.failures if failure.expected is None)
    return turn._replace(failures=left)


def _changes(turn: PlayedTurn) -> list[tuple[int, int, list[str]]]:
    """(first line, last line, new lines) of what does not hold; a last line before the first is none."""
    step, outcome = turn.step, turn.outcome
    if not step.expected and outcome.reply is not None:
        return [(step.last + 1, step.last, reply_lines(outcome.reply))]
    failing = [failure.expected for failure in turn.failures if failure.expected]
    return [(old.first, old.last, _NEW[old.kind](old, outcome)) for old in failing]


def _reply(old: Expected, outcome: Outcome) -> list[str]:
    return reply_lines(outcome.reply or "")


def _data(old: Expected, outcome: Outcome) -> list[str]:
    return [json_line(DATA, outcome.data)]


def _includes(old: Expected, outcome: Outcome) -> list[str]:
    return [json_line(INCLUDES, part_of(outcome.data, old.value))]


def _fails(old: Expected, outcome: Outcome) -> list[str]:
    return reply_lines(outcome.reply or "") if outcome.error is None else [f"{FAILS}: {outcome.error.type}"]


_NEW: Mapping[str, Callable[[Expected, Outcome], list[str]]] = {
    REPLY: _reply,
    MATCHES: _reply,
    DATA: _data,
    INCLUDES: _includes,
    FAILS: _fails,
}
