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
from flue_cli.repl.slash import COMMANDS, command_help
from flue_cli.repl.slash.command_context import is_command
from flue_cli.text import safe_line

_MAX_SUGGESTIONS = 50
"""Largest number of suggestions offered at once."""

_MAX_SESSIONS = 1_000
"""Number of newest sessions that are searched for suggestions."""


class Suggestion(NamedTuple):
    """A text to replace the typed one, its description, and what the menu shows if not the text."""

    text: str
    description: str = ""
    label: str = ""


SuggestFunction = Callable[[str, Conversation], Iterable[Suggestion]]
"""`(argument, conversation)` to the suggestions for the argument."""


class ChatCompleter(Completer):
    """Completes a line of the chat."""

    def __init__(self, conversation: Conversation) -> None:
        self._conversation = conversation

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """Yield the completions of the text before the cursor."""
        typed = document.text_before_cursor
        replaced, candidates = self._suggestions(typed)
        try:
            for text, description, label in islice(candidates, _MAX_SUGGESTIONS):
                yield Completion(
                    text,
                    start_position=-len(replaced),
                    display=safe_line(label or text),
                    display_meta=safe_line(description),
                )
        except (FlueError, OSError):
            return  # an error is reported when the command runs, not while it is typed

    def _suggestions(self, typed: str) -> tuple[str, Iterable[Suggestion]]:
        """Return the end of the typed text that is replaced, and its suggestions."""
        name, blank, argument = typed.partition(" ")
        if is_command(typed):
            if not blank:
                return typed, _suggest_commands(typed)
            if name in COMMANDS and name in ARGUMENT_SUGGESTIONS:
                argument = argument.lstrip(" ")
                return argument, ARGUMENT_SUGGESTIONS[name](argument, self._conversation)
            if name not in COMMANDS_WITH_MENTIONS:
                return "", ()
        mention = re.search(r'(?<!\S)@("[^"\n]*|[^\s"]*)$', typed)
        return (mention[1], map(Suggestion, matching_mentions(mention[1]))) if mention else ("", ())


def _suggest_commands(typed: str) -> Iterator[Suggestion]:
    for name in COMMANDS:
        if name.startswith(typed):
            command = command_help(name)
            usage = next((usage for usage in command.usages if usage.startswith(name)), name)
            yield Suggestion(name, command.summary, usage)


def _suggest_command_argument(argument: str, conversation: Conversation) -> Iterator[Suggestion]:
    return _suggest_commands(argument if argument.startswith("/") else f"/{argument}")


def _suggest_agents(argument: str, conversation: Conversation) -> Iterator[Suggestion]:
    argument = argument.replace("_", "-")
    for source in conversation.agent_loader.list_sources():
        if source.name.startswith(argument) and source.name != conversation.agent.name:
            yield Suggestion(source.name)


def _suggest_sessions(argument: str, conversation: Conversation) -> Iterator[Suggestion]:
    """Suggest sessions of this agent by their names, then those of others as AGENT/NAME."""
    agent, argument = conversation.agent.name, normalize("NFC", argument)
    sessions = conversation.store.sessions(limit=_MAX_SESSIONS)
    for session in sorted(sessions, key=lambda session: session.agent != agent):  # stable: newest first
        text = session.name if session.agent == agent else f"{session.agent}/{session.name}"
        if text.startswith(argument) and (session.agent, session.name) != (agent, conversation.name):
            yield Suggestion(text, session.preview)


def _suggest_data(argument: str, conversation: Conversation) -> Iterator[Suggestion]:
    verb, blank, rest = argument.partition(" ")
    if blank and verb in ("set", "unset"):
        for path in _suggest_data_paths(rest.lstrip(" "), conversation):
            yield path._replace(text=f"{verb} {path.text}")
        return
    for text, description in (("set ", "PATH VALUE"), ("unset ", "PATH"), ("edit", "in the editor")):
        if text.startswith(argument):
            yield Suggestion(text, description)
    yield from _suggest_data_paths(argument, conversation)


def _suggest_data_paths(typed: str, conversation: Conversation) -> Iterator[Suggestion]:
    """Suggest the next step of a path into the data, whose last step may be half typed."""
    match = re.fullmatch(r"(.*?)(\.?[\w-]*|\[[^\]]*)", typed, re.DOTALL)
    parent, last = (match[1], match[2]) if match else (typed, "")
    value: Any = data_path.get_value(json.loads(conversation.data()), data_path.parse_path(parent))
    keys: Iterable[str | int] = value if isinstance(value, dict) else ()
    if isinstance(value, list):
        keys = range(len(value))
    for key in keys:
        step = data_path.format_step(key) if parent else data_path.format_path((key,))
        if step.startswith(last):
            yield Suggestion(parent + step, data_path.describe_kind(value[key]))


def _suggest_files(argument: str, conversation: Conversation) -> Iterator[Suggestion]:
    return map(Suggestion, matching_paths(argument))


ARGUMENT_SUGGESTIONS: Mapping[str, SuggestFunction] = {
    "/help": _suggest_command_argument,
    "/agent": _suggest_agents,
    "/resume": _suggest_sessions,
    "/data": _suggest_data,
    "/export": _suggest_files,
}
"""Slash command to the suggestions for its argument."""

COMMANDS_WITH_MENTIONS = ("/try", "/editor")
"""Commands whose argument is a prompt, in which `@` mentions files."""


def matching_paths(typed: str) -> Iterator[str]:
    """Yield the paths that begin with `typed`, sorted by name; a folder ends in a slash.

    Hidden files are included only if the typed name begins with a dot. Raises OSError.
    """
    folder, slash, start = typed.rpartition("/")
    parent = os.path.expanduser(folder + slash) or "."
    with os.scandir(parent) as entries:
        matches = sorted(
            (entry.name, entry.is_dir())
            for entry in entries
            if entry.name.startswith(start) and (start.startswith(".") or not entry.name.startswith("."))
        )
    for name, is_folder in matches:
        if safe_line(name) == name:  # another name would not be shown as it is
            yield f"{folder}{slash}{name}{'/' if is_folder else ''}"


def matching_mentions(typed: str) -> Iterator[str]:
    """Yield the paths that may follow an `@`, in quotes if they contain blanks."""
    for path in matching_paths(typed.removeprefix('"')):
        if '"' in path:
            continue
        if typed.startswith('"') or any(character.isspace() for character in path):
            yield f'"{path}' if path.endswith("/") else f'"{path}"'  # a folder's path goes on
        else:
            yield path
