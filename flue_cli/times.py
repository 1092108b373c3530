"""Moments as people and programs read them. Inside, a time is microseconds since the epoch, UTC."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


def now() -> int:
    """Read the wall clock."""
    return time.time_ns() // 1000


def to_datetime(microseconds: int) -> datetime:
    """The aware UTC datetime of a time, exact to the microsecond."""
    from datetime import UTC, datetime, timedelta

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def format_iso(microseconds: int | None) -> str | None:
    """ISO 8601 in UTC: `2026-11-23T08:30:00.000000Z`; None stays None."""
    if microseconds is None:
        return None
    seconds, fraction = divmod(microseconds, 1_000_000)
    then = time.gmtime(seconds)  # whose %Y has no leading zeros in some systems' strftime
    return f"{then.tm_year:04}-{time.strftime('%m-%dT%H:%M:%S', then)}.{fraction:06}Z"


def format_local_time(microseconds: int) -> str:
    """Date and time of day where the person is, to the minute."""
    return to_datetime(microseconds).astimezone().strftime("%Y-%m-%d %H:%M")


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_since(text: str, now: int) -> int:
    """Read a moment: so long before `now` (`30m`, `12h`, `7d`, `2w`), or an ISO date or time.

    A time without a zone is one where the person is. ValueError says what would do.
    """
    number, unit = text[:-1], text[-1:]
    if unit in _SECONDS and number.isascii() and number.isdigit():
        return now - int(number) * _SECONDS[unit] * 1_000_000
    found = parse_iso(text, is_local=True)
    if found is None:
        raise ValueError("takes a time such as 30m, 12h, 7d, 2w, or 2026-11-23 or 2026-11-23T08:30")
    return found


def parse_iso(text: Any, *, is_local: bool = False) -> int | None:
    """Read an ISO 8601 date or time; None for anything else.

    One without a zone is in UTC, or where the person is if `is_local`. None also for a time within days
    of the first or last one of the calendar, which could not be shown in every time zone.
    """
    if not isinstance(text, str):
        return None
    from datetime import UTC, datetime, timedelta

    try:
        found = datetime.fromisoformat(text.strip())
        if found.tzinfo is None:
            found = found.astimezone() if is_local else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError, OSError):
        return None
    if not datetime(1, 1, 3, tzinfo=UTC) <= found <= datetime(9999, 12, 29, tzinfo=UTC):
        return None
    return (found - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def format_ago(microseconds: int, now: int) -> str:
    """A moment as people speak of it: `3 min ago`, `today 09:15`, `yesterday 14:02`, the date when older."""
    seconds = (now - microseconds) // 1_000_000
    if 0 <= seconds < 60:
        return "just now"
    if 0 <= seconds < 3600:
        return f"{seconds // 60} min ago"
    then, today = to_datetime(microseconds).astimezone(), to_datetime(now).astimezone().date()
    days = (today - then.date()).days
    if days in (0, 1):
        return f"{('today', 'yesterday')[days]} {then:%H:%M}"
    return f"{then:%Y-%m-%d}" if days > 0 else f"{then:%Y-%m-%d %H:%M}"


def format_duration(microseconds: int) -> str:
    """How long something took: `35 ms`, `1.2 s`, `3 min 05 s`, `2 h 10 min`."""
    if microseconds < 1_000_000:
        return f"{microseconds // 1000} ms"
    return (
        f"{microseconds / 1_000_000:.1f} s"
        if microseconds < 60_000_000
        else format_whole_seconds(microseconds)
    )


def format_whole_seconds(microseconds: int) -> str:
    """How long something that still goes on has taken: `5 s`, `3 min 05 s`, `2 h 10 min`."""
    minutes, seconds = divmod(microseconds // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def utc_offset_seconds() -> int:
    """How many seconds the clock where the person is stands ahead of UTC now."""
    return time.localtime().tm_gmtoff
