"""The prompt of a terminal that cannot move its cursor (`TERM=dumb`): the terminal edits the line itself."""

from __future__ import annotations

import os
import signal

from prompt_toolkit.history import History
from prompt_toolkit.input.typeahead import get_typeahead

from flue_cli.errors import StoppedBySignal, TurnCancelled
from flue_cli.render.streams import Output
from flue_cli.repl.chat_input import ChatInput
from flue_cli.repl.terminal import cooked_mode, is_terminal_gone
from flue_cli.repl.theme import PROMPT
from flue_cli.text import safe_text
from flue_cli.turns.cancellation import SignalRoute

_ENTER, _END_OF_INPUT, _BACKSPACES = "\r", "\x04", ("\x7f", "\b")
_LINE_ENDS = (b"\n", b"\r", b"\x04")  # the last two where no terminal has translated them
_CONTINUATION = "  "


class PlainPrompt:
    """Reads prompts without a single escape sequence.

    A draft stands in the line already, and what is typed is added to it; Ctrl-C drops it.
    """

    def __init__(
        self, keyboard: ChatInput, output: Output, cancelling: SignalRoute, history: History
    ) -> None:
        self._keyboard = keyboard
        self._output = output
        self._cancelling = cancelling
        self._history = history
        self._typed = ""  # and not used yet
        self._is_armed = False  # the next Ctrl-C leaves

    def read_line(self, draft: str) -> str | None:
        """Read a prompt that starts with `draft`; None at the end of input. Raises StoppedBySignal."""
        while True:
            try:
                text = self._read(draft)
            except _Interrupted:
                if self._is_armed:
                    raise StoppedBySignal(signal.SIGINT) from None
                self._is_armed = True
                draft = self._typed = ""
                self._output.write_raw("\n")
                self._output.note("press Ctrl-C again to leave, or Ctrl-D")
                continue
            self._is_armed = False
            if text and text.strip():
                self._history.append_string(text)
            return text

    def _read(self, draft: str) -> str | None:
        text = draft
        self._output.write_raw(PROMPT + safe_text(text).replace("\n", f"\n{_CONTINUATION}"))
        while True:
            line = self._next_line(has_text=bool(text))
            if line is None:
                return None
            text += line
            if (len(text) - len(text.rstrip("\\"))) % 2 == 0:
                return text
            text = f"{text[:-1]}\n"
            self._output.write_raw(_CONTINUATION)

    def _next_line(self, *, has_text: bool) -> str | None:
        """Read up to the next Enter; None at the end of input."""
        line = ""
        while True:
            keys = [*get_typeahead(self._keyboard), *self._keyboard.read_waiting_keys()]
            self._typed += "".join(key.data for key in keys)
            part, enter, self._typed = self._typed.partition(_ENTER)
            part, ends = _edit(part)
            line += part
            if ends and not line and not has_text:
                break
            self._output.write_raw(safe_text(part) + ("\n" if enter else ""))
            if enter:
                return line
            typed = self._read_terminal()
            if not typed:
                break
            if typed.endswith("\n"):  # edited and shown by the terminal
                part, _, self._typed = typed.replace("\n", _ENTER).partition(_ENTER)
                return line + _edit(part)[0]
            self._typed = typed  # it came before the terminal began to edit the line
        self._output.write_raw("\n")
        return None

    def _read_terminal(self) -> str:
        """Read a line from the terminal, with its end; "" at the end of input."""
        typed = b""
        try:
            with self._cancelling(_Interrupt()), cooked_mode():
                while not any(end in typed for end in _LINE_ENDS):
                    chunk = os.read(self._keyboard.fileno(), 65536)
                    typed += chunk
                    if not chunk:
                        break
        except OSError:
            if is_terminal_gone():
                raise StoppedBySignal(signal.SIGHUP) from None
            raise
        return typed.decode(errors="surrogateescape")


class _Interrupted(BaseException):
    """Raised by Ctrl-C."""


class _Interrupt:
    """Ends the reading of a line on a signal."""

    def request(self, reason: TurnCancelled) -> None:
        """Raise _Interrupted for Ctrl-C, StoppedBySignal for another signal."""
        raise _Interrupted if reason.signum == signal.SIGINT else StoppedBySignal(reason.signum)


def _edit(typed: str) -> tuple[str, bool]:
    """Apply what was typed while the terminal did not edit: the text, and True if it ends the input."""
    text = ""
    for character in typed.partition(_END_OF_INPUT)[0]:
        if character in _BACKSPACES:
            text = text[:-1]
        elif character.isprintable() or character in "\n\t" or "\ud800" <= character <= "\udfff":
            text += character
    return text, _END_OF_INPUT in typed
