"""Moments as people and programs read them. Inside, a time is microseconds since the epoch, UTC."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def moment(microseconds: int) -> datetime:
    """The aware UTC datetime of a time, exact to the microsecond."""
    from datetime import UTC, datetime, timedelta

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def timestamp(microseconds: int | None) -> str | None:
    """ISO 8601 in UTC: `2026-11-23T08:30:00.000000Z`; None stays None."""
    if microseconds is None:
        return None
    seconds, fraction = divmod(microseconds, 1_000_000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{fraction:06}Z"


def local_time(microseconds: int) -> str:
    """Date and time of day where the person is, to the minute."""
    return moment(microseconds).astimezone().strftime("%Y-%m-%d %H:%M")
