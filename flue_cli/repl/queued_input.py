"""Prompts that are typed while a turn runs: shown below the reply, and sent after it."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Callable, Iterator, Mapping, Sequence

from prompt_toolkit.input.typeahead import get_typeahead, store_typeahead
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys

from flue_cli.repl.cell_width import fit_suffix, truncate_cells
from flue_cli.repl.chat_input import ChatInput
from flue_cli.repl.keymap import Keystrokes, build_keymap
from flue_cli.repl.paste_folding import PasteFolder
from flue_cli.repl.terminal import is_keyboard_ours
from flue_cli.text import safe_line
from flue_cli.turns.cancellation import Cancellation

_MAX_SHOWN_PROMPTS = 3
_NEW_LINE = KeyPress(Keys.BracketedPaste, "\n")
"""A new line in every editing mode, whatever keys are configured."""

_SIGNAL_KEYS: Mapping[Keys | str, signal.Signals] = {
    Keys.ControlC: signal.SIGINT,
    Keys.ControlZ: signal.SIGTSTP,
}
"""Keys that are signals. The terminal makes them, except where it sends these keys in the newer notation."""


def queue_factory(
    keyboard: ChatInput, configured_keys: Mapping[str, str]
) -> Callable[[Cancellation], QueuedInput]:
    """Return a function that makes the queue of a turn. Raises UsageError as build_keymap."""
    keymap = build_keymap(configured_keys)
    return lambda cancellation: QueuedInput(keyboard, keymap, cancellation)


class QueuedInput:
    """The keys pressed during one turn, and those left over from earlier ones.

    The next prompts get them as they are: Enter sends, editing keys edit. Only their look is worked out here,
    for the keys that are often used.
    """

    def __init__(
        self, keyboard: ChatInput, keymap: Mapping[Keystrokes, str], cancellation: Cancellation
    ) -> None:
        self._keyboard = keyboard
        self._keymap = keymap
        self._cancellation = cancellation
        self._keys = get_typeahead(keyboard)
        self._is_cancelled_early = False  # before anything was queued
        self._shown = self._edit()

    def poll(self) -> None:
        """Read the keys that have been pressed, unless another program uses the terminal."""
        keys = self._keyboard.read_waiting_keys() if is_keyboard_ours(self._keyboard.reading_file) else []
        if self._cancellation.reason and not self._keys and not keys:
            self._is_cancelled_early = True
        for key in keys:
            if key.key in _SIGNAL_KEYS:
                os.kill(os.getpid(), _SIGNAL_KEYS[key.key])
            elif key.key != Keys.CPRResponse:
                self._keys.append(key)
        if keys:
            self._shown = self._edit()

    def hand_over(self, *, is_completed: bool) -> None:
        """Give the keys to the next prompt.

        After a turn that was not completed, what was queued before it ended is not sent: all of it comes
        back into the line, since it may depend on the reply. What is typed after Ctrl-C is sent.
        """
        self.poll()
        keys = self._keys
        self._shown = [], ""
        if not is_completed and not self._is_cancelled_early:
            keys = self._unsent_keys()
        store_typeahead(self._keyboard, keys)
        self._keys = []

    def lines(self, columns: int) -> list[str]:
        """Return the lines to show: each queued prompt, and the one that is being typed."""
        prompts, rest = self._shown
        shown = prompts[-_MAX_SHOWN_PROMPTS:]
        hidden = len(prompts) - len(shown)
        lines = [f"queued: {hidden} more"] if hidden else []
        lines += [f"queued: {_in_one_line(prompt)}" for prompt in shown]
        lines = [truncate_cells(line, columns) for line in lines]
        if rest.strip():
            lines.append("> " + fit_suffix(_in_one_line(rest), columns - 2))
        return lines

    def _edit(self) -> tuple[list[str], str]:
        """Work out the prompts that the keys make, and the unfinished one."""
        prompts, text, folder = [], "", PasteFolder()
        for action, keys in self._actions():
            key, data = keys[0].key, keys[0].data
            if action == "send" and not _goes_on(text):
                if text.strip():
                    prompts.append(text)
                text = ""
            elif action in ("send", "newline"):
                text = f"{text[:-1] if action == 'send' else text}\n"
            elif key == Keys.BracketedPaste:
                text += "".join(folder.label(character) or character for character in folder.fold_paste(data))
            elif key == Keys.Backspace:
                text = text[:-1]
            elif key == Keys.ControlU:
                text = ""
            elif key == Keys.ControlW:
                text = re.sub(r"\S*\s*\Z", "", text)
            elif not action and not isinstance(key, Keys):
                text += data
        return prompts, text

    def _unsent_keys(self) -> list[KeyPress]:
        """The keys with new lines in place of those that send."""
        unsent: list[KeyPress] = []
        text = ""
        for action, keys in self._actions():
            sends = action == "send" and not _goes_on(text)
            text = "" if action else text + keys[0].data
            unsent += [_NEW_LINE] if sends else keys
        while unsent and unsent[-1] is _NEW_LINE:
            unsent.pop()
        return unsent

    def _actions(self) -> Iterator[tuple[str, Sequence[KeyPress]]]:
        """The keys, each with its action ("" for none); a key of several keystrokes is one."""
        sizes = sorted({len(keystrokes) for keystrokes in self._keymap}, reverse=True)
        place = 0
        while place < len(self._keys):
            for size in sizes:
                keys = self._keys[place : place + size]
                action = self._keymap.get(tuple(key.key for key in keys), "")
                if action:
                    break
            else:
                keys = self._keys[place : place + 1]
                action = ""
            place += len(keys)
            yield action, keys


def _goes_on(text: str) -> bool:
    """True for a text that ends in a backslash: Enter then begins a new line."""
    return (len(text) - len(text.rstrip("\\"))) % 2 == 1


def _in_one_line(text: str) -> str:
    return safe_line(" ".join(text.split()))
