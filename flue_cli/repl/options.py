"""How a chat runs its turns."""

from __future__ import annotations

from typing import NamedTuple


class Manners(NamedTuple):
    """How turns are run: waiting and thinking time in seconds, and what goes with them.

    `keeps`: whether anything is kept; `repeat`: options that a resume must give again; `drafts`: the folder
    for what was written in the editor and could not be used.
    """

    wait: float
    timeout: float | None
    keeps: bool
    verbose: bool = False
    repeat: tuple[str, ...] = ()
    drafts: str = ""
