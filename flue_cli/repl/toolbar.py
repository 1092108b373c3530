"""The line below the prompt: where we are, how much there is, which keys help."""

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
        """`keys` says which key does what, `folds` whether a line shows something folded."""
        self._conversation = conversation
        self._keymap = keymap
        self._has_foldings = has_foldings
        self._head: SessionHead | None = None
        self._data_bytes = 0

    def refresh(self) -> None:
        """Take things as they are now."""
        conversation = self._conversation
        try:
            head = conversation.head()
            if head != self._head and head.uid != ABSENT:
                self._data_bytes = len(conversation.store.data_at(head, head.turn).encode())
            self._head = head
        except StoreError:
            self._head = None  # whoever asks for a turn will be told

    def __call__(self) -> StyleAndTextTuples:
        """The line, as wide as the screen at most."""
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
            facts.append("not kept")
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
        """The most useful first."""
        app = get_app()
        is_vi = app.editing_mode == EditingMode.VI
        hints = [
            (_VI_MODES.get(app.vi_state.input_mode, "vi: insert"), "") if is_vi else ("", ""),
            ("expand", " expands") if self._has_foldings(app.current_buffer.text) else ("", ""),
            ("newline", " new line"),
            ("editor", " editor"),
            ("vi", " emacs" if is_vi else " vi"),
        ]
        shown = [f"{key_label(what, self._keymap)}{does}" if does else what for what, does in hints]
        return [hint for hint in [*shown, "/help"] if hint and not hint.startswith(" ")]


def fit_toolbar(facts: Sequence[str], hints: Sequence[str], columns: int) -> str:
    """Facts on the left, hints on the right: of each as many as fit in, the first two facts at any rate."""
    room = columns - 2
    shown = list(facts)
    while len(shown) > 2 and get_cwidth(_SEPARATOR.join(shown)) > room:
        shown.pop()
    left = truncate_cells(_SEPARATOR.join(shown), room)
    right = ""
    for hint in hints:
        more = f"{right}{_SEPARATOR}{hint}" if right else hint
        if get_cwidth(left + _SEPARATOR + more) <= room:
            right = more
    return f" {left}{' ' * (room - get_cwidth(left) - get_cwidth(right))}{right} " if room > 0 else ""
