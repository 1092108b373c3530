"""The state of a list that fills the screen: its filter, its field for a name, and its message."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from prompt_toolkit.buffer import Buffer

from flue_cli.errors import FlueError, SessionChanged
from flue_cli.repl.picker.filtered_list import FilteredList
from flue_cli.text import safe_line


class ListView:
    """The state of a list on the screen. `mode` is "choose", "name" or "delete"."""

    def __init__(self, shown: FilteredList[Any], reload: Callable[[], object]) -> None:
        """Show the list `shown`, which `reload` reads again."""
        self.mode = "choose"
        self.message = ""
        self.question = ""
        self.list = shown
        self.filter_buffer = Buffer(multiline=False, on_text_changed=lambda words: shown.filter(words.text))
        self.name_buffer = Buffer(multiline=False)
        self._reload = reload

    @property
    def active_buffer(self) -> Buffer:
        """The buffer that takes typed text."""
        return self.name_buffer if self.mode == "name" else self.filter_buffer

    def show_message(self, message: str) -> None:
        """Show a message, until the next key."""
        self.message = safe_line(message)

    def attempt(self, action: Callable[[], object]) -> bool:
        """Call `action` and show its error as a message. False if there is nothing new to draw."""
        try:
            return action() is not False
        except SessionChanged as error:
            self.leave_mode()
            self._reload()
            self.show_message(f"error: {error.message}")
        except FlueError as error:
            self.show_message(f"error: {error.message}")
        return True

    def ask_for_name(self, text: str) -> None:
        """Let the person type a name, beginning with `text`."""
        self.name_buffer.text = text
        self.name_buffer.cursor_position = len(text)
        self.mode = "name"

    def leave_mode(self) -> None:
        """Go back to choosing."""
        self.mode = "choose"
