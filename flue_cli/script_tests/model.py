"""A conversation script, read: its steps, what each expects, and where in the file that stands."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

REPLY, MATCHES, DATA, INCLUDES, FAILS = "reply", "matches", "data", "data includes", "fails"
"""What can be expected of a turn; but for the reply, the names of fields."""

UNCHANGED = "unchanged"
"""What `data:` says of a turn that must leave the data as they were."""

FIRST_NOW = 1_767_225_600_000_000
"""The clock of a script's first turn unless it says otherwise: 2026-01-01T00:00:00Z."""
FIRST_SEED = 1


class Expectation(NamedTuple):
    """One expectation, and its first and last line in the file.

    `value` is the reply, the regular expression, the data (parsed), or the type of error ("": any).
    """

    kind: str
    value: Any
    first_line: int
    last_line: int


class Step(NamedTuple):
    """A prompt, or an edit of the data (`prompt` is None, `edit` the JSON text).

    `line` and `last` are the first and last line of the prompt itself. `now` (microseconds since the
    epoch), `seed` and `turn` are None where the script leaves them to their order; `calls` is None where
    calls are to be made.
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
    """A script; `text` is the whole file, `agent_line` where it names its agent."""

    path: str
    text: str
    agent: str
    agent_line: int
    session: str
    now: int
    seed: int
    steps: tuple[Step, ...]
