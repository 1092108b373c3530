"""Checks of a turn against what a script expects, with the differences."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flue_cli.errors import FlueError
from flue_cli.script_tests.model import DATA, FAILS, INCLUDES, MATCHES, REPLY, UNCHANGED, Expected, Step
from flue_cli.text import safe_text


class Outcome(NamedTuple):
    """Outcome of a turn: its reply, or its error. `data` is the data after it, parsed; `before` before.

    `missing` names the calls that the agent wanted to make and that the script has no answer to.
    """

    reply: str | None
    data: Mapping[str, Any]
    error: FlueError | None = None
    missing: Sequence[str] = ()
    before: Mapping[str, Any] | None = None


class Failure(NamedTuple):
    """Something that is not as expected, at a line of the script.

    `expected` is the expectation that does not hold, None if the turn went wrong otherwise. `details` are
    lines, made safe: those of a diff begin with '-' (expected), '+' (found), ' ' or '@'.
    """

    line: int
    problem: str
    expected: Expected | None = None
    details: tuple[str, ...] = ()


def check(step: Step, outcome: Outcome) -> tuple[Failure, ...]:
    """Check the turn against its step; returns the failures in the order of the file."""
    kinds = {expected.kind for expected in step.expected}
    if outcome.error and FAILS not in kinds:
        return (Failure(step.line, f"the turn failed: {outcome.error.message}"),)
    found = [_CHECKS[expected.kind](expected, outcome) for expected in step.expected]
    unanswered = [
        Failure(step.line, f"the agent made the call '{name}', which has no answer here")
        for name in (() if outcome.error else outcome.missing)
    ]
    return (*filter(None, found), *unanswered)


def part_of(data: Any, wanted: Any) -> Any:
    """Of `data`, what `wanted` names: of objects the same keys, also inside; anything else whole."""
    if not (isinstance(data, dict) and isinstance(wanted, dict)):
        return data
    return {key: part_of(data[key], value) for key, value in wanted.items() if key in data}


def json_equal(one: Any, other: Any) -> bool:
    """True if two JSON values are equal. As in JSON true is not 1, and 1.0 is."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(json_equal(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(json_equal, one, other))
    return bool(one == other)


def _reply(expected: Expected, outcome: Outcome) -> Failure | None:
    if outcome.reply == expected.value:
        return None
    details = _difference(expected.value, outcome.reply or "")
    return Failure(expected.first, "the reply is another", expected, details)


def _matches(expected: Expected, outcome: Outcome) -> Failure | None:
    if outcome.reply is not None and expected.value.fullmatch(outcome.reply):
        return None
    details = (f"-{safe_text(expected.value.pattern)}", *_found(outcome.reply or ""))
    return Failure(expected.first, "the reply does not match", expected, details)


def _data(expected: Expected, outcome: Outcome) -> Failure | None:
    if expected.value == UNCHANGED:
        before = expected._replace(value=outcome.before or {})
        failure = _compared(before, outcome.data, "the data have changed")
        return failure and failure._replace(expected=expected)
    return _compared(expected, outcome.data, "the data is another")


def _includes(expected: Expected, outcome: Outcome) -> Failure | None:
    return _compared(expected, part_of(outcome.data, expected.value), "the data does not include this")


def _compared(expected: Expected, found: Any, problem: str) -> Failure | None:
    if json_equal(expected.value, found):
        return None
    details = _difference(_spread(expected.value), _spread(found))
    return Failure(expected.first, problem, expected, details)


def _fails(expected: Expected, outcome: Outcome) -> Failure | None:
    if outcome.error is None:
        return Failure(expected.first, "the turn did not fail", expected, _found(outcome.reply or ""))
    if expected.value in ("", outcome.error.type):
        return None
    details = (f"-{expected.value}", f"+{outcome.error.type}: {safe_text(outcome.error.message)}")
    return Failure(expected.first, "the turn failed otherwise", expected, details)


_CHECKS: Mapping[str, Callable[[Expected, Outcome], Failure | None]] = {
    REPLY: _reply,
    MATCHES: _matches,
    DATA: _data,
    INCLUDES: _includes,
    FAILS: _fails,
}


def _found(text: str) -> tuple[str, ...]:
    return tuple(f"+{line}" for line in safe_text(text).split("\n"))


def _spread(value: Any) -> str:
    """JSON over several lines, so that a diff finds its place; the order of keys says nothing."""
    import json

    return json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True)


def _difference(expected: str, found: str) -> tuple[str, ...]:
    """Make a unified diff of two texts that are not the same, without its heading."""
    one, other = safe_text(expected), safe_text(found)
    if one.split() == other.split():  # the eye would see no difference
        one, other = "\n".join(_quoted(expected)), "\n".join(_quoted(found))
    return tuple(_diff(one.split("\n"), other.split("\n")))


def _quoted(text: str) -> Iterator[str]:
    import json

    *ended, last = text.split("\n")
    yield from (json.dumps(f"{line}\n") for line in ended)
    if last:
        yield json.dumps(last)


def _diff(one: Sequence[str], other: Sequence[str]) -> list[str]:
    from difflib import unified_diff

    _, _, *lines = unified_diff(one, other, lineterm="")
    places = [line for line in lines if line.startswith("@")]
    # Where all of it is from the top, a place says nothing.
    return lines[1:] if len(places) == 1 and places[0].startswith(("@@ -1 ", "@@ -1,")) else lines
