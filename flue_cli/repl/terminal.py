"""The terminal's own settings while a chat runs."""

from __future__ import annotations

import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def sane_terminal() -> Iterator[None]:
    """Leave the terminal as it was found, however the chat ends."""
    found = termios.tcgetattr(sys.stdin)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, found)


@contextmanager
def quiet_keyboard() -> Iterator[None]:
    """While an agent works, what is typed is neither shown nor lost: the next prompt gets it.

    Signals (Ctrl-C, Ctrl-Z) stay on. Enter stays a carriage return, which is what the prompt takes for
    Enter.
    """
    found = termios.tcgetattr(sys.stdin)
    quiet = list(found)
    quiet[0] &= ~termios.ICRNL
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    quiet[3] |= termios.NOFLSH  # or Ctrl-C would throw away what was typed
    termios.tcsetattr(sys.stdin, termios.TCSADRAIN, quiet)
    try:
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, found)
