"""What a person can do in the session picker, whatever it looks like and whichever keys do it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer

from flue_cli.errors import FlueError, SessionChanged, UsageError
from flue_cli.names import bare_name
from flue_cli.render.notices import described
from flue_cli.repl.picker.session_list import Choices
from flue_cli.stores.records import ABSENT, Entry, Head, Summary
from flue_cli.text import safe_line, session_label

TURNS_SHOWN = 3
"""How many of a session's newest turns the preview reads."""


class Picker:
    """The state of a picker: `mode` is "choose", "rename" or "delete"."""

    def __init__(self, choices: Choices, here: int = ABSENT) -> None:
        self.choices = choices
        self.mode = "choose"
        self.message = ""
        self.question = ""
        self.words = Buffer(multiline=False, on_text_changed=lambda words: choices.filter(words.text))
        self.name = Buffer(multiline=False)
        self._here = here
        self._subject: Summary | None = None
        self._going: Sequence[Head] = ()
        self._read: tuple[object, list[Entry], str] = (None, [], "")

    @property
    def field(self) -> Buffer:
        """What is typed into."""
        return self.name if self.mode == "rename" else self.words

    def say(self, message: str) -> None:
        """Show a message, until the next key."""
        self.message = safe_line(message)

    def attempt(self, action: Callable[[], object]) -> bool:
        """Do something; what goes wrong is said. Whether there is anything new to show."""
        try:
            return action() is not False
        except SessionChanged as error:
            self.leave_mode()
            self.choices.load()
            self.say(f"error: {error.message}")
        except FlueError as error:
            self.say(f"error: {error.message}")
        return True

    def choose(self, app: Application[Summary | None]) -> None:
        """End with the selected session; SessionChanged if it is gone."""
        if one := self.choices.selected:
            head = self.choices.head(one)
            app.exit(result=one._replace(agent=head.agent, name=head.name))

    def begin_rename(self) -> None:
        """Ask for a new name of the selected session."""
        if one := self._take():
            self.name.text = one.name
            self.name.cursor_position = len(one.name)
            self.mode = "rename"

    def rename(self) -> None:
        """Give it the name that was entered; BadName, SessionExists, SessionBusy while a turn runs."""
        if one := self._subject:
            renamed = self.choices.rename(one, bare_name(self.name.text, one.agent))
            self.leave_mode()
            self.say(f"{session_label(one)} is now {session_label(renamed)}")

    def begin_delete(self) -> None:
        """Ask whether the selected session is to go, naming all that would go with it."""
        if one := self._take():
            self._going = self.choices.going(one)
            names = ", ".join(described(self.choices.store, head) for head in self._going)
            self.question = f"Delete {names} for good? [y/N]"
            self.mode = "delete"

    def delete(self) -> None:
        """Delete what was asked about; SessionBusy while a turn runs."""
        self.leave_mode()
        self.choices.delete(self._going)
        names = ", ".join(session_label(head) for head in self._going)
        self.say(f"deleted {names}; the chat's input history may still have the prompts that were typed")

    def leave_mode(self) -> None:
        """Back to choosing."""
        self.mode = "choose"

    def look(self) -> bool:
        """Take in what other processes did; whether they did anything."""
        before = self.choices.selected
        if not self.choices.look():
            return False
        if before and all(one.uid != before.uid for one in self.choices.all):
            self.say(f"{session_label(before)} is gone: it was deleted meanwhile")
        return True

    def previewed(self) -> tuple[list[Entry], str]:
        """The newest turns of the selected session, and in their place what went wrong reading them."""
        one = self.choices.selected
        key = (one.uid, self.choices.loaded_at) if one else None
        if one and key != self._read[0]:
            try:
                self._read = (key, self.choices.last_turns(one, TURNS_SHOWN), "")
            except FlueError as error:
                self._read = (key, [], safe_line(error.message))
        return self._read[1:] if one else ([], "")

    def _take(self) -> Summary | None:
        """The selected session as the one that something is to be done to; UsageError if we are in it."""
        self._subject = self.choices.selected
        if self._subject and self._subject.uid == self._here:
            raise UsageError("that is the session you are in")
        return self._subject
