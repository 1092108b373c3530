"""What the keys of the chat do, beyond prompt_toolkit's own (history, search, editing)."""

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
from flue_cli.repl.compose_in_editor import written
from flue_cli.repl.keymap import Keystrokes
from flue_cli.repl.paste_folding import Pastes

_EMACS_WAITS = (0.5, 1.0)
_VI_WAITS = (0.1, 0.3)
"""Seconds that an Escape waits for the rest of a key's bytes, and for the key after it.

In vi it is pressed all the time, and mostly means itself.
"""


class Interrupts:
    """Ctrl-C at the prompt: clears what is typed, and on an empty line leaves at the second press."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._armed = False

    def disarm(self) -> None:
        """Something else was done: the next Ctrl-C counts as the first."""
        self._armed = False

    def press(self, event: KeyPressEvent) -> None:
        """Handle one press."""
        buffer = event.current_buffer
        if buffer.text:
            buffer.append_to_history()  # Up brings it back
            buffer.reset()
            self._armed = False
        elif self._armed:
            event.app.exit(exception=StoppedBySignal(signal.SIGINT))
        else:
            self._armed = True
            run_in_terminal(lambda: self._output.note("press Ctrl-C again to leave, or Ctrl-D"))


def bindings(
    interrupts: Interrupts, pastes: Pastes, keys: Mapping[Keystrokes, str], output: Output
) -> KeyBindings:
    """The chat's key bindings; `keys` says which key does what, `output` takes what went wrong."""
    actions: dict[str, Callable[[KeyPressEvent], None]] = {
        "send": _send,
        "newline": lambda event: event.current_buffer.insert_text("\n"),
        "editor": lambda event: _edit(event, pastes, output),
        "expand": lambda event: pastes.unfold(event.current_buffer),
        "clear": lambda event: event.app.renderer.clear(),
        "vi": _switch,
    }
    bound = KeyBindings()
    for keystrokes, action in keys.items():
        bound.add(*keystrokes, filter=~is_searching)(actions[action])

    @bound.add(Keys.BracketedPaste, filter=~is_searching)
    def paste(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text(pastes.taken(event.data))

    @bound.add("c-c", filter=~is_searching)
    @bound.add("<sigint>")
    def interrupt(event: KeyPressEvent) -> None:
        interrupts.press(event)

    return bound


def edit_as(app: Application[Any], *, vi: bool) -> None:
    """Edit the line by the keys of vi, or those of emacs."""
    app.editing_mode = EditingMode.VI if vi else EditingMode.EMACS
    app.ttimeoutlen, app.timeoutlen = _VI_WAITS if vi else _EMACS_WAITS


def _send(event: KeyPressEvent) -> None:
    """Send what is typed, but for a choice in the menu, which is taken, and a line that goes on."""
    buffer = event.current_buffer
    if buffer.complete_state and buffer.complete_state.current_completion:
        buffer.complete_state = None
    elif _goes_on(buffer.document):
        buffer.delete_before_cursor()
        buffer.insert_text("\n")
    else:
        buffer.validate_and_handle()


def _goes_on(document: Document) -> bool:
    r"""Whether the cursor is at the end of a line that ends with a `\`; two of them are one that is meant."""
    line = document.current_line_before_cursor
    backslashes = len(line) - len(line.rstrip("\\"))
    return backslashes % 2 == 1 and not document.current_line_after_cursor


def _edit(event: KeyPressEvent, pastes: Pastes, output: Output) -> None:
    """Take the line to the editor, and back: not sent, as whoever leaves it may not have meant it yet."""
    buffer = event.current_buffer

    def edited() -> str | None:
        try:
            return written(pastes.whole(buffer.text))
        except UsageError as error:
            output.error(error)
            return None

    async def edit() -> None:
        text = await run_in_terminal(edited)
        if text is not None:
            buffer.save_to_undo_stack()
            line = pastes.draft(text)
            buffer.document = Document(line, len(line))

    event.app.create_background_task(edit())


def _switch(event: KeyPressEvent) -> None:
    edit_as(event.app, vi=event.app.editing_mode != EditingMode.VI)
