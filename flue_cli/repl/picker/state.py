"""The session picker's state and actions, independent of layout and keys."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from prompt_toolkit.application import Application
from prompt_toolkit.buffer import Buffer

from flue_cli.errors import FlueError, SessionChanged, UsageError
from flue_cli.names import bare_name
from flue_cli.render.notices import describe_session
from flue_cli.repl.picker.session_list import SessionList
from flue_cli.stores.records import ABSENT, Entry, SessionHead, SessionSummary
from flue_cli.text import safe_line, session_label

PREVIEW_TURNS = 3
"""Number of newest turns that the preview reads."""


class Picker:
    """The state of a picker: `mode` is "choose", "rename" or "delete"."""

    def __init__(self, session_list: SessionList, current_uid: int = ABSENT) -> None:
        self.session_list = session_list
        self.mode = "choose"
        self.message = ""
        self.question = ""
        self.filter_buffer = Buffer(
            multiline=False, on_text_changed=lambda words: session_list.filter(words.text)
        )
        self.name_buffer = Buffer(multiline=False)
        self._current_uid = current_uid
        self._target: SessionSummary | None = None
        self._deletion_set: Sequence[SessionHead] = ()
        self._cached_preview: tuple[object, list[Entry], str] = (None, [], "")

    @property
    def active_buffer(self) -> Buffer:
        """The buffer that takes typed text."""
        return self.name_buffer if self.mode == "rename" else self.filter_buffer

    def show_message(self, message: str) -> None:
        """Show a message, until the next key."""
        self.message = safe_line(message)

    def attempt(self, action: Callable[[], object]) -> bool:
        """Do something; what goes wrong is said. Whether there is anything new to show."""
        try:
            return action() is not False
        except SessionChanged as error:
            self.leave_mode()
            self.session_list.reload()
            self.show_message(f"error: {error.message}")
        except FlueError as error:
            self.show_message(f"error: {error.message}")
        return True

    def choose(self, app: Application[SessionSummary | None]) -> None:
        """End with the selected session; SessionChanged if it is gone."""
        if one := self.session_list.selected:
            head = self.session_list.current_head(one)
            app.exit(result=one._replace(agent=head.agent, name=head.name))

    def begin_rename(self) -> None:
        """Ask for a new name of the selected session."""
        if one := self._select_target():
            self.name_buffer.text = one.name
            self.name_buffer.cursor_position = len(one.name)
            self.mode = "rename"

    def rename(self) -> None:
        """Give it the name that was entered; BadName, SessionExists, SessionBusy while a turn runs."""
        if one := self._target:
            renamed = self.session_list.rename(one, bare_name(self.name_buffer.text, one.agent))
            self.leave_mode()
            self.show_message(f"{session_label(one)} is now {session_label(renamed)}")

    def begin_delete(self) -> None:
        """Ask whether the selected session is to go, naming all that would go with it."""
        if one := self._select_target():
            self._deletion_set = self.session_list.deletion_set(one)
            names = ", ".join(describe_session(self.session_list.store, head) for head in self._deletion_set)
            self.question = f"Delete {names} for good? [y/N]"
            self.mode = "delete"

    def delete(self) -> None:
        """Delete what was asked about; SessionBusy while a turn runs."""
        self.leave_mode()
        self.session_list.delete(self._deletion_set)
        names = ", ".join(session_label(head) for head in self._deletion_set)
        self.show_message(
            f"deleted {names}; the chat's input history may still have the prompts that were typed"
        )

    def leave_mode(self) -> None:
        """Back to choosing."""
        self.mode = "choose"

    def refresh(self) -> bool:
        """Take in what other processes did; whether they did anything."""
        before = self.session_list.selected
        if not self.session_list.refresh():
            return False
        if before and all(one.uid != before.uid for one in self.session_list.sessions):
            self.show_message(f"{session_label(before)} is gone: it was deleted meanwhile")
        return True

    def preview_turns(self) -> tuple[list[Entry], str]:
        """The newest turns of the selected session, and in their place what went wrong reading them."""
        one = self.session_list.selected
        key = (one.uid, self.session_list.loaded_at) if one else None
        if one and key != self._cached_preview[0]:
            try:
                self._cached_preview = (key, self.session_list.last_turns(one, PREVIEW_TURNS), "")
            except FlueError as error:
                self._cached_preview = (key, [], safe_line(error.message))
        return self._cached_preview[1:] if one else ([], "")

    def _select_target(self) -> SessionSummary | None:
        """The selected session as the one that something is to be done to; UsageError if we are in it."""
        self._target = self.session_list.selected
        if self._target and self._target.uid == self._current_uid:
            raise UsageError("that is the session you are in")
        return self._target
