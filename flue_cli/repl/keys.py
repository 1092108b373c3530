"""What the keys of the chat do, beyond prompt_toolkit's own (history, search, editing)."""

from __future__ import annotations

import signal

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.filters import is_searching
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from flue_cli.errors import Stop
from flue_cli.render.output import Output


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
            event.app.exit(exception=Stop(signal.SIGINT))
        else:
            self._armed = True
            buffer.on_text_changed += self._typed
            from prompt_toolkit.application import run_in_terminal

            run_in_terminal(lambda: self._output.note("press Ctrl-C again to leave, or Ctrl-D"))

    def _typed(self, buffer: Buffer) -> None:
        """Whoever goes on typing did not mean to leave."""
        self._armed = False
        buffer.on_text_changed -= self._typed


def bindings(interrupts: Interrupts) -> KeyBindings:
    """The chat's key bindings."""
    keys = KeyBindings()

    @keys.add("enter", filter=~is_searching)
    def send(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("escape", "enter", filter=~is_searching)
    @keys.add("c-j", filter=~is_searching)
    def new_line(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("c-c", filter=~is_searching)
    @keys.add("<sigint>")
    def interrupt(event: KeyPressEvent) -> None:
        interrupts.press(event)

    @keys.add("c-g", filter=~is_searching)
    @keys.add("c-x", "c-e")
    def edit(event: KeyPressEvent) -> None:
        # Back in the line, not sent: whoever leaves the editor may not have meant it yet.
        event.current_buffer.open_in_editor(validate_and_handle=False)

    return keys
