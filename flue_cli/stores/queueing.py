"""Waiting for a session, the same for every store: ask, pause, ask again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from flue_cli import times
from flue_cli.stores.contract_errors import session_busy_error
from flue_cli.stores.records import LeaseHolder, Pause, TurnRequest

Taken = TypeVar("Taken")

_LONGEST_PAUSE = 0.1
"""Poll interval of a waiter behind a turn that takes long, in seconds."""


class SessionTaken(NamedTuple):
    """Result of an attempt that found the session taken; `place` in the queue is 1 for the next waiter."""

    holder: LeaseHolder
    place: int


def wait_for(attempt: Callable[[], Taken | SessionTaken], ask: TurnRequest, pause: Pause) -> Taken:
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
        if now - began >= ask.wait:
            raise session_busy_error(ask.name, result.holder, times.now())
        if result != before:
            before, moved = result, now
        interval = min(max(0.001 * result.place, 0.05 * (now - moved)), _LONGEST_PAUSE)
        pause(min(interval, ask.wait - (now - began)), result.holder)
