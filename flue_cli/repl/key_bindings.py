"""Key bindings of the chat, beyond prompt_toolkit's own (history, search, editing)."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any

from prompt_toolkit.application import Application, run_in_terminal
from prompt_toolkit.document import Document
from prompt_toolkit.enums import EditingMode
from prompt_toolkit.filters import is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys

from flue_cli.errors import StoppedBySignal, UsageError
from flue_cli.render.streams import Output
from flue_cli.repl.compose_in_editor import edit_in_editor
from flue_cli.repl.keymap import Keystrokes
from flue_cli.repl.paste_folding import PasteFolder

_EMACS_ESCAPE_SECONDS = (0.5, 1.0)
_VI_ESCAPE_SECONDS = (0.1, 0.3)
"""Seconds that an Escape waits for the rest of a key's bytes, and for a key after it (Alt).

Shorter in vi mode, where Escape is pressed often and mostly alone.
"""


class InterruptKey:
    """Ctrl-C at the prompt: clears the line; on an empty line the second press leaves the chat."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._is_armed = False

    def disarm(self) -> None:
        """Count the next Ctrl-C as the first again."""
        self._is_armed = False

    def press(self, event: KeyPressEvent) -> None:
        """Handle one press."""
        buffer = event.current_buffer
        if buffer.text:
            buffer.append_to_history()  # Up brings it back
            buffer.reset()
            self._is_armed = False
        elif self._is_armed:
            event.app.exit(exception=StoppedBySignal(signal.SIGINT))
        else:
            self._is_armed = True
            run_in_terminal(lambda: self._output.note("press Ctrl-C again to leave, or Ctrl-D"))


def chat_key_bindings(
    interrupt_key: InterruptKey, pastes: PasteFolder, keymap: Mapping[Keystrokes, str], output: Output
) -> KeyBindings:
    """Make the chat's key bindings from `keymap`; errors of the editor go to `output`."""
    actions: dict[str, Callable[[KeyPressEvent], None]] = {
        "send": _accept_line,
        "newline": lambda event: event.current_buffer.insert_text("\n"),
        "editor": lambda event: _edit_line(event, pastes, output),
        "expand": lambda event: pastes.unfold(event.current_buffer),
        "clear": lambda event: event.app.renderer.clear(),
        "vi": _toggle_vi,
    }
    bindings = KeyBindings()
    for keystrokes, action in keymap.items():
        bindings.add(*keystrokes, filter=~is_searching)(actions[action])

    @bindings.add(Keys.BracketedPaste, filter=~is_searching)
    def paste(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(pastes.fold_paste(event.data))

    @bindings.add("c-c", filter=~is_searching)
    @bindings.add("<sigint>")
    def interrupt(event: KeyPressEvent) -> None:
        interrupt_key.press(event)

    return bindings


def set_editing_mode(app: Application[Any], *, vi: bool) -> None:
    """Use the keys of vi, or those of emacs."""
    app.editing_mode = EditingMode.VI if vi else EditingMode.EMACS
    app.ttimeoutlen, app.timeoutlen = _VI_ESCAPE_SECONDS if vi else _EMACS_ESCAPE_SECONDS


def _accept_line(event: KeyPressEvent) -> None:
    """Accept the highlighted completion, start a new line after a backslash, or send the prompt."""
    buffer = event.current_buffer
    if buffer.complete_state and buffer.complete_state.current_completion:
        buffer.complete_state = None
    elif _continues_after_backslash(buffer.document):
        buffer.delete_before_cursor()
        buffer.insert_text("\n")
    else:
        buffer.validate_and_handle()


def _continues_after_backslash(document: Document) -> bool:
    r"""True if the cursor is at the end of a line that ends in an odd number of backslashes."""
    line = document.current_line_before_cursor
    backslashes = len(line) - len(line.rstrip("\\"))
    return backslashes % 2 == 1 and not document.current_line_after_cursor


def _edit_line(event: KeyPressEvent, pastes: PasteFolder, output: Output) -> None:
    """Edit the line in the person's editor. It is not sent: leaving the editor does not mean "send"."""
    buffer = event.current_buffer

    def run_editor_on_line() -> str | None:
        try:
            return edit_in_editor(pastes.expand(buffer.text))
        except UsageError as error:
            output.error(error)
            return None

    async def edit() -> None:
        text = await run_in_terminal(run_editor_on_line)
        if text is not None:
            buffer.save_to_undo_stack()
            line = pastes.fold_draft(text)
            buffer.document = Document(line, len(line))

    event.app.create_background_task(edit())


def _toggle_vi(event: KeyPressEvent) -> None:
    set_editing_mode(event.app, vi=event.app.editing_mode != EditingMode.VI)
