"""The terminal's own settings while a chat runs."""

from __future__ import annotations

import os
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from flue_cli.render.streams import Output

_PASTE_MARKS_ON, _PASTE_MARKS_OFF = "\x1b[?2004h", "\x1b[?2004l"


@contextmanager
def restore_terminal() -> Iterator[None]:
    """Leave the terminal as it was found, however the chat ends."""
    keyboard = sys.stdin
    found = termios.tcgetattr(keyboard)
    try:
        yield
    finally:
        _apply_settings(keyboard, found)


@contextmanager
def silent_keyboard() -> Iterator[None]:
    """While an agent works, what is typed is neither shown nor lost: the next prompt gets it.

    Signals (Ctrl-C, Ctrl-Z) stay on. Enter stays a carriage return, which is what the prompt takes for
    Enter.
    """
    keyboard = os.dup(sys.stdin.fileno())  # standard input itself may lead elsewhere meanwhile
    found = termios.tcgetattr(keyboard)
    quiet = list(found)
    quiet[0] &= ~termios.ICRNL
    quiet[3] &= ~(termios.ECHO | termios.ICANON)
    quiet[3] |= termios.NOFLSH  # or Ctrl-C would throw away what was typed
    _apply_settings(keyboard, quiet)
    # A shell sets the terminal as it likes while we are stopped (Ctrl-Z).
    continued = signal.signal(signal.SIGCONT, lambda signum, frame: _apply_settings(keyboard, quiet))
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, continued)
        _apply_settings(keyboard, found)
        os.close(keyboard)


@contextmanager
def clear_on_suspend(output: Output) -> Iterator[None]:
    """Context that clears what is drawn before Ctrl-Z returns the terminal to the shell."""
    if not output.can_draw or signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
        yield
        return
    room = output.room

    def stop(signum: int, frame: FrameType | None) -> None:
        with room.lock:
            room.clear()
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)  # comes back when the shell has us go on
            signal.signal(signal.SIGTSTP, stop)

    signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)


@contextmanager
def cooked_mode() -> Iterator[None]:
    """Inside `quiet_keyboard`, the keyboard as another program (a pager) expects it."""
    keyboard = sys.stdin
    if not keyboard.isatty():
        yield
        return
    found = termios.tcgetattr(keyboard)
    usual = list(found)
    usual[0] |= termios.ICRNL
    usual[3] |= termios.ECHO | termios.ICANON
    usual[3] &= ~termios.NOFLSH
    _apply_settings(keyboard, usual)
    try:
        yield
    finally:
        _apply_settings(keyboard, found)


@contextmanager
def bracketed_paste(output: Output) -> Iterator[None]:
    """While an agent works, the terminal goes on marking pastes, so that each becomes one prompt."""
    if os.environ.get("TERM") == "dumb":
        yield
        return
    output.write_raw(_PASTE_MARKS_ON)
    try:
        yield
    finally:
        output.write_raw(_PASTE_MARKS_OFF)  # the prompt turns them on for itself


@contextmanager
def no_input_for_agents() -> Iterator[None]:
    """While an agent works, its `input()` ends at once, and so does that of the programs it starts.

    The keyboard belongs to the chat.
    """
    keyboard, descriptor = sys.stdin, sys.stdin.fileno()
    kept = os.dup(descriptor)
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), descriptor)
        sys.stdin = nothing
        try:
            yield
        finally:
            sys.stdin = keyboard
            os.dup2(kept, descriptor)
            os.close(kept)


def is_terminal_gone() -> bool:
    """True if the terminal's window was closed, which reads as the end of input."""
    try:
        termios.tcgetattr(sys.stdin)
    except termios.error:
        return True
    return False


def _apply_settings(keyboard: TextIO | int, settings: list[Any]) -> None:
    with suppress(termios.error):  # after a hang-up there is nothing left to set
        termios.tcsetattr(keyboard, termios.TCSADRAIN, settings)
