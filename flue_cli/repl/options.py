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

    @property
    def store_flags(self) -> tuple[str, ...]:
        """The flags that a command needs to use the same store; it may take none about agents."""
        return self.repeat_flags[:2] if self.repeat_flags[:1] == ("--store",) else ()
