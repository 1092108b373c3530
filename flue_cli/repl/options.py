"""Options of a chat."""

from __future__ import annotations

from typing import NamedTuple


class ChatOptions(NamedTuple):
    """Options for the turns of a chat; `wait` and `timeout` are in seconds.

    `is_saved` is False if the store forgets everything at the end. `repeat_flags` are the flags that a
    command to resume the session needs. `drafts_folder` takes text from the editor that could not be used.
    """

    wait: float
    timeout: float | None
    is_saved: bool
    verbose: bool = False
    repeat_flags: tuple[str, ...] = ()
    drafts_folder: str = ""
