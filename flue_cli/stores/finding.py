"""What a check-up of a store finds; a room of its own, since turns have no need of it."""

from __future__ import annotations

from typing import NamedTuple


class Finding(NamedTuple):
    """What a check-up found: `level` is "ok", "note" or "problem"; `advice` is what to do about it."""

    level: str
    what: str
    advice: str = ""
