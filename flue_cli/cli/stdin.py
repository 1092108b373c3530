"""Prompts from standard input: strict UTF-8, bounded, nothing lost silently."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Iterator

from flue_cli.errors import UsageError
from flue_cli.jsondata.strict import MAX_BYTES
from flue_cli.render.streams import Output

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


def read_prompt(argument: str | None, source: int, output: Output) -> str:
    """Return the prompt: the argument, standard input, or both with a blank line between.

    Raises UsageError for nothing at all, NUL, more than 16 MiB, and what is not UTF-8.
    """
    if argument is not None:
        _check_argument(argument)
    if os.isatty(source) and argument is not None:
        piped = ""
    else:
        if argument is not None:
            _say_if_silent(source, output)
        piped = _decode(_read_all(source), 0).removesuffix("\n")
    prompt = f"{argument}\n\n{piped}" if argument and piped else argument or piped
    if not prompt:
        raise UsageError("there is no prompt", hint="give one as an argument or on standard input")
    return prompt


def read_lines(source: int) -> Iterator[str]:
    """Yield every non-blank line of `source` as it comes. Raises UsageError as `read_prompt` does."""
    offset, pending, size = 0, [], 0  # pieces of a line that has not ended yet
    while True:
        chunk = _read_stream(source)
        pending.append(chunk)
        size += len(chunk)
        if chunk and b"\n" not in chunk:
            _check_size(size)
            continue
        *lines, rest = b"".join(pending).split(b"\n")
        for line in lines if chunk else [*lines, rest]:
            _check_size(len(line))
            text = _decode(line, offset).removesuffix("\r")
            offset += len(line) + 1
            if text.strip():
                yield text
        if not chunk:
            return
        pending, size = [rest], len(rest)


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
