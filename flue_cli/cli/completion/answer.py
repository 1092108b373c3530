"""Answers to a shell that asks how a command line can go on.

A script from shell_scripts.py runs the command with the line in its arguments, and `_FLUE_COMPLETE` set to
the name of the shell. The first line of the answer is "values", followed by the values, or "files" or "dirs",
which the shell completes itself.

Typer parses the line and finds the values. Quoting is ours: Typer's own scripts insert names unquoted (in
bash, a session called `$(rm x)` would be run), drop quotation marks, and complete nothing after `--option=`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import typer

# Typer has no public name for its parser of unfinished lines; pyproject.toml bounds its version.
from typer._click.shell_completion import _resolve_context, _resolve_incomplete

from flue_cli.cli.command_table import root_command
from flue_cli.cli.completion.candidates import FILES, FOLDERS
from flue_cli.cli.completion.quoting import split
from flue_cli.errors import FlueError

ASKED = "_FLUE_COMPLETE"
"""The environment variable that asks for an answer, and names the shell."""

BREAKS = "_FLUE_BREAKS"
"""The environment variable with bash's COMP_WORDBREAKS."""


class Completion(NamedTuple):
    """A value that the typed word can become, and a description of it."""

    value: str
    description: str = ""


class CompletionResult(NamedTuple):
    """All completions of a word. `kind` is "values", or "files" or "dirs", which the shell finds itself."""

    kind: str
    completions: Sequence[Completion] = ()


def answer(argv: Sequence[str]) -> int:
    """Write the answer to standard output, an empty one after any error; return the exit code."""
    format_answer = _ANSWERS.get(os.environ[ASKED])
    if format_answer is None:
        return 2
    try:
        text = "".join(f"{line}\n" for line in format_answer(argv))
    except (FlueError, typer.TyperException):
        text = "values\n"  # a message would get between what is being typed
    try:
        os.write(1, text.encode("utf-8", "surrogateescape"))
    except OSError:
        return 74
    return 0


def complete(words: Sequence[str], typed: str) -> CompletionResult:
    """Complete `typed`, which follows `words`. Raises FlueError."""
    if not typed.isascii():
        from unicodedata import normalize

        typed = normalize("NFC", typed)  # as names are stored
    root, args = root_command(), [*words]
    context = _resolve_context(root, {}, "flue", args)
    target, incomplete = _resolve_incomplete(context, args, typed)
    if getattr(target, "param_type_name", "") == "option" and incomplete == typed:
        # Typer gives up a line that ends in an option without a value: other options would be unknown.
        context = _resolve_context(root, {}, "flue", [*words, typed])
    items = target.shell_complete(context, incomplete)
    if items and items[0].help in (FILES, FOLDERS):
        return CompletionResult(str(items[0].help))
    option, equals, _ = typed.partition("=")
    prefix = option + equals if equals and option.startswith("-") else ""
    return CompletionResult("values", [_completion(item, prefix) for item in items])


def _completion(item: Any, prefix: str) -> Completion:
    return Completion(prefix + item.value, (item.help or "").partition(". ")[0])


def _answer_bash(argv: Sequence[str]) -> list[str]:
    """Bash passes the line up to the cursor, and inserts the answer as it is: quoted here."""
    words, word = split(argv[0] if argv else "", os.environ.get(BREAKS, ""))
    result = complete(words[1:], word.text)
    return [result.kind, *(word.completed(completion.value) for completion in result.completions)]


def _answer_zsh(argv: Sequence[str]) -> list[str]:
    """Zsh passes words as they were typed. It takes `value:description`, and quotes the value itself."""
    result = _complete_last([_unquoted(word) for word in argv])
    return [
        result.kind,
        *(_described(completion, ":", _escape_candidate) for completion in result.completions),
    ]


def _answer_fish(argv: Sequence[str]) -> list[str]:
    """Fish passes words without their quotes, except the last. It takes a tab before the description."""
    result = _complete_last([*argv[:-1], *map(_unquoted, argv[-1:])])
    return [result.kind, *(_described(completion, "\t", str) for completion in result.completions)]


_ANSWERS: dict[str, Callable[[Sequence[str]], list[str]]] = {
    "bash": _answer_bash,
    "zsh": _answer_zsh,
    "fish": _answer_fish,
}


def _complete_last(argv: Sequence[str]) -> CompletionResult:
    return complete(argv[:-1], argv[-1] if argv else "")


def _unquoted(word: str) -> str:
    return split(word)[1].text


def _described(completion: Completion, separator: str, escape: Callable[[str], str]) -> str:
    description = separator + completion.description if completion.description else ""
    return escape(completion.value) + description


def _escape_candidate(value: str) -> str:
    return value.replace("\\", "\\\\").replace(":", "\\:")
