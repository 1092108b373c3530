"""Checks of a turn against the expectations of a script, with diffs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flue_cli.errors import FlueError
from flue_cli.script_tests.model import DATA, FAILS, INCLUDES, MATCHES, REPLY, UNCHANGED, Expectation, Step
from flue_cli.text import safe_text


class StepOutcome(NamedTuple):
    """Outcome of a turn: its reply, or its error.

    `data` is the parsed data after the turn, `data_before` that before it. `missing_calls` names the calls of
    the agent that the script does not answer.
    """

    reply: str | None
    data: Mapping[str, Any]
    error: FlueError | None = None
    missing_calls: Sequence[str] = ()
    data_before: Mapping[str, Any] | None = None


class FailedCheck(NamedTuple):
    """Failure of a turn, at a line of the script.

    `expectation` is the one that was not met, None for a different problem. `details` are safe lines: those
    of a diff begin with '-' (expected), '+' (actual), ' ' or '@'.
    """

    line: int
    problem: str
    expectation: Expectation | None = None
    details: tuple[str, ...] = ()


def check_step(step: Step, outcome: StepOutcome) -> tuple[FailedCheck, ...]:
    """Check the turn against its step; returns the failures in the order of the script."""
    kinds = {expected.kind for expected in step.expectations}
    if outcome.error and FAILS not in kinds:
        return (FailedCheck(step.line, f"the turn failed: {outcome.error.sentence()}"),)
    unmet = [_CHECKS[expected.kind](expected, outcome) for expected in step.expectations]
    unanswered = [
        FailedCheck(step.line, f"the agent made the call '{name}', which has no answer here")
        for name in (() if outcome.error else outcome.missing_calls)
    ]
    return (*filter(None, unmet), *unanswered)


def matching_part(data: Any, wanted: Any) -> Any:
    """Reduce `data` to the keys of `wanted`, also in nested objects; other values stay as they are."""
    if not (isinstance(data, dict) and isinstance(wanted, dict)):
        return data
    return {key: matching_part(data[key], value) for key, value in wanted.items() if key in data}


def json_equal(left: Any, right: Any) -> bool:
    """True if two JSON values are equal: 1 and 1.0 are, 1 and true are not."""
    if isinstance(left, bool) or isinstance(right, bool):
        return left is right
    if isinstance(left, dict) and isinstance(right, dict):
        return left.keys() == right.keys() and all(json_equal(left[key], right[key]) for key in left)
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(map(json_equal, left, right))
    return bool(left == right)


def _check_reply(expected: Expectation, outcome: StepOutcome) -> FailedCheck | None:
    if outcome.reply == expected.value:
        return None
    details = _diff_texts(expected.value, outcome.reply or "")
    return FailedCheck(expected.first_line, "the reply differs", expected, details)


def _check_pattern(expected: Expectation, outcome: StepOutcome) -> FailedCheck | None:
    if outcome.reply is not None and expected.value.fullmatch(outcome.reply):
        return None
    details = (f"-{safe_text(expected.value.pattern)}", *_actual_lines(outcome.reply or ""))
    return FailedCheck(expected.first_line, "the reply does not match", expected, details)


def _check_data(expected: Expectation, outcome: StepOutcome) -> FailedCheck | None:
    if expected.value == UNCHANGED:
        before = expected._replace(value=outcome.data_before or {})
        failure = _compare_data(before, outcome.data, "the data has changed")
        return failure and failure._replace(expectation=expected)
    return _compare_data(expected, outcome.data, "the data differs")


def _check_included_data(expected: Expectation, outcome: StepOutcome) -> FailedCheck | None:
    return _compare_data(
        expected, matching_part(outcome.data, expected.value), "the data does not include this"
    )


def _compare_data(expected: Expectation, actual: Any, problem: str) -> FailedCheck | None:
    if json_equal(expected.value, actual):
        return None
    details = _diff_texts(_indented_json(expected.value), _indented_json(actual))
    return FailedCheck(expected.first_line, problem, expected, details)


def _check_failure(expected: Expectation, outcome: StepOutcome) -> FailedCheck | None:
    if outcome.error is None:
        return FailedCheck(
            expected.first_line, "the turn did not fail", expected, _actual_lines(outcome.reply or "")
        )
    if expected.value in ("", outcome.error.type):
        return None
    details = (f"-{expected.value}", f"+{outcome.error.type}: {safe_text(outcome.error.message)}")
    return FailedCheck(expected.first_line, "the turn failed with a different error", expected, details)


_CHECKS: Mapping[str, Callable[[Expectation, StepOutcome], FailedCheck | None]] = {
    REPLY: _check_reply,
    MATCHES: _check_pattern,
    DATA: _check_data,
    INCLUDES: _check_included_data,
    FAILS: _check_failure,
}


def _actual_lines(text: str) -> tuple[str, ...]:
    return tuple(f"+{line}" for line in safe_text(text).split("\n"))


def _indented_json(value: Any) -> str:
    """Format JSON for a line diff, with sorted keys."""
    import json

    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


def _diff_texts(expected: str, actual: str) -> tuple[str, ...]:
    """Make a unified diff of two different texts, without its heading."""
    before, after = safe_text(expected), safe_text(actual)
    if before.split() == after.split():  # they differ only in white space, which a reader would not see
        before, after = "\n".join(_json_quoted_lines(expected)), "\n".join(_json_quoted_lines(actual))
    return tuple(_unified_diff(before.split("\n"), after.split("\n")))


def _json_quoted_lines(text: str) -> Iterator[str]:
    import json

    *full_lines, last = text.split("\n")
    yield from (json.dumps(f"{line}\n") for line in full_lines)
    if last:
        yield json.dumps(last)


def _unified_diff(before: Sequence[str], after: Sequence[str]) -> list[str]:
    from difflib import unified_diff

    _, _, *lines = unified_diff(before, after, lineterm="")
    positions = [line for line in lines if line.startswith("@")]
    # A single hunk from the first line needs no position.
    return lines[1:] if len(positions) == 1 and positions[0].startswith(("@@ -1 ", "@@ -1,")) else lines
