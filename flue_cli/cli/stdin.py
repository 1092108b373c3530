"""Prompts from standard input: strict UTF-8, bounded, nothing lost silently."""

from __future__ import annotations

import os
import select
import sys
from collections import deque
from collections.abc import Iterator
from typing import NamedTuple

from flue_cli.errors import UsageError
from flue_cli.jsondata.strict import MAX_BYTES
from flue_cli.render.streams import Output
from flue_cli.text import format_bytes

_BOM = b"\xef\xbb\xbf"
_CHUNK = 65536
_PATIENCE = 2.0
"""Seconds of silence before a notice that we wait for standard input."""


def is_terminal() -> bool:
    """True if standard input is a terminal."""
    return os.isatty(0)


def keep_from_agents() -> int:
    """Return the descriptor to read prompts from; give agents, and programs they start, an empty input.

    A terminal stays, because a person can answer an agent's question there.
    """
    if is_terminal():
        return 0
    own = os.dup(0)
    empty = os.open(os.devnull, os.O_RDONLY)
    os.dup2(empty, 0)
    os.close(empty)
    return own


def read_prompt(argument: str | None, source: int, output: Output, *, no_stdin: bool = False) -> str:
    """Return the prompt: the argument, standard input, or both with a blank line between.

    With `no_stdin` it is the argument alone. Raises UsageError for nothing at all, NUL, more than 16 MiB,
    and what is not UTF-8.
    """
    if argument is not None:
        _check_argument(argument)
    piped = ""
    if argument is None or not (no_stdin or os.isatty(source)):
        if argument is not None:
            _say_if_silent(source, output)
        content = _read_all(source)
        piped = _decode(content, 0).removesuffix("\n")
        if argument and piped and output.notices_on_terminal:  # it may be the list of a shell's loop
            size = format_bytes(len(content))
            output.note(f"added {size} of standard input to the prompt (-n leaves standard input alone)")
    prompt = f"{argument}\n\n{piped}" if argument and piped else argument or piped
    if not prompt:
        raise UsageError("there is no prompt", hint="give one as an argument or on standard input")
    return prompt


class InputLine(NamedTuple):
    """A line of standard input: its number, from 1, its place in bytes, and its bytes without the newline."""

    number: int
    offset: int
    content: bytes

    def text(self) -> str:
        """Return the line as text. Raises UsageError for NUL, more than 16 MiB, and what is not UTF-8."""
        _check_size(len(self.content))
        return _decode(self.content, self.offset).removesuffix("\r")

    def is_blank(self) -> bool:
        """True if there is nothing to see on the line."""
        return not self.content.decode(errors="replace").removeprefix("\ufeff").strip()


class LineInput:
    """The lines of standard input, as they come; blank ones are left out."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._count = self._offset = 0
        self._lines: deque[InputLine] = deque()  # read, and not given yet
        self._pieces: list[bytes] = []  # of a line that has not ended yet
        self._ended = False

    def __iter__(self) -> Iterator[InputLine]:
        """Yield line after line. Raises UsageError if one is too long to be read, or reading fails."""
        while self._lines or not self._ended:
            if not self._lines:
                self._read()
            elif not (line := self._lines.popleft()).is_blank():
                yield line

    def count_rest(self) -> int | None:
        """Count the lines that were not given yet; None if the other end of a pipe may still write more."""
        while not self._ended and select.select([self._source], [], [], 0)[0]:
            self._read()
        return sum(not line.is_blank() for line in self._lines) if self._ended else None

    def _read(self) -> None:
        chunk = _read_stream(self._source)
        self._pieces.append(chunk)
        if chunk and b"\n" not in chunk:
            _check_size(sum(map(len, self._pieces)))
            return
        *lines, rest = b"".join(self._pieces).split(b"\n")
        self._pieces, self._ended = [rest], not chunk
        for content in lines if chunk else [*lines, rest]:
            self._count += 1
            self._lines.append(InputLine(self._count, self._offset, content))
            self._offset += len(content) + 1


def ask(question: str) -> str:
    """Ask a question on stderr and return a line of standard input. Raises UsageError if there is none."""
    sys.stderr.write(question)
    sys.stderr.flush()
    answer = os.read(0, 4096)
    if not answer:
        sys.stderr.write("\n")
        raise UsageError("nobody answered")
    return answer.decode(errors="replace").partition("\n")[0].strip()


def confirm(question: str) -> bool:
    """Ask on stderr, read the answer from standard input; UsageError, which names --yes, if there is none."""
    try:
        return agrees(question)
    except UsageError as error:
        raise UsageError(
            "nothing was deleted: " + error.message, hint="to delete without asking: --yes"
        ) from error


def agrees(question: str) -> bool:
    """Ask a question on stderr; True if the answer is yes. Raises UsageError if there is no answer."""
    return ask(f"{question} [y/N] ").lower() in ("y", "yes")


def _read_all(source: int) -> bytes:
    chunks: list[bytes] = []
    size = 0
    while chunk := _read_stream(source):
        size += len(chunk)
        _check_size(size)
        chunks.append(chunk)
    return b"".join(chunks)


def _read_stream(source: int) -> bytes:
    while True:
        try:
            return os.read(source, _CHUNK)
        except BlockingIOError:  # a pipe that our parent made non-blocking, and is empty
            select.select([source], [], [])
        except OSError as error:
            raise UsageError(f"standard input cannot be read: {error.strerror}") from error


def _check_size(size: int) -> None:
    if size > MAX_BYTES:
        raise UsageError(
            f"standard input has more than {MAX_BYTES // 2**20} MiB", hint="a prompt must be smaller"
        )


def _decode(data: bytes, offset: int) -> str:
    """Decode `data`, which began at byte `offset` of the input, to text with bare newlines."""
    if not offset and data.startswith(_BOM):
        data = data[len(_BOM) :]
        offset = len(_BOM)
    try:
        text = data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"standard input is not UTF-8 at byte {offset + error.start}") from error
    if "\0" in text:
        raise UsageError(f"standard input has a NUL at byte {offset + data.index(0)}")
    return text.replace("\r\n", "\n")


def _check_argument(argument: str) -> None:
    try:
        argument.encode()
    except UnicodeEncodeError:
        raise UsageError("the prompt is not UTF-8") from None


def _say_if_silent(source: int, output: Output) -> None:
    ready, _, _ = select.select([source], [], [], _PATIENCE)
    if not ready:
        output.note("waiting for standard input (run with < /dev/null if there is none)")
