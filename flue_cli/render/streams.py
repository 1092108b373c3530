"""The process's two output streams, and who may write to which.

Results go to stdout: on a terminal made safe, anywhere else byte for byte. Everything else goes to
stderr, always made safe. While an agent may run, file descriptor 1 itself is stderr, so that neither
its prints nor the programs it starts can get between the results.
"""

from __future__ import annotations

import errno
import io
import os
import select
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import RLock
from typing import Any, TextIO, cast

from flue_cli.errors import FlueError, OutputClosed, OutputFailed, TurnCancelled
from flue_cli.render.cursor_line import CursorLine
from flue_cli.render.printed_text import PrintedText
from flue_cli.text import SafeStream, safe_line, safe_text

_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[22m"


class TerminalLock:
    """The lock of the terminal: one thread at a time writes at the cursor, and drawn lines make way.

    That is, `with room.lock: room.clear(); ...; room.draw()`, and nothing cleverer: an agent's thread may
    be stopped between any two instructions but in the `with` itself, and must not take the lock along.
    """

    def __init__(self) -> None:
        self.lock = RLock()
        self.cursor_line = CursorLine()
        self.clear_drawing()

    def register_drawing(self, clear: Callable[[], None], draw: Callable[[], None]) -> None:
        """From now on something is drawn here, which `clear` takes away and `draw` draws again."""
        self.clear, self.draw = clear, draw

    def clear_drawing(self) -> None:
        """Nothing is drawn here any more."""
        self.register_drawing(_no_drawing, _no_drawing)

    def keep_through_forks(self) -> None:
        """Have nobody write while a process is forked: the new one would never get the lock."""
        os.register_at_fork(
            before=self.lock.acquire, after_in_parent=self.lock.release, after_in_child=self._alone
        )

    def _alone(self) -> None:
        self.clear_drawing()  # what is drawn is the parent's
        self.lock.release()


def _no_drawing() -> None:
    """Nothing is drawn."""


class Output:
    """The streams for results and notices. `is_terminal`: stdout is a terminal."""

    def __init__(self, stdout: int = 1) -> None:
        """`stdout` is the file descriptor that results are written to."""
        had_stdout = _fill_closed_descriptors()
        self._file = stdout if had_stdout else -1
        self.is_terminal = had_stdout and os.isatty(stdout)
        self.notices_on_terminal = os.isatty(2)
        self.room = TerminalLock()
        self._stream = SafeStream()
        self._ends_line = False
        self._notice_stream: SafeWriter | None = None
        self._is_dim = False

    @property
    def stderr_stream(self) -> TextIO:
        """The stream for notices, even if an agent has replaced `sys.stderr`."""
        return cast("TextIO", self._notice_stream) or sys.stderr

    def result(self, text: str) -> None:
        """Write a whole result, ended by a newline if it lacks one.

        Raises OutputClosed when the reader has gone, OutputFailed when it cannot be written.
        """
        self.write(text)
        self.end_line()

    def write(self, text: str) -> None:
        """Write a part of a result at once; raises as `result`."""
        if text:
            self._ends_line = text.endswith("\n")
            self._write(self._stream.feed(text) if self.is_terminal else text)

    def end_line(self) -> None:
        """End a result with a newline if it lacks one; raises as `result`."""
        self._end_printed_line()
        held = self._stream.close()
        if held or not self._ends_line:
            self._write(held + "\n")
        self._ends_line = False

    def write_raw(self, text: str) -> None:
        """Write text whose foreign parts were made safe before it was coloured; raises as `result`."""
        self._write(text)

    @property
    def has_unicode(self) -> bool:
        """True if signs outside ASCII can be expected to show: the locale's encoding is UTF-8."""
        return self.stderr_stream.encoding.lower().replace("-", "") == "utf8"

    @property
    def can_draw(self) -> bool:
        """True if stderr is a terminal whose cursor can be moved."""
        return self.notices_on_terminal and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")

    def draw(self, text: str) -> None:
        """Write to stderr's terminal, as it is, text that moves the cursor there."""
        with suppress(OutputClosed, OutputFailed):  # as `note`
            self._put(2, text)

    @contextmanager
    def terminal_file(self) -> Iterator[TextIO]:
        """A file of its own on the same terminal, for what draws there itself."""
        screen = open(os.dup(self._file), "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - closed below
        try:
            yield screen
        finally:
            with suppress(OSError):  # the window was closed, and what it did not show is of no use
                screen.close()

    def dim_notices(self) -> None:
        """Show notices and agents' prints dim from here on, if stderr is a terminal that can."""
        self._is_dim = self.can_draw
        if self._notice_stream:
            self._notice_stream.is_dim = self._is_dim

    def note(self, text: str, *, lead: str = "") -> None:
        """Write a notice to stderr, on a line of its own; `lead` begins it, and stands out."""
        lead, text = safe_text(lead), safe_text(text)
        if self._is_dim:
            lead, text = f"{_BOLD}{lead}{_PLAIN}" if lead else "", dim(text)
        self.write_notice(f"{lead}{text}\n")

    def error(self, error: FlueError) -> None:
        """Write an error and its hint to stderr, a line each; a cancellation is only a notice."""
        if isinstance(error, TurnCancelled):
            self.note(error.message)
        else:
            self.write_notice(f"{self._red('error:')} {safe_line(error.sentence())}\n")
        if error.hint:
            self.write_notice(f"hint: {safe_line(error.hint)}\n")

    def write_notice(self, text: str) -> None:
        """Write to stderr text whose foreign parts were made safe before it was styled."""
        self._end_printed_line()
        stream = self._notice_stream
        with suppress(OSError):  # nobody to tell: what happens to the result decides
            if stream:
                stream.write_raw(text)
            else:
                sys.stderr.write(text)
            self.stderr_stream.flush()

    def _red(self, text: str) -> str:
        """Make `text` bold and red, or only bold where no colour is wanted."""
        if not self.can_draw:
            return text
        return f"\x1b[{'1' if os.environ.get('NO_COLOR') else '1;31'}m{text}\x1b[0m"

    def keep_from_agents(self) -> None:
        """From here on only `result` and `piece` reach stdout; prints and child processes get stderr."""
        if self._file >= 0:
            sys.stdout.flush()
            self._file = os.dup(self._file)
            os.dup2(2, 1)
        self.room.keep_through_forks()
        self._notice_stream = safe = SafeWriter(
            sys.stderr, self.room, can_draw=self.can_draw, is_dim=self._is_dim
        )
        for name in ("stdout", "stderr", "__stdout__", "__stderr__"):
            setattr(sys, name, safe)

    def _end_printed_line(self) -> None:
        """End a progress bar that an agent left."""
        if self._notice_stream:
            with suppress(OSError):  # as `note`
                self._notice_stream.end_line()

    def _write(self, text: str) -> None:
        self._end_printed_line()
        if self._file < 0:
            raise OutputFailed("the result cannot be written: standard output is closed")
        with self.room.lock:
            self.room.clear()
            self._put(self._file, text)
            if self.is_terminal:
                self.room.cursor_line.wrote(text)
            self.room.draw()

    def _put(self, file: int, text: str) -> None:
        left = memoryview(text.encode("utf-8", "backslashreplace"))
        try:
            while left:
                try:
                    left = left[os.write(file, left) :]
                except BlockingIOError:  # a pipe that our parent made non-blocking, and is full
                    select.select([], [file], [])
        except OSError as error:
            window_closed = error.errno == errno.EIO and self.is_terminal
            if window_closed or error.errno in (errno.EPIPE, errno.ECONNRESET):
                raise OutputClosed("nobody reads the result any more") from error
            raise OutputFailed(f"the result cannot be written: {error.strerror}") from error


class SafeWriter(io.TextIOBase):
    """A text stream that makes what is printed to it safe and hands it to another, in its `room`.

    It says that it is no terminal: most libraries then print neither colours nor moving lines.
    """

    def __init__(self, stream: TextIO, room: TerminalLock, *, can_draw: bool, is_dim: bool = False) -> None:
        self.is_dim = is_dim
        self._printed = PrintedText(can_draw=can_draw)
        self._stream = stream
        self._room = room
        self.buffer = _SafeBytes(self)

    def write(self, text: str) -> int:
        with self._room.lock:
            shown = self._printed.feed(text)
            self.write_raw(dim(shown) if self.is_dim else shown)
        return len(text)

    def write_raw(self, text: str) -> None:
        """Write text that is safe already."""
        with self._room.lock:
            self._room.clear()
            self._stream.write(text)
            self._room.cursor_line.wrote(text)
            if text.endswith("\n"):  # `print` writes a line and its end one after the other
                self._room.draw()

    def end_line(self) -> None:
        """End a line that was rewritten; what others write then is not erased by it."""
        if line := self._printed.end_line():
            with self._room.lock:
                self._room.clear()
                self._stream.write(line)
                self._stream.flush()
                self._room.cursor_line.wrote(line)

    def flush(self) -> None:
        with self._room.lock:
            self._room.clear()
            self._stream.flush()
            self._room.draw()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # type: ignore[override]  # a plain attribute there
        return self._stream.encoding

    def reconfigure(self, **settings: object) -> None:
        """Ignore the settings: programs that reconfigure their stdout change nothing here."""

    def isatty(self) -> bool:
        return False

    def fileno(self) -> int:
        return self._stream.fileno()


class _SafeBytes(io.RawIOBase):
    """The `buffer` of the stream that `print` writes to: bytes go the same way as text."""

    def __init__(self, writer: SafeWriter) -> None:
        self._writer = writer

    def write(self, data: Any) -> int:
        self._writer.write(bytes(data).decode(errors="backslashreplace"))
        return len(data)

    def flush(self) -> None:
        self._writer.flush()

    def writable(self) -> bool:
        return True


def dim(text: str) -> str:
    """Make safe text dim, except its last newline, so that the next line is not."""
    line = text.removesuffix("\n")
    return f"{_DIM}{line}{_PLAIN}{text[len(line) :]}" if line else text


def _fill_closed_descriptors() -> bool:
    """Put /dev/null where 0, 1 or 2 are closed; whether stdout was open.

    Else the next file opened (the store) would become "stdout", and prints would go into it.
    """
    had_stdout = True
    for descriptor in (0, 1, 2):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest free number: this one
            had_stdout = had_stdout and descriptor != 1
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115 - for the rest of the process
    if sys.stdout is None:
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115
    return had_stdout
