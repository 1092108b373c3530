"""Completion in the chat: commands, their arguments, and files after `@`."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from typing import Any, NamedTuple
from unicodedata import normalize

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from flue_cli.errors import FlueError
from flue_cli.jsondata import path as data_path
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.slash import COMMANDS, help_summary
from flue_cli.repl.slash.command_context import is_command
from flue_cli.text import safe_line

_MAX_SUGGESTIONS = 50
"""Most suggestions offered at once."""

_MAX_SESSIONS = 1_000
"""Among how many sessions, the newest ones, is looked."""

_MAX_DESCRIPTION_CHARACTERS = 40


class Suggestion(NamedTuple):
    """A text that may replace what was typed, and a description of it."""

    text: str
    description: str = ""


SuggestFunction = Callable[[str, Conversation], Iterable[Suggestion]]
"""`(argument, conversation)`: what the argument may become."""


class ChatCompleter(Completer):
    """Completes a line of the chat."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Yield the completions of the text before the cursor."""
        typed = document.text_before_cursor
        replaced, candidates = self._suggestions(typed)
        try:
            for text, about in islice(candidates, _MAX_SUGGESTIONS):
                yield Completion(
                    text,
                    start_position=-len(replaced),
                    display=safe_line(text),
                    display_meta=safe_line(about)[:_MAX_DESCRIPTION_CHARACTERS],
                )
        except (FlueError, OSError):
            return  # nothing to offer; what is wrong is said when something is done

    def _suggestions(self, typed: str) -> tuple[str, Iterable[Suggestion]]:
        """Give the end of the typed text that is replaced, and its suggestions."""
        name, blank, argument = typed.partition(" ")
        if is_command(typed):
            if not blank:
                return typed, _suggest_commands(typed)
            if name in COMMANDS and name in ARGUMENT_SUGGESTIONS:
                argument = argument.lstrip(" ")
                return argument, ARGUMENT_SUGGESTIONS[name](argument, self._conversation)
            if name not in COMMANDS_WITH_MENTIONS:
                return "", ()
        naming = re.search(r'(?<!\S)@("[^"\n]*|[^\s"]*)$', typed)
        return (naming[1], map(Suggestion, matching_mentions(naming[1]))) if naming else ("", ())


def _suggest_commands(typed: str) -> Iterator[Suggestion]:
    return (Suggestion(name, help_summary(name)) for name in COMMANDS if name.startswith(typed))


def _suggest_command_argument(argument: str, conversation: Conversation) -> Iterator[Suggestion]:
    return _suggest_commands(argument if argument.startswith("/") else f"/{argument}")


def _suggest_agents(argument: str, conversation: Conversation) -> Iterator[Suggestion]:
    argument = argument.replace("_", "-")
    for source in conversation.agent_loader.list_sources():
        if source.name.startswith(argument) and source.name != conversation.agent.name:
            yield Suggestion(source.name)


def _suggest_sessions(argument: str, conversation: Conversation) -> Iterator[Suggestion]:
    """Of this agent by their names, then of others as AGENT/NAME."""
    ours, argument = conversation.agent.name, normalize("NFC", argument)
    found = conversation.store.sessions(limit=_MAX_SESSIONS)
    for session in sorted(found, key=lambda one: one.agent != ours):  # of each the newest first
        text = session.name if session.agent == ours else f"{session.agent}/{session.name}"
        if text.startswith(argument) and (session.agent, session.name) != (ours, conversation.name):
            yield Suggestion(text, session.preview)


def _suggest_data(argument: str, conversation: Conversation) -> Iterator[Suggestion]:
    what, blank, rest = argument.partition(" ")
    if blank and what in ("set", "unset"):
        for path, about in _suggest_data_paths(rest.lstrip(" "), conversation):
            yield Suggestion(f"{what} {path}", about)
        return
    for text, about in (("set ", "PATH VALUE"), ("unset ", "PATH"), ("edit", "in the editor")):
        if text.startswith(argument):
            yield Suggestion(text, about)
    yield from _suggest_data_paths(argument, conversation)


def _suggest_data_paths(typed: str, conversation: Conversation) -> Iterator[Suggestion]:
    """The next step of a path into the data, whose last step may be half typed."""
    found = re.fullmatch(r"(.*?)(\.?[\w-]*|\[[^\]]*)", typed, re.DOTALL)
    head, last = (found[1], found[2]) if found else (typed, "")
    value: Any = data_path.get_value(json.loads(conversation.data()), data_path.parse_path(head))
    steps: Iterable[str | int] = value if isinstance(value, dict) else ()
    if isinstance(value, list):
        steps = range(len(value))
    for one in steps:
        step = data_path.format_step(one) if head else data_path.format_path((one,))
        if step.startswith(last):
            yield Suggestion(head + step, data_path.describe_kind(value[one]))


def _suggest_files(argument: str, conversation: Conversation) -> Iterator[Suggestion]:
    return map(Suggestion, matching_paths(argument))


ARGUMENT_SUGGESTIONS: Mapping[str, SuggestFunction] = {
    "/help": _suggest_command_argument,
    "/agent": _suggest_agents,
    "/resume": _suggest_sessions,
    "/data": _suggest_data,
    "/export": _suggest_files,
}
"""Slash command to what it takes."""

COMMANDS_WITH_MENTIONS = ("/try", "/editor")
"""Commands whose argument is a prompt."""


def matching_paths(typed: str) -> Iterator[str]:
    """The files, and the folders with a slash, whose paths begin with `typed`, in order of their names.

    Hidden ones only for a name that begins with a dot. Raises OSError.
    """
    folder, slash, start = typed.rpartition("/")
    above = os.path.expanduser(folder + slash) or "."
    with os.scandir(above) as entries:
        found = sorted(
            (entry.name, entry.is_dir())
            for entry in entries
            if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith("."))
        )
    for name, is_folder in found:
        if safe_line(name) == name:  # else it could not be told what would be named
            yield f"{folder}{slash}{name}{'/' if is_folder else ''}"


def matching_mentions(typed: str) -> Iterator[str]:
    """The same for what stands behind an `@`: with quotes around a path that has blanks."""
    for path in matching_paths(typed.removeprefix('"')):
        if '"' in path:
            continue
        if typed.startswith('"') or any(character.isspace() for character in path):
            yield f'"{path}' if path.endswith("/") else f'"{path}"'
        else:
            yield path
