"""Waiting for a session, the same for every store: ask, pause, ask again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from flue_cli import times
from flue_cli.stores.contract_errors import session_busy_error
from flue_cli.stores.records import LeaseHolder, Pause, TurnRequest

Result = TypeVar("Result")

_MAX_INTERVAL = 0.1
"""Poll interval of a waiter behind a turn that takes long, in seconds."""


class SessionTaken(NamedTuple):
    """Result of an attempt that found the session taken; `place` in the queue is 1 for the next waiter."""

    holder: LeaseHolder
    position: int


def wait_for_session(
    attempt: Callable[[], Result | SessionTaken], request: TurnRequest, pause: Pause
) -> Result:
    """Call `attempt` until it gives something other than Held; SessionBusy after `ask.wait` seconds.

    The first waiter polls every millisecond, so that a queue of quick turns moves quickly; later ones, and
    all once the queue stalls, poll less often.
    """
    began = moved = time.monotonic()
    before: SessionTaken | None = None
    while True:
        result = attempt()
        if not isinstance(result, SessionTaken):
            return result
        now = time.monotonic()
        if now - began >= request.wait:
            raise session_busy_error(request.name, result.holder, times.now())
        if result != before:
            before, moved = result, now
        interval = min(max(0.001 * result.position, 0.05 * (now - moved)), _MAX_INTERVAL)
        pause(min(interval, request.wait - (now - began)), result.holder)
