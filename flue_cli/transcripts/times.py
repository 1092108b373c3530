"""Times as other programs write them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_EARLIEST = datetime(1, 1, 3, tzinfo=UTC)
_LATEST = datetime(9999, 12, 29, tzinfo=UTC)
"""Times outside of these could not be shown in every time zone."""


def microseconds_of(text: Any) -> int | None:
    """The time that an ISO 8601 text names, in UTC unless it says otherwise; None for anything else.

    Also for one at the very beginning or end of the calendar, where time zones lead out of it.
    """
    if not isinstance(text, str):
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        return None
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return (found - _EPOCH) // _MICROSECOND if _EARLIEST <= found <= _LATEST else None
