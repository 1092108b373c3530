"""Whether a history of concurrent operations could have happened one at a time.

The search is Wing and Gong's ("Testing and verifying concurrent objects", 1993) with Lowe's memory of
what was tried before ("Testing for linearizability", 2017): take any operation that no other one had
ended before, see whether its result fits, and go on with the rest. An operation whose client was
killed has no result and no end: it may have happened at any time after its beginning, or never.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple


class Operation(NamedTuple):
    """What a client asked for and got; moments are seconds of one clock. Killed: no `end`, no result."""

    begin: float
    argument: Any
    end: float = math.inf
    result: Any = None

    @property
    def was_killed(self) -> bool:
        return self.end == math.inf


def linearizable(
    history: Sequence[Operation], initial: Any, apply: Callable[[Any, Any], tuple[Any, Any] | None]
) -> bool:
    """Whether some order of `history` fits; `apply(state, argument)` gives (next state, result).

    States must be hashable. `apply` may give None for a state that what was seen later rules out: without
    that, killed operations that could be put anywhere make the search exponential.
    """
    needed = sum(1 << number for number, operation in enumerate(history) if not operation.was_killed)
    tried = set()
    stack = [(0, initial)]
    while stack:
        done, state = stack.pop()
        if done & needed == needed:
            return True
        if (done, state) in tried:
            continue
        tried.add((done, state))
        left = [number for number in range(len(history)) if not done >> number & 1]
        earliest_end = min(history[number].end for number in left)
        for number in left:
            operation = history[number]
            if operation.begin > earliest_end:
                continue
            applied = apply(state, operation.argument)
            if applied and (operation.was_killed or applied[1] == operation.result):
                stack.append((done | 1 << number, applied[0]))
    return False
