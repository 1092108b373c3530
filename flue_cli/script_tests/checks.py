"""Checks of a turn against what a script expects, with the differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flue_cli.errors import FlueError
from flue_cli.script_tests.model import DATA, FAILS, INCLUDES, MATCHES, REPLY, UNCHANGED, Expectation, Step
from flue_cli.text import safe_text


class StepOutcome(NamedTuple):
    """Outcome of a turn: its reply, or its error. `data` is the data after it, parsed; `before` before.

    `missing` names the calls that the agent wanted to make and that the script has no answer to.
    """

    reply: str | None
    data: Mapping[str, Any]
    error: FlueError | None = None
    missing_calls: Sequence[str] = ()
    data_before: Mapping[str, Any] | None = None


class FailedCheck(NamedTuple):
    """Something that is not as expected, at a line of the script.

    `expected` is the expectation that does not hold, None if the turn went wrong otherwise. `details` are
    lines, made safe: those of a diff begin with '-' (expected), '+' (found), ' ' or '@'.
    """

    line: int
    problem: str
    expectation: Expectation | None = None
    details: tuple[str, ...] = ()


def check_step(step: Step, outcome: StepOutcome) -> tuple[FailedCheck, ...]:
    """Check the turn against its step; returns the failures in the order of the file."""
    kinds = {expected.kind for expected in step.expectations}
    if outcome.error and FAILS not in kinds:
        return (FailedCheck(step.line, f"the turn failed: {outcome.error.message}"),)
    found = [_CHECKS[expected.kind](expected, outcome) for expected in step.expectations]
    unanswered = [
        FailedCheck(step.line, f"the agent made the call '{name}', which has no answer here")
        for name in (() if outcome.error else outcome.missing_calls)
    ]
    return (*filter(None, found), *unanswered)


def matching_part(data: Any, wanted: Any) -> Any:
    """Of `data`, what `wanted` names: of objects the same keys, also inside; anything else whole."""
    if not (isinstance(data, dict) and isinstance(wanted, dict)):
        return data
    return {key: matching_part(data[key], value) for key, value in wanted.items() if key in data}


def json_equal(left: Any, right: Any) -> bool:
    """True if two JSON values are equal. As in JSON true is not 1, and 1.0 is."""
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
    return FailedCheck(expected.first_line, "the reply is another", expected, details)


def _check_pattern(expected: Expectation, outcome: StepOutcome) -> FailedCheck | None:
    if outcome.reply is not None and expected.value.fullmatch(outcome.reply):
        return None
    details = (f"-{safe_text(expected.value.pattern)}", *_found_lines(outcome.reply or ""))
    return FailedCheck(expected.first_line, "the reply does not match", expected, details)


def _check_data(expected: Expectation, outcome: StepOutcome) -> FailedCheck | None:
    if expected.value == UNCHANGED:
        before = expected._replace(value=outcome.data_before or {})
        failure = _compare_data(before, outcome.data, "the data have changed")
        return failure and failure._replace(expectation=expected)
    return _compare_data(expected, outcome.data, "the data is another")


def _check_included_data(expected: Expectation, outcome: StepOutcome) -> FailedCheck | None:
    return _compare_data(
        expected, matching_part(outcome.data, expected.value), "the data does not include this"
    )


def _compare_data(expected: Expectation, found: Any, problem: str) -> FailedCheck | None:
    if json_equal(expected.value, found):
        return None
    details = _diff_texts(_indented_json(expected.value), _indented_json(found))
    return FailedCheck(expected.first_line, problem, expected, details)


def _check_failure(expected: Expectation, outcome: StepOutcome) -> FailedCheck | None:
    if outcome.error is None:
        return FailedCheck(
            expected.first_line, "the turn did not fail", expected, _found_lines(outcome.reply or "")
        )
    if expected.value in ("", outcome.error.type):
        return None
    details = (f"-{expected.value}", f"+{outcome.error.type}: {safe_text(outcome.error.message)}")
    return FailedCheck(expected.first_line, "the turn failed otherwise", expected, details)


_CHECKS: Mapping[str, Callable[[Expectation, StepOutcome], FailedCheck | None]] = {
    REPLY: _check_reply,
    MATCHES: _check_pattern,
    DATA: _check_data,
    INCLUDES: _check_included_data,
    FAILS: _check_failure,
}


def _found_lines(text: str) -> tuple[str, ...]:
    return tuple(f"+{line}" for line in safe_text(text).split("\n"))


def _indented_json(value: Any) -> str:
    """JSON over several lines, so that a diff finds its place; the order of keys says nothing."""
    import json

    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


def _diff_texts(expected: str, found: str) -> tuple[str, ...]:
    """Make a unified diff of two texts that are not the same, without its heading."""
    one, other = safe_text(expected), safe_text(found)
    if one.split() == other.split():  # the eye would see no difference
        one, other = "\n".join(_json_quoted_lines(expected)), "\n".join(_json_quoted_lines(found))
    return tuple(_unified_diff(one.split("\n"), other.split("\n")))


def _json_quoted_lines(text: str) -> Iterator[str]:
    import json

    *ended, last = text.split("\n")
    yield from (json.dumps(f"{line}\n") for line in ended)
    if last:
        yield json.dumps(last)


def _unified_diff(before: Sequence[str], after: Sequence[str]) -> list[str]:
    from difflib import unified_diff

    _, _, *lines = unified_diff(before, after, lineterm="")
    places = [line for line in lines if line.startswith("@")]
    # Where all of it is from the top, a place says nothing.
    return lines[1:] if len(places) == 1 and places[0].startswith(("@@ -1 ", "@@ -1,")) else lines
