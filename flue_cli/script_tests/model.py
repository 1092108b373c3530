"""Model of a conversation script: its steps with their expectations and lines in the file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

REPLY, MATCHES, DATA, INCLUDES, FAILS = "reply", "matches", "data", "data includes", "fails"
"""Kinds of expectations; all except the reply are also names of fields."""

UNCHANGED = "unchanged"
"""Value of `data:` for a turn that must not change the data."""

FIRST_NOW = 1_767_225_600_000_000
"""Default clock of a script's first turn, in microseconds since the epoch: 2026-01-01T00:00:00Z."""
FIRST_SEED = 1


class Expectation(NamedTuple):
    """An expectation, with its first and last line in the file.

    `value` is the reply, the compiled regular expression, the parsed data, or the type of error ("" for any).
    """

    kind: str
    value: Any
    first_line: int
    last_line: int


class Step(NamedTuple):
    """A prompt, or an edit of the data (`prompt` is None, `edit` the JSON text).

    `line` and `last_line` are the first and last line of the prompt. `now` (microseconds since the epoch),
    `seed` and `turn` are None if the script does not set them; `calls` is None if calls are to be made.
    """

    line: int
    last_line: int
    prompt: str | None
    edit: str = ""
    expectations: tuple[Expectation, ...] = ()
    now: int | None = None
    seed: int | None = None
    turn: int | None = None
    calls: tuple[Mapping[str, Any], ...] | None = None


class Script(NamedTuple):
    """A script; `text` is the whole file, `agent_line` the line that names the agent.

    Of a script that cannot be understood `text` is "", and `agent_line` the line with the problem.
    """

    path: str
    text: str
    agent: str
    agent_line: int
    session: str
    now: int
    seed: int
    steps: tuple[Step, ...]
