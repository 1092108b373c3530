"""The chat's input for prompt_toolkit: UTF-8, filtered, and readable also between prompts."""

from __future__ import annotations

import asyncio
import os
import select
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import cast

from prompt_toolkit.application import create_app_session, get_app_session
from prompt_toolkit.input import Input
from prompt_toolkit.input.posix_utils import PosixStdinReader
from prompt_toolkit.input.typeahead import store_typeahead
from prompt_toolkit.input.vt100 import Vt100Input
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.keys import Keys
from prompt_toolkit.utils import is_dumb_terminal

from flue_cli.repl.input_filter import InputFilter, Paste

SILENCE_SECONDS = 2.0
"""Silence that ends a paste, or a report of the terminal, whose end mark was lost."""

_ESCAPE_SECONDS = 0.5
_MAX_READS = 256


@contextmanager
def open_chat_input(typed_early: bytes = b"") -> Iterator[ChatInput]:
    """Context in which prompts and pickers read from a ChatInput on standard input; nested ones share it."""
    current = get_app_session().input
    if isinstance(current, ChatInput):
        yield current
        return
    keyboard = ChatInput(cast("Vt100Input", current), typed_early)
    try:
        with create_app_session(input=keyboard):
            yield keyboard
    finally:
        keyboard.close()


class ChatInput(Input):
    """The keys of a terminal, filtered. `terminal` switches its modes, and is watched while a prompt runs."""

    def __init__(self, terminal: Vt100Input, typed_early: bytes = b"") -> None:
        """`typed_early` is what was read from the terminal before; it comes first."""
        self._terminal = terminal
        self._file = os.dup(terminal.fileno())  # standard input is another one while an agent works
        self._reader = PosixStdinReader(self._file, encoding="utf-8")  # in every locale, as a pipe is read
        self._edits_lines = is_dumb_terminal()  # the terminal does so at the prompt: Enter may be a line feed
        self._filter = InputFilter()
        self._keys: list[KeyPress] = []
        self._parser = Vt100Parser(self._keys.append)
        self._last_read = 0.0
        self._timer: asyncio.TimerHandle | None = None
        self._on_input: Callable[[], None] | None = None
        if typed_early:
            self._take(self._filter.feed(typed_early.decode(errors="surrogateescape")))
            store_typeahead(self, self._take_keys())

    def read_keys(self) -> list[KeyPress]:
        """Read the keys that have been pressed."""
        self._read()
        if self._on_input:
            self._watch_silence(self._on_input)
        return self._take_keys()

    def read_waiting_keys(self) -> list[KeyPress]:
        """Read all keys that have been pressed, while no prompt runs: call it repeatedly."""
        for _ in range(_MAX_READS):
            if self.closed or not select.select([self._file], [], [], 0)[0]:
                break
            self._read()
        silence = time.monotonic() - self._last_read
        if silence >= SILENCE_SECONDS:
            self._take(self._filter.expire())
        elif silence >= _ESCAPE_SECONDS:
            self.flush()
        return self._take_keys()

    def flush_keys(self) -> list[KeyPress]:
        """Return the keys that were held because they could begin longer ones."""
        self.flush()
        return self._take_keys()

    def flush(self) -> None:
        """Hold nothing back: an Escape is the Escape key."""
        self._take(self._filter.flush())
        self._parser.flush()

    def attach(self, input_ready_callback: Callable[[], None]) -> AbstractContextManager[None]:
        """Return a context in which the callback is called for new input."""
        return self._attached(input_ready_callback)

    @contextmanager
    def _attached(self, on_input: Callable[[], None]) -> Iterator[None]:
        before, self._on_input = self._on_input, on_input
        self._watch_silence(on_input)
        try:
            with self._terminal.attach(on_input):
                yield
        finally:
            self._on_input = before
            if self._timer:
                self._timer.cancel()

    def detach(self) -> AbstractContextManager[None]:
        """Return a context in which no callback is called."""
        return self._terminal.detach()

    def raw_mode(self) -> AbstractContextManager[None]:
        """Return a context in which keys come as they are pressed."""
        return self._terminal.raw_mode()

    def cooked_mode(self) -> AbstractContextManager[None]:
        """Return a context in which the terminal edits lines itself."""
        return self._terminal.cooked_mode()

    def fileno(self) -> int:
        """Return the descriptor that a prompt watches."""
        return self._terminal.fileno()

    @property
    def reading_file(self) -> int:
        """The descriptor of the terminal that is open also while an agent works."""
        return self._file

    def typeahead_hash(self) -> str:
        """Return the name under which prompt_toolkit keeps keys for the next prompt."""
        return self._terminal.typeahead_hash()

    @property
    def closed(self) -> bool:
        """True after the end of the input."""
        return self._reader.closed

    def close(self) -> None:
        """Close the descriptor that this object opened."""
        os.close(self._file)

    def _read(self) -> None:
        text = self._reader.read()
        if self._edits_lines:
            text = text.replace("\n", "\r")
        if text:
            self._last_read = time.monotonic()
            self._take(self._filter.feed(text))

    def _take(self, parts: Sequence[str | Paste]) -> None:
        for part in parts:
            if isinstance(part, Paste):
                self._keys.append(KeyPress(Keys.BracketedPaste, part.text))
                continue
            self._parser.feed(part)
            if part == "\x1b":  # a key of its own
                self._parser.flush()

    def _take_keys(self) -> list[KeyPress]:
        keys = self._keys[:]
        self._keys.clear()  # the parser appends to this list
        return keys

    def _watch_silence(self, on_input: Callable[[], None]) -> None:
        """Call `on_input` again if nothing ends what has begun."""
        if self._timer:
            self._timer.cancel()
        if self._filter.is_waiting:
            self._timer = asyncio.get_running_loop().call_later(SILENCE_SECONDS, self._expire, on_input)

    def _expire(self, on_input: Callable[[], None]) -> None:
        self._take(self._filter.expire())
        on_input()
