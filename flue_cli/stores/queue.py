"""Waiting for a session, the same for every store: ask, pause, ask again."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import NamedTuple, TypeVar

from flue_cli import times
from flue_cli.stores.records import Ask, Holder, Pause
from flue_cli.stores.rules import busy

Taken = TypeVar("Taken")

_LONGEST_PAUSE = 0.1
_CALLED_PAUSE = 0.05
"""How long who will be called waits before looking all the same: a call may be lost."""


class Held(NamedTuple):
    """An attempt found the session taken; `place` in the queue is 1 for whoever is next.

    `is_called` tells that whoever comes before wakes the one who waits, unless it is killed.
    """

    holder: Holder
    place: int
    is_called: bool = False


def wait_for(attempt: Callable[[], Taken | Held], ask: Ask, pause: Pause) -> Taken:
    """Call `attempt` until it gives something other than Held; SessionBusy after `ask.wait` seconds.

    The next in line looks every millisecond, so that a queue of quick turns moves quickly; those behind it
    look less often, and so does everybody when nothing has moved for long. Who will be called mostly waits
    for that.
    """
    began = moved = time.monotonic()
    before: Held | None = None
    while True:
        result = attempt()
        if not isinstance(result, Held):
            return result
        now = time.monotonic()
        if now - began >= ask.wait:
            raise busy(ask.name, result.holder, times.now())
        if result != before:
            before, moved = result, now
        looks_after = _CALLED_PAUSE if result.is_called else 0.001 * result.place
        interval = min(max(looks_after, 0.05 * (now - moved)), _LONGEST_PAUSE)
        pause(min(interval, ask.wait - (now - began)), result.holder)
