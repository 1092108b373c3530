"""The line below the prompt: agent, session, sizes, and the keys that are useful now."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from prompt_toolkit.application import get_app
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.formatted_text import StyleAndTextTuples
from prompt_toolkit.key_binding.vi_state import InputMode
from prompt_toolkit.utils import get_cwidth

from flue_cli.errors import StoreError
from flue_cli.repl.cell_width import truncate_cells
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.keymap import Keystrokes, key_label
from flue_cli.stores.records import ABSENT, SessionHead
from flue_cli.text import format_bytes, pluralize, safe_line

_SEPARATOR = " · "
_MAX_NAME_CHARACTERS = 40
_VI_MODES = {
    InputMode.NAVIGATION: "vi: command",
    InputMode.REPLACE: "vi: replace",
    InputMode.REPLACE_SINGLE: "vi: replace",
}


class Toolbar:
    """The bottom toolbar. It reads the store once per prompt, in `refresh`."""

    def __init__(
        self,
        conversation: Conversation,
        keymap: Mapping[Keystrokes, str],
        has_foldings: Callable[[str], bool],
    ) -> None:
        """`has_foldings` is True for a line that shows a folded paste."""
        self._conversation = conversation
        self._keymap = keymap
        self._has_foldings = has_foldings
        self._head: SessionHead | None = None
        self._data_bytes = 0

    def refresh(self) -> None:
        """Read the session's present state from the store."""
        conversation = self._conversation
        try:
            head = conversation.head()
            if head != self._head and head.uid != ABSENT:
                self._data_bytes = len(conversation.store.data_at(head, head.turn).encode())
            self._head = head
        except StoreError:
            self._head = None  # the next turn reports the error

    def __call__(self) -> StyleAndTextTuples:
        """Make the line, at most as wide as the screen."""
        app = get_app()
        text = fit_toolbar(self._facts(), self._hints(), app.output.get_size().columns)
        return [("", text)]

    def _facts(self) -> list[str]:
        conversation, head = self._conversation, self._head
        facts = [
            safe_line(conversation.agent.name),
            truncate_cells(safe_line(conversation.name), _MAX_NAME_CHARACTERS),
        ]
        if not conversation.options.is_saved:
            facts.append("not saved")
        if head is None:
            return facts
        if head.uid == ABSENT:
            return [*facts, "new"]
        return [
            *facts,
            f"turn {head.turn}",
            f"data {format_bytes(self._data_bytes)}",
            pluralize(head.messages, "message"),
        ]

    def _hints(self) -> list[str]:
        """Make the hints, the most useful first."""
        app = get_app()
        is_vi = app.editing_mode == EditingMode.VI
        # Pairs of action and effect; a pair without effect is shown as it is.
        hints = [
            (_VI_MODES.get(app.vi_state.input_mode, "vi: insert"), "") if is_vi else ("", ""),
            ("expand", " expands") if self._has_foldings(app.current_buffer.text) else ("", ""),
            ("newline", " new line"),
            ("editor", " editor"),
            ("vi", " emacs" if is_vi else " vi"),
        ]
        texts = [
            f"{key_label(action, self._keymap)}{effect}" if effect else action for action, effect in hints
        ]
        return [text for text in [*texts, "/help"] if text and not text.startswith(" ")]


def fit_toolbar(facts: Sequence[str], hints: Sequence[str], columns: int) -> str:
    """Put facts on the left and hints on the right, as many as fit, but always the first two facts."""
    width = columns - 2
    fitting = list(facts)
    while len(fitting) > 2 and get_cwidth(_SEPARATOR.join(fitting)) > width:
        fitting.pop()
    left = truncate_cells(_SEPARATOR.join(fitting), width)
    right = ""
    for hint in hints:
        longer = f"{right}{_SEPARATOR}{hint}" if right else hint
        if get_cwidth(left + _SEPARATOR + longer) <= width:
            right = longer
    return f" {left}{' ' * (width - get_cwidth(left) - get_cwidth(right))}{right} " if width > 0 else ""
