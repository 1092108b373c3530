"""State and actions of the tree on the screen, independent of layout and keys."""

from __future__ import annotations

from prompt_toolkit.application import Application

from flue_cli.errors import FlueError, SessionBusy, UsageError
from flue_cli.names import check_label
from flue_cli.repl.picker.filtered_list import FilteredList
from flue_cli.repl.picker.list_view import ListView
from flue_cli.sessions.tree import TreeTurn, timeline_tree
from flue_cli.stores.contract import Store
from flue_cli.stores.contract_errors import session_changed_error
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.text import label_notice, safe_line, session_label


class TurnList(FilteredList[TreeTurn]):
    """The turns of a session's tree, in the order of its drawing. All methods may raise StoreError."""

    def __init__(self, store: Store, head: SessionHead) -> None:
        """Read the tree of the session of `head`; the turn that it is at is selected."""
        super().__init__()
        self.store = store
        self._session = head
        self._change_token: object = None
        self.reload()
        self.select((head.uid, head.turn))

    def reload(self) -> None:
        """Read the tree again. SessionChanged if the session is gone."""
        self._change_token = self.store.change_token()
        head = self.store.head(self._session.agent, self._session.name)
        if head.uid != self._session.uid:
            raise session_changed_error(self._session.name)
        turns = timeline_tree(self.store, head)
        texts = [_searched_text(turn) for turn in turns]
        self.replace_items(turns, texts, [(turn.session.uid, turn.turn) for turn in turns])

    def refresh(self) -> bool:
        """Read the tree again if the store has changed. True if it has."""
        if self.store.change_token() == self._change_token:
            return False
        self.reload()
        return True

    def read_entry(self, turn: TreeTurn) -> Entry | None:
        """Read the whole entry of a turn; None if it is the start, or gone."""
        if not turn.is_settled:
            return self.store.unsettled_prompt(turn.session)
        end = self._end_of_line(turn)
        return next(iter(self.store.entries(end, turn.turn, turn.turn)), None)

    def set_label(self, turn: TreeTurn, label: str) -> None:
        """Label a turn. Raises SessionChanged if it is gone."""
        self.store.set_label(self._end_of_line(turn), turn.turn, label)
        self.reload()

    def _end_of_line(self, turn: TreeTurn) -> SessionHead:
        """Read the last turn of the session, undone or not. SessionChanged if the session is gone."""
        head = self.store.head(turn.session.agent, turn.session.name)
        if head.uid != turn.session.uid:
            raise session_changed_error(turn.session.name)
        return self.store.redo_head(head)


class TreeView(ListView):
    """The state of the tree on the screen: `mode` "name" labels a turn."""

    def __init__(self, turns: TurnList) -> None:
        super().__init__(turns, turns.reload)
        self.turns = turns
        self._target: TreeTurn | None = None
        self._cached_preview: tuple[TreeTurn | None, list[Entry], str] = (None, [], "")

    def choose(self, app: Application[TreeTurn | None]) -> None:
        """Exit with the selected turn. Raises SessionBusy and UsageError if it cannot be gone to."""
        if turn := self.turns.selected:
            if not turn.is_settled and turn.entry:
                if turn.entry.outcome == "running":
                    raise SessionBusy(f"turn {turn.turn} is being answered")
                raise UsageError(f"turn {turn.turn} was not answered: /retry or /discard it")
            app.exit(result=turn)

    def begin_label(self) -> None:
        """Ask for the label of the selected turn; UsageError if it can have none."""
        turn = self.turns.selected
        if turn is None:
            return
        if turn.entry is None or not turn.is_settled:
            raise UsageError("only a turn that is answered or over can have a label")
        self._target = turn
        self.ask_for_name(turn.entry.label)

    def set_label(self) -> None:
        """Label the turn as entered. Raises BadName, and SessionChanged if the turn is gone."""
        if turn := self._target:
            label = check_label(self.name_buffer.text)
            self.turns.set_label(turn, label)
            self.leave_mode()
            self.show_message(label_notice(turn.turn, label))

    def heading(self) -> str:
        """Name the session that the selected turn is of."""
        turn = self.turns.selected
        return session_label(turn.session) if turn else ""

    def preview(self) -> tuple[list[Entry], str]:
        """Read the selected turn; if that fails, also return the error's text."""
        turn = self.turns.selected
        if turn is None or turn.entry is None:
            return [], ""
        if turn != self._cached_preview[0]:
            try:
                entry = self.turns.read_entry(turn)
                self._cached_preview = (turn, [entry] if entry else [], "")
            except FlueError as error:
                self._cached_preview = (turn, [], safe_line(error.message))
        return self._cached_preview[1:]


def _searched_text(turn: TreeTurn) -> str:
    if turn.entry is None:
        return ""
    fork = turn.session.name if turn.starts_fork else ""
    return f"{turn.turn} {turn.entry.label} {fork} {turn.entry.prompt}"
