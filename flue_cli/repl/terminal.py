"""Settings of the terminal while a chat runs."""

from __future__ import annotations

import os
import select
import signal
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any, TextIO

from flue_cli.render.streams import Output

_PASTE_MARKS_ON, _PASTE_MARKS_OFF = "\x1b[?2004h", "\x1b[?2004l"


_SILENT_FLAGS = termios.NOFLSH | termios.ECHONL
"""Without NOFLSH, Ctrl-C would discard the typed text. ECHONL does nothing while the terminal edits no lines:
it is a mark: programs that ask for a password clear it."""


@contextmanager
def restore_terminal() -> Iterator[None]:
    """Context that restores the terminal's settings at its end, however the chat ends."""
    keyboard = sys.stdin
    settings = termios.tcgetattr(keyboard)
    try:
        yield
    finally:
        _apply_settings(keyboard, settings)


@contextmanager
def take_keyboard() -> Iterator[bytes]:
    """Context of a whole chat in which typed text is not echoed. Yields what was typed before it.

    The terminal edited that text: Enter is a line feed in it, and Ctrl-D a NUL; they are made keys again.
    """
    with restore_terminal():
        _apply_settings(sys.stdin, _silent_settings(termios.tcgetattr(sys.stdin)))
        yield _read_waiting(sys.stdin.fileno()).replace(b"\n", b"\r").replace(b"\0", b"\x04")


@contextmanager
def silent_keyboard() -> Iterator[None]:
    """Context in which typed text is not echoed; the next prompt reads it.

    Signals (Ctrl-C, Ctrl-Z) stay on. Enter stays a carriage return, as the prompt expects it.
    """
    keyboard = os.dup(sys.stdin.fileno())  # an agent gets another standard input meanwhile
    settings = termios.tcgetattr(keyboard)
    silent = _silent_settings(settings)
    _apply_settings(keyboard, silent)
    # The shell changes the settings while we are stopped (Ctrl-Z).
    old_handler = signal.signal(signal.SIGCONT, lambda signum, frame: _apply_settings(keyboard, silent))
    try:
        yield
    finally:
        signal.signal(signal.SIGCONT, old_handler)
        _apply_settings(keyboard, settings)
        os.close(keyboard)


@contextmanager
def clear_on_suspend(output: Output) -> Iterator[None]:
    """Context in which Ctrl-Z clears the status line before the shell gets the terminal."""
    if not output.can_draw or signal.getsignal(signal.SIGTSTP) is not signal.SIG_DFL:
        yield
        return
    room = output.room

    def stop(signum: int, frame: FrameType | None) -> None:
        with room.lock:
            room.clear()
            signal.signal(signal.SIGTSTP, signal.SIG_DFL)
            os.kill(os.getpid(), signal.SIGTSTP)  # returns when the shell continues us
            signal.signal(signal.SIGTSTP, stop)

    signal.signal(signal.SIGTSTP, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTSTP, signal.SIG_DFL)


@contextmanager
def cooked_mode() -> Iterator[None]:
    """Context inside `silent_keyboard` with the settings that another program (a pager) expects."""
    keyboard = sys.stdin
    if not keyboard.isatty():
        yield
        return
    settings = termios.tcgetattr(keyboard)
    cooked = list(settings)
    cooked[0] |= termios.ICRNL
    cooked[3] |= termios.ECHO | termios.ICANON
    cooked[3] &= ~(termios.NOFLSH | termios.ECHONL)
    _apply_settings(keyboard, cooked)
    try:
        yield
    finally:
        _apply_settings(keyboard, settings)


@contextmanager
def bracketed_paste(output: Output) -> Iterator[None]:
    """Context in which the terminal marks pastes also while an agent works, so that each stays one prompt."""
    if os.environ.get("TERM") in ("dumb", "unknown"):
        yield
        return
    output.write_raw(_PASTE_MARKS_ON)
    try:
        yield
    finally:
        output.write_raw(_PASTE_MARKS_OFF)  # the prompt turns them on again


@contextmanager
def no_input_for_agents() -> Iterator[None]:
    """Context in which standard input is empty: the keyboard belongs to the chat.

    An agent's `input()` ends at once, and so does that of the programs it starts.
    """
    keyboard, descriptor = sys.stdin, sys.stdin.fileno()
    saved = os.dup(descriptor)
    with open(os.devnull) as empty:
        os.dup2(empty.fileno(), descriptor)
        sys.stdin = empty
        try:
            yield
        finally:
            sys.stdin = keyboard
            os.dup2(saved, descriptor)
            os.close(saved)


def is_keyboard_ours(keyboard: int) -> bool:
    """True inside `silent_keyboard`, unless another program uses the terminal.

    That is a shell, after Ctrl-Z, or a program of the agent that asks for a password.
    """
    try:
        flags = termios.tcgetattr(keyboard)[3]
        in_foreground = os.tcgetpgrp(keyboard) == os.getpgrp()
    except (termios.error, OSError):  # a pipe, or a terminal that is gone
        return True
    return in_foreground and flags & (_SILENT_FLAGS | termios.ECHO | termios.ICANON) == _SILENT_FLAGS


def is_terminal_gone() -> bool:
    """True if the terminal's window was closed, which input shows only as its end."""
    try:
        termios.tcgetattr(sys.stdin)
    except termios.error:
        return True
    return False


def _silent_settings(settings: list[Any]) -> list[Any]:
    silent = list(settings)
    silent[0] &= ~termios.ICRNL
    silent[3] &= ~(termios.ECHO | termios.ICANON)
    silent[3] |= _SILENT_FLAGS
    return silent


def _read_waiting(keyboard: int) -> bytes:
    typed = b""
    while select.select([keyboard], [], [], 0)[0]:
        chunk = os.read(keyboard, 4096)
        if not chunk:
            break
        typed += chunk
    return typed


def _apply_settings(keyboard: TextIO | int, settings: list[Any]) -> None:
    with suppress(termios.error):  # after a hang-up the terminal is gone
        termios.tcsetattr(keyboard, termios.TCSADRAIN, settings)
