"""Times: the clocks, and formats for people and programs. A time is in microseconds since the epoch, UTC.

The clocks are read by functions that libraries for frozen time (freezegun) leave alone: an agent may freeze
the time of the whole process, and Flue's leases, time limits and records must not stand still with it.
"""

from __future__ import annotations

import time
from time import CLOCK_MONOTONIC, CLOCK_REALTIME, clock_gettime, clock_gettime_ns
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datetime import datetime


def now() -> int:
    """Read the system clock."""
    return clock_gettime_ns(CLOCK_REALTIME) // 1000


def monotonic() -> float:
    """Read the clock that nobody sets, in seconds; all processes of a host share it until it restarts."""
    return clock_gettime(CLOCK_MONOTONIC)


def to_datetime(microseconds: int) -> datetime:
    """Convert a time to an aware UTC datetime, exact to the microsecond."""
    from datetime import UTC, datetime, timedelta

    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)


def format_iso(microseconds: int | None) -> str | None:
    """Format a time as ISO 8601 in UTC: `2026-11-23T08:30:00.000000Z`; None stays None."""
    if microseconds is None:
        return None
    seconds, fraction = divmod(microseconds, 1_000_000)
    utc = time.gmtime(seconds)
    # Neither strftime, whose %Y has no leading zeros on some systems, nor an f-string: twice as slow.
    return "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ" % (*utc[:6], fraction)  # noqa: UP031 - see above


def format_local_time(microseconds: int) -> str:
    """Format a time in the local time zone, to the minute."""
    return to_datetime(microseconds).astimezone().strftime("%Y-%m-%d %H:%M")


_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def parse_since(text: str, now: int) -> int:
    """Parse a duration before `now` (`30m`, `12h`, `7d`, `2w`), or an ISO date or time.

    A time without a zone is local. ValueError names the valid forms.
    """
    number, unit = text[:-1], text[-1:]
    if unit in _SECONDS and number.isascii() and number.isdigit():
        return now - int(number) * _SECONDS[unit] * 1_000_000
    since = parse_iso(text, is_local=True)
    if since is None:
        raise ValueError("takes a time such as 30m, 12h, 7d, 2w, or 2026-11-23 or 2026-11-23T08:30")
    return since


_FIRST_DAY, _EPOCH_DAY, _LAST_DAY = 3, 719_163, 3_652_056
"""0001-01-03, 1970-01-01 and 9999-12-28, counted as `date.toordinal` does."""


def parse_iso(text: Any, *, is_local: bool = False) -> int | None:
    """Parse an ISO 8601 date or time; None for anything else.

    Without a zone it is UTC, or local time with `is_local`. None also for a time in the first or last days
    of the calendar, which some time zone could not show.
    """
    if not isinstance(text, str):
        return None
    import datetime  # not the names in it: to look them up at every call would take a third of the time

    utc = datetime.UTC
    try:
        parsed = datetime.datetime.fromisoformat(text.strip())
        if parsed.tzinfo is None:
            parsed = parsed.astimezone() if is_local else parsed.replace(tzinfo=utc)
        parsed = parsed.astimezone(utc)
    except (ValueError, OverflowError, OSError):
        return None
    day = parsed.toordinal()
    if not _FIRST_DAY <= day <= _LAST_DAY:
        return None
    # An import reads thousands of times: a difference of datetimes would take five times as long.
    seconds = (day - _EPOCH_DAY) * 86_400 + parsed.hour * 3600 + parsed.minute * 60 + parsed.second
    return seconds * 1_000_000 + parsed.microsecond


def format_ago(microseconds: int, now: int) -> str:
    """Format a time relative to `now`: `3 min ago`, `today 09:15`, `yesterday 14:02`, else the date."""
    seconds = (now - microseconds) // 1_000_000
    if 0 <= seconds < 60:
        return "just now"
    if 0 <= seconds < 3600:
        return f"{seconds // 60} min ago"
    local, today = to_datetime(microseconds).astimezone(), to_datetime(now).astimezone().date()
    days = (today - local.date()).days
    if days in (0, 1):
        return f"{('today', 'yesterday')[days]} {local:%H:%M}"
    return f"{local:%Y-%m-%d}" if days > 0 else f"{local:%Y-%m-%d %H:%M}"


def format_duration(microseconds: int) -> str:
    """Format a duration: `35 ms`, `1.2 s`, `3 min 05 s`, `2 h 10 min`."""
    if microseconds < 1_000_000:
        return f"{microseconds // 1000} ms"
    return (
        f"{microseconds / 1_000_000:.1f} s"
        if microseconds < 60_000_000
        else format_whole_seconds(microseconds)
    )


def format_whole_seconds(microseconds: int) -> str:
    """Format a duration in whole seconds, for one that still grows: `5 s`, `3 min 05 s`, `2 h 10 min`."""
    minutes, seconds = divmod(microseconds // 1_000_000, 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {seconds:02} s" if minutes else f"{seconds} s"


def utc_offset_seconds() -> int:
    """Return the present offset of local time from UTC, in seconds."""
    return time.localtime().tm_gmtoff
