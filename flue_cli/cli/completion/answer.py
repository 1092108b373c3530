"""Answering a shell that asks how a command line could go on.

The shell's part is in shells.py. It starts the command with the line in its arguments, and `_FLUE_COMPLETE`
set to its name. The answer's first line says what follows: "values", or "files" or "dirs", which the shell
finds itself.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import typer

from flue_cli.cli.completion.candidates import Candidate, Found, found
from flue_cli.cli.completion.quoting import split
from flue_cli.errors import FlueError

ASKED = "_FLUE_COMPLETE"
"""The environment variable that asks for an answer, and in which shell's form."""

BREAKS = "_FLUE_BREAKS"
"""Bash's COMP_WORDBREAKS."""


def answer(argv: Sequence[str]) -> int:
    """Write the answer to standard output; whatever cannot be read completes to nothing. The exit code."""
    lines = _LINES.get(os.environ[ASKED])
    if lines is None:
        return 2
    try:
        text = "".join(f"{line}\n" for line in lines(argv))
    except (FlueError, typer.TyperException):
        text = "values\n"  # it would only get between what is being typed
    try:
        os.write(1, text.encode("utf-8", "surrogateescape"))
    except OSError:
        return 74
    return 0


def _for_bash(argv: Sequence[str]) -> list[str]:
    """Bash hands over the line up to the cursor, and inserts what it gets as it is: quoted here."""
    words, word = split(argv[0] if argv else "", os.environ.get(BREAKS, ""))
    there = found(words[1:], word.text)
    return [there.kind, *(word.completed(one.value) for one in there.candidates)]


def _for_zsh(argv: Sequence[str]) -> list[str]:
    """Zsh hands over words as they were typed; it takes `value:remark`, and quotes the value itself."""
    there = _found([_unquoted(word) for word in argv])
    return [there.kind, *(_remarked(one, ":", _escaped) for one in there.candidates)]


def _for_fish(argv: Sequence[str]) -> list[str]:
    """Fish hands over words without their quotes, but for the last; it takes a tab before the remark."""
    there = _found([*argv[:-1], *map(_unquoted, argv[-1:])])
    return [there.kind, *(_remarked(one, "\t", str) for one in there.candidates)]


_LINES: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "bash": _for_bash,
    "zsh": _for_zsh,
    "fish": _for_fish,
}


def _found(argv: Sequence[str]) -> Found:
    return found(argv[:-1], argv[-1] if argv else "")


def _unquoted(word: str) -> str:
    return split(word)[1].text


def _remarked(one: Candidate, between: str, spelt: Callable[[str], str]) -> str:
    return spelt(one.value) + (between + one.remark if one.remark else "")


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace(":", "\\:")
