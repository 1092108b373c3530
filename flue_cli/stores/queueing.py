"""The wait for a session that another turn holds: try, pause, try again. The same for every store."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, TypeVar

from flue_cli import times
from flue_cli.stores.contract_errors import session_busy_error
from flue_cli.stores.records import LeaseHolder, Pause, TurnRequest

Result = TypeVar("Result")

_MAX_INTERVAL = 0.1
"""Longest time between two attempts, in seconds."""


class SessionTaken(NamedTuple):
    """Result of an attempt that found the session taken; the next waiter has position 1 in the wait queue."""

    holder: LeaseHolder
    position: int


def wait_for_session(
    attempt: Callable[[], Result | SessionTaken], request: TurnRequest, pause: Pause
) -> Result:
    """Call `attempt` until the session is free, and return its result.

    Raises SessionBusy after `request.wait` seconds. What `pause` raises passes through.
    """
    began = last_change = times.monotonic()
    last: SessionTaken | None = None
    while True:
        result = attempt()
        if not isinstance(result, SessionTaken):
            return result
        now = times.monotonic()
        if now - began >= request.wait:
            raise session_busy_error(request.name, result.holder, times.now())
        if result != last:
            last, last_change = result, now
        # The next waiter polls every millisecond, so that a queue of quick turns moves quickly. The waiters
        # behind it poll less often, and all of them do while nothing moves.
        interval = min(max(0.001 * result.position, 0.05 * (now - last_change)), _MAX_INTERVAL)
        pause(min(interval, request.wait - (now - began)), result.holder)
