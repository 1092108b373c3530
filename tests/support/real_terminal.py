"""A person at a terminal: a command in a pseudo-terminal, the keys they press, the screen they see."""

from __future__ import annotations

import os
import re
import select
import signal
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pexpect
import pyte

PATIENCE = 30.0
"""Seconds until a test stops believing that something will still happen."""

ENTER, ALT_ENTER, CTRL_C, CTRL_D, CTRL_J, CTRL_Z = "\r", "\x1b\r", "\x03", "\x04", "\n", "\x1a"
UP, RIGHT, TAB, CTRL_R, EDITOR = "\x1b[A", "\x1b[C", "\t", "\x12", "\x18\x05"
PASTE_BEGINS, PASTE_ENDS = "\x1b[200~", "\x1b[201~"
_MARK_PASTES = 2004 << 5  # pyte's way to keep a private mode


class Terminal:
    """A command that runs in a terminal of `rows` by `columns`.

    Nothing is read from it but while one of the waiting methods runs.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path,
        env: Mapping[str, str],
        rows: int = 24,
        columns: int = 80,
    ) -> None:
        self._screen = pyte.HistoryScreen(columns, rows, history=10_000)
        self._stream = pyte.ByteStream(self._screen)
        self.over = False
        """Whether the command has ended, as far as was seen."""
        self.raw = b""
        """All bytes that reached the terminal."""
        self._child: Any = pexpect.spawn(
            command[0],
            list(command[1:]),
            cwd=str(cwd),
            env={"PROMPT_TOOLKIT_NO_CPR": "1", **env},  # pyte does not answer where its cursor is
            dimensions=(rows, columns),
        )
        self._child.delaybeforesend = None

    def type(self, keys: str | bytes) -> None:
        """Press keys; the screen is kept up to date while they go in."""
        left = memoryview(keys.encode() if isinstance(keys, str) else keys)
        deadline = time.monotonic() + PATIENCE
        while left:
            assert time.monotonic() < deadline, f"nobody takes what is typed\n{self}"
            _, writable, _ = select.select([], [self._child.child_fd], [], 0.05)
            if writable:
                left = left[os.write(self._child.child_fd, left[:1024]) :]
            self._look(0)

    def paste(self, text: str) -> None:
        """Paste `text`, marked as such if the program asked for that, as terminals do."""
        marked = _MARK_PASTES in self._screen.mode
        self.type(PASTE_BEGINS + text + PASTE_ENDS if marked else text.replace("\n", "\r"))

    def say(self, text: str) -> None:
        """Wait for the prompt, type `text`, and send it once the screen shows it."""
        self.ready()
        self.type(text)
        self.until(lambda: self.typed.endswith(text[-10:]), f"{text!r} being typed")
        self.type(ENTER)

    def ready(self) -> None:
        """Wait until the chat asks for a prompt, with nothing typed yet."""
        self.until(lambda: self.typed == "> ", "an empty prompt")

    def wait_for(self, text: str) -> None:
        """Wait until the screen shows `text`, with or without the empty lines above prompts."""
        self.until(lambda: text in self.screen or text in re.sub(r"\n\n(?=>)", "\n", self.screen), repr(text))

    def until(self, happened: Callable[[], bool], what: str) -> None:
        """Wait until `happened()`, looking whenever the screen changes; `what` it is, for the failure."""
        deadline = time.monotonic() + PATIENCE
        while not happened():
            if self.over or time.monotonic() > deadline:
                why = "the command has ended" if self.over else f"{PATIENCE:g} s passed"
                raise AssertionError(f"waited for {what}, but {why}\n{self}")
            self._look(0.1)

    def ended(self) -> int:
        """Wait for the command's end; its exit code as a shell reports it."""
        self.until(lambda: self.over, "the end")
        self._child.wait()
        return self._code()

    @property
    def died_by(self) -> int | None:
        """The signal that ended the command; None if it ended by itself."""
        signum: int | None = self._child.signalstatus
        return signum

    def kill(self, signum: signal.Signals) -> None:
        """Send the command a signal."""
        os.kill(self._child.pid, signum)

    def resize(self, rows: int, columns: int) -> None:
        """Drag the terminal's corner."""
        self._screen.resize(rows, columns)
        self._child.setwinsize(rows, columns)

    def hang_up(self) -> int:
        """Close the terminal's window; the command's exit code."""
        self._child.ptyproc.fileobj.close()
        self._child.ptyproc.closed = self._child.closed = self.over = True
        deadline = time.monotonic() + PATIENCE
        while self._child.isalive():
            assert time.monotonic() < deadline, f"it outlives its terminal\n{self}"
            time.sleep(0.02)
        return self._code()

    def close(self) -> None:
        """Make an end of it, whatever still runs."""
        if self._child.isalive():
            self._child.kill(signal.SIGKILL)
            self._child.wait()
        self._child.ptyproc.delayafterclose = 0
        self._child.close(force=True)

    @property
    def lines(self) -> list[str]:
        """What the screen shows, line by line, without the blank rest of each and below."""
        lines = [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def screen(self) -> str:
        """What the screen shows, every line ended; one that reaches the edge is taken to go on in the next."""
        return _joined(self._screen.display)

    @property
    def everything(self) -> str:
        """The screen with all that was scrolled off its top, as `screen`."""
        width = range(self._screen.columns)
        above = ["".join(line[x].data for x in width) for line in self._screen.history.top]
        return _joined([*above, *self._screen.display])

    @property
    def typed(self) -> str:
        """The line with the cursor, up to the cursor."""
        cursor = self._screen.cursor
        return "".join(self._screen.buffer[cursor.y][x].data for x in range(cursor.x))

    def is_bold(self, text: str) -> bool:
        """Whether all of `text` is bold where the screen shows it first."""
        for y, line in enumerate(self._screen.display):
            x = line.find(text)
            if x >= 0:
                return all(self._screen.buffer[y][place].bold for place in range(x, x + len(text)))
        raise AssertionError(f"{text!r} is not there\n{self}")

    @property
    def settings(self) -> list[Any]:
        """The terminal's settings, as termios has them."""
        return termios.tcgetattr(self._child.child_fd)

    def _code(self) -> int:
        status: int | None = self._child.exitstatus
        return 128 + self._child.signalstatus if status is None else status

    def _look(self, seconds: float) -> None:
        """Take in some of what came, waiting for it so long.

        Not by pexpect, which takes a command that has ended for one that has nothing more to say.
        """
        if self.over or not select.select([self._child.child_fd], [], [], seconds)[0]:
            return
        try:
            came = os.read(self._child.child_fd, 4096)
        except OSError:  # how Linux says that nobody has the terminal open any more
            came = b""
        self.over = not came
        self.raw += came
        self._stream.feed(came)

    def __str__(self) -> str:
        frame = "-" * self._screen.columns
        return "\n".join([frame, *self.lines, frame])


class AnsweringTerminal(Terminal):
    """A terminal that says, when it is asked, where its cursor is, as real ones do: the chat draws a toolbar."""

    def __init__(self, *arguments: Any, env: Mapping[str, str], **settings: Any) -> None:
        super().__init__(*arguments, env={**env, "PROMPT_TOOLKIT_NO_CPR": ""}, **settings)
        assert hasattr(self._screen, "write_process_input")
        setattr(self._screen, "write_process_input", self._answer)  # noqa: B010 - of this screen only

    def _answer(self, data: str) -> None:
        os.write(self._child.child_fd, data.encode())


def untouched_settings() -> list[Any]:
    """The settings of a terminal that nobody changed."""
    master, slave = os.openpty()
    try:
        return termios.tcgetattr(slave)
    finally:
        os.close(master)
        os.close(slave)


def _joined(lines: Sequence[str]) -> str:
    text = "".join(line if line[-1] != " " else line.rstrip() + "\n" for line in lines)
    return text.rstrip("\n") + "\n"
