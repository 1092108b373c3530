"""The chat's slash commands: tables of functions whose docstrings are their help."""

from __future__ import annotations

from textwrap import dedent

from flue_cli.errors import FlueError, UsageError
from flue_cli.repl.slash import agents, data, export_copy_editor, markdown, sessions, status, timeline
from flue_cli.repl.slash.command_context import Chat, Command, Next, is_command, parts, show
from flue_cli.text import safe_line

__all__ = ["COMMANDS", "Chat", "Command", "Next", "summary", "what_to_do"]

_KEYS = """\
Enter sends, Alt-Enter or Ctrl-J adds a line, // sends a prompt with a slash.
Ctrl-C cancels a running turn or clears the line, Ctrl-D leaves.
@FILE sends a file along, Tab completes, Up and Ctrl-R find earlier prompts.
Ctrl-G opens your editor, Ctrl-O unfolds a long paste, F4 switches to vi."""


def what_to_do(line: str, chat: Chat) -> Next:
    """What a line asks for. A slash command is run; an unknown one is reported, never sent to the agent."""
    if not is_command(line):
        return Next(prompt=line[1:] if line.startswith("//") else line)
    name, argument = parts(line)
    try:
        return _command(name)(argument, chat) or Next()
    except FlueError as error:
        chat.output.error(error)
        return Next()


def help_(argument: str, chat: Chat) -> None:
    """Show what can be typed here, or all about one: /help [COMMAND]."""
    if argument:
        name = argument if argument.startswith("/") else f"/{argument}"
        first, _, rest = (_command(name).__doc__ or "").partition("\n")
        chat.output.result(f"{name}: {first}\n{dedent(rest).rstrip()}".rstrip())
        return
    lines = [f"{name:<10} {summary(name)}" for name in COMMANDS]
    show(chat, "\n".join([*lines, "", _KEYS]))


def exit_(argument: str, chat: Chat) -> Next:
    """Leave the chat."""
    return Next(leaves=True)


COMMANDS: dict[str, Command] = {
    "/help": help_,
    "/exit": exit_,
    "/quit": exit_,
    **sessions.COMMANDS,
    **agents.COMMANDS,
    **data.COMMANDS,
    **timeline.COMMANDS,
    **export_copy_editor.COMMANDS,
    **status.COMMANDS,
    **markdown.COMMANDS,
}
"""Slash command to function."""


def summary(name: str) -> str:
    """The help of a command in one line."""
    return (COMMANDS[name].__doc__ or "").partition("\n")[0]


def _command(name: str) -> Command:
    """The command called `name`; UsageError with what was perhaps meant."""
    command = COMMANDS.get(name)
    if command is None:
        from difflib import get_close_matches

        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "see /help; // sends a line that begins with a slash"
        raise UsageError(f"there is no command {safe_line(name)}", hint=hint)
    return command
