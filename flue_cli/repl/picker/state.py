"""The session picker's state and actions, independent of layout and keys."""

from __future__ import annotations

from collections.abc import Sequence

from prompt_toolkit.application import Application

from flue_cli.errors import FlueError, UsageError
from flue_cli.names import bare_name
from flue_cli.render.notices import describe_session
from flue_cli.repl.picker.list_view import ListView
from flue_cli.repl.picker.session_list import SessionList
from flue_cli.stores.records import ABSENT, Entry, SessionHead, SessionSummary
from flue_cli.text import safe_line, session_label

PREVIEW_TURNS = 3
"""Number of newest turns that the preview reads."""


class Picker(ListView):
    """The state of a picker: `mode` "name" renames a session."""

    def __init__(self, session_list: SessionList, current_uid: int = ABSENT) -> None:
        super().__init__(session_list, session_list.reload)
        self.session_list = session_list
        self._current_uid = current_uid
        self._target: SessionSummary | None = None
        self._deletion_set: Sequence[SessionHead] = ()
        self._cached_preview: tuple[object, list[Entry], str] = (None, [], "")

    def choose(self, app: Application[SessionSummary | None]) -> None:
        """Exit with the selected session; SessionChanged if it is gone."""
        if session := self.session_list.selected:
            head = self.session_list.current_head(session)
            app.exit(result=session._replace(agent=head.agent, name=head.name))

    def begin_rename(self) -> None:
        """Ask for a new name of the selected session."""
        if session := self._select_target():
            self.ask_for_name(session.name)

    def rename(self) -> None:
        """Rename the session as entered. Raises BadName, SessionExists, and SessionBusy if a turn runs."""
        if session := self._target:
            renamed = self.session_list.rename(session, bare_name(self.name_buffer.text, session.agent))
            self.leave_mode()
            self.show_message(f"{session_label(session)} is now {session_label(renamed)}")

    def begin_delete(self) -> None:
        """Ask for confirmation, naming the session and the undone forks that go with it."""
        if one := self._select_target():
            self._deletion_set = self.session_list.deletion_set(one)
            names = ", ".join(describe_session(self.session_list.store, head) for head in self._deletion_set)
            self.question = f"Delete {names} for good? [y/N]"
            self.mode = "delete"

    def delete(self) -> None:
        """Delete the sessions named in the question. Raises SessionBusy if a turn runs."""
        self.leave_mode()
        self.session_list.delete(self._deletion_set)
        names = ", ".join(session_label(head) for head in self._deletion_set)
        self.show_message(f"deleted {names}; the chat's input history may still contain its prompts")

    def refresh(self) -> bool:
        """Show the changes that other processes made to the store. True if there are any."""
        selected = self.session_list.selected
        if not self.session_list.refresh():
            return False
        if selected and all(session.uid != selected.uid for session in self.session_list.items):
            self.show_message(f"{session_label(selected)} was deleted meanwhile")
        return True

    def preview_turns(self) -> tuple[list[Entry], str]:
        """Read the newest turns of the selected session; if that fails, also return the error's text."""
        session = self.session_list.selected
        key = (session.uid, self.session_list.loaded_at) if session else None
        if session and key != self._cached_preview[0]:
            try:
                self._cached_preview = (key, self.session_list.last_turns(session, PREVIEW_TURNS), "")
            except FlueError as error:
                self._cached_preview = (key, [], safe_line(error.message))
        return self._cached_preview[1:] if session else ([], "")

    def _select_target(self) -> SessionSummary | None:
        """Make the selected session the target of a change; UsageError if it is the current one."""
        self._target = self.session_list.selected
        if self._target and self._target.uid == self._current_uid:
            raise UsageError("that is the session you are in")
        return self._target
