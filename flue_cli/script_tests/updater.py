"""Update of the expectations in a script; every other byte of the file stays."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from flue_cli.errors import Conflict, OutputFailed
from flue_cli.files import atomic_write
from flue_cli.script_tests.checks import StepOutcome, matching_part
from flue_cli.script_tests.model import DATA, FAILS, INCLUDES, MATCHES, REPLY, Expectation, Script
from flue_cli.script_tests.runner import PlayedTurn
from flue_cli.script_tests.writer import format_json_field, format_reply


class Update(NamedTuple):
    """An updated script: its text, and its turns without the failures that the update mends.

    `mended_count` is the number of turns that pass only with the new text.
    """

    text: str
    turns: tuple[PlayedTurn, ...]
    mended_count: int


def update_script(script: Script, turns: Iterable[PlayedTurn]) -> Update:
    """Replace the expectations that were not met; other failures stay."""
    played = tuple(turns)
    lines = script.text.split("\n")
    ending = "\r" if lines[0].endswith("\r") else ""
    for first, last, new in sorted(
        (change for turn in played for change in _line_changes(turn)), reverse=True
    ):
        lines[first - 1 : last] = [line + ending for line in new]
    return Update(
        "\n".join(lines),
        tuple(map(_without_mended_failures, played)),
        sum(map(would_pass_after_update, played)),
    )


def would_pass_after_update(turn: PlayedTurn) -> bool:
    """True if the turn fails now and passes after an update of its script."""
    return bool(_line_changes(turn)) and not _without_mended_failures(turn).failures


def rewrite_script(path: str, before: str, after: str) -> None:
    """Replace the text of the file at `path` atomically; its permissions stay.

    Raises Conflict if its text is no longer `before`, OutputFailed if it cannot be written.
    """
    target = os.path.realpath(path)  # a symbolic link stays
    try:
        with open(target, "rb") as file:
            if file.read() != before.encode():
                raise Conflict(f"{path} was changed meanwhile, and is not updated", hint="run it again")
        atomic_write(target, [after.encode()], replace=True, mode=os.stat(target).st_mode & 0o7777)
    except OSError as error:
        raise OutputFailed(f"{path} cannot be written: {error.strerror}") from error


def _without_mended_failures(turn: PlayedTurn) -> PlayedTurn:
    other_failures = tuple(failure for failure in turn.failures if failure.expectation is None)
    return turn._replace(failures=other_failures)


def _line_changes(turn: PlayedTurn) -> list[tuple[int, int, list[str]]]:
    """List the lines to replace: (first, last, new lines); with last < first, the new lines are inserted."""
    step, outcome = turn.step, turn.outcome
    if not step.expectations and outcome.reply is not None:
        return [(step.last_line + 1, step.last_line, format_reply(outcome.reply))]
    unmet = [failure.expectation for failure in turn.failures if failure.expectation]
    return [(old.first_line, old.last_line, _UPDATED_LINES[old.kind](old, outcome)) for old in unmet]


def _updated_reply(old: Expectation, outcome: StepOutcome) -> list[str]:
    return format_reply(outcome.reply or "")


def _updated_data(old: Expectation, outcome: StepOutcome) -> list[str]:
    return [format_json_field(DATA, outcome.data)]


def _updated_included_data(old: Expectation, outcome: StepOutcome) -> list[str]:
    return [format_json_field(INCLUDES, matching_part(outcome.data, old.value))]


def _updated_failure(old: Expectation, outcome: StepOutcome) -> list[str]:
    return format_reply(outcome.reply or "") if outcome.error is None else [f"{FAILS}: {outcome.error.type}"]


_UPDATED_LINES: Mapping[str, Callable[[Expectation, StepOutcome], list[str]]] = {
    REPLY: _updated_reply,
    MATCHES: _updated_reply,
    DATA: _updated_data,
    INCLUDES: _updated_included_data,
    FAILS: _updated_failure,
}
