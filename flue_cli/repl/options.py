"""Options of a chat."""

from __future__ import annotations

from typing import NamedTuple


class ChatOptions(NamedTuple):
    """Options for the turns of a chat; `wait` and `timeout` are in seconds.

    `keeps`: whether anything is kept; `repeat`: options that a resume must give again; `drafts`: the folder
    for what was written in the editor and could not be used.
    """

    wait: float
    timeout: float | None
    is_saved: bool
    verbose: bool = False
    repeat_flags: tuple[str, ...] = ()
    drafts_folder: str = ""
