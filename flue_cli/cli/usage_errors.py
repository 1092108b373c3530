"""Typer's errors in plain sentences, with a hint."""

from __future__ import annotations

import re
from difflib import get_close_matches
from typing import TYPE_CHECKING

from flue_cli.cli.command_table import COMMANDS, GROUPS, subcommands
from flue_cli.errors import FlueError, UsageError

if TYPE_CHECKING:
    import typer

_SENTENCES = (
    (r"No such command '(.*?)'\..*", r"there is no command '\1'"),
    (r"No such option: (\S+).*", r"there is no option \1"),
    (r"Missing (?:argument|option) '(.*?)(?:\.\.\.)?'\..*", r"\1 is missing"),
    (r"Missing command\.", "there is no command"),
    (r"Got unexpected extra argument\(?s?\)? \((.*)\)", r"there is more than the command takes: \1"),
    (r"Option '(.*?)' requires an argument\.", r"\1 needs a value"),
    (r"Option '(.*?)' does not take a value\.", r"\1 takes no value"),
    (
        r"Invalid value for '(.*?)': (.*) is not a valid int(?:eger)?(?: range)?\.",
        r"\1 is a whole number, not \2",
    ),
    (r"Invalid value for '(.*?)': (.*) is not a valid float(?: range)?\.", r"\1 is a number, not \2"),
    (r"Invalid value for '(.*?)': (\S+) is not in the range x>=(\S+)\.", r"\1 is \3 or more, not \2"),
    (
        r"Invalid value for '(.*?)': (\S+) is not in the range (\S+?)<=x<=(\S+)\.",
        r"\1 is a number from \3 to \4, not \2",
    ),
)
"""Pattern of a message of Typer, and the sentence instead of it."""

_DASH_HINTS = {
    "flue chat": "a prompt that begins with '-' goes after '--'",
    "flue sessions resume": "a prompt that begins with '-' goes after '--'",
    "flue sessions set": "a value that begins with '-' goes after '--'",
}
"""Commands that take a text which may look like an option."""


def usage_error(error: typer.TyperException, argv: list[str]) -> UsageError:
    """Turn an error of Typer into a UsageError with a hint."""
    context = getattr(error, "ctx", None)
    known = context is None and argv and argv[0] in COMMANDS
    command = context.command_path if context else f"flue {argv[0]}" if known else "flue"
    message = error.format_message()
    hint = f"see: {command} --help"
    if getattr(error, "option_name", ""):
        hint = _option_hint(error, command, argv) or hint
    elif "unexpected extra argument" in message and command in ("flue chat", "flue sessions resume"):
        hint = "a prompt of several words needs quotes"
    elif unknown := re.match(r"No such command '(.*?)'\.", message):
        hint = _command_hint(command.removeprefix("flue").strip(), unknown[1]) or hint
    return UsageError(_plain_sentence(message), hint=hint)


def _plain_sentence(message: str) -> str:
    for pattern, sentence in _SENTENCES:
        if match := re.fullmatch(pattern, message, re.DOTALL):
            return match.expand(sentence)
    return message


def _option_hint(error: typer.TyperException, command: str, argv: list[str]) -> str:
    """Suggest what may be meant by an option that the command does not have; "" if it has the option."""
    if not error.format_message().startswith("No such option"):
        return ""
    possible = getattr(error, "possibilities", None) or ()
    near = get_close_matches(getattr(error, "option_name", ""), possible, n=1)
    hints = [f"did you mean {name}?" for name in near]
    if "--" not in argv and command in _DASH_HINTS:
        hints.append(f"({_DASH_HINTS[command]})" if near else _DASH_HINTS[command])
    return " ".join(hints)


def _command_hint(group: str, word: str) -> str:
    """Suggest what may be meant by `word`, which is no command of `group` ("": of flue itself)."""
    from flue_cli.agents.search_path import is_agent_path

    if group:
        near = [f"flue {group} {name}" for name in get_close_matches(word, subcommands(group), n=2)]
        if group == "agents" and word.replace("_", "-") in _agent_names():
            near = [f"flue agents show {word}"]
    elif is_agent_path(word):
        near = [f"flue chat {word}"]
    else:
        near = [f"flue {name}" for name in get_close_matches(word.lower(), COMMANDS, n=2)]
        near = near or [f"flue {other} {word}" for other in GROUPS if word in subcommands(other)]
        agents = [] if near else get_close_matches(word.lower().replace("_", "-"), _agent_names(), n=2)
        near = near or [f"flue chat {name}" for name in agents]
    return f"did you mean {' or '.join(near)}?" if near else ""


def _agent_names() -> list[str]:
    from flue_cli.agents.discovery import list_agents
    from flue_cli.cli.options import load_settings

    try:
        return [source.name for source in list_agents(load_settings())]
    except FlueError:  # such as a config file with a mistake, which is not what this error is about
        return []
