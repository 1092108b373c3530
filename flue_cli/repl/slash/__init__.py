"""The chat's slash commands: a table of functions whose docstrings are their help."""

from __future__ import annotations

import shutil

from flue_cli.errors import FlueError, UsageError
from flue_cli.render.tables import show_paged_text, style_pieces
from flue_cli.repl.failures import show_failure
from flue_cli.repl.slash import agents, data, display, export_copy_editor, sessions, status, timeline
from flue_cli.repl.slash.command_context import (
    ChatContext,
    NextAction,
    SlashCommand,
    is_command,
    split_command,
)
from flue_cli.repl.slash.command_help import (
    CommandHelp,
    format_command_help,
    format_command_list,
    parse_help,
)
from flue_cli.repl.terminal import cooked_mode
from flue_cli.text import safe_line

__all__ = [
    "COMMANDS",
    "ChatContext",
    "NextAction",
    "SlashCommand",
    "command_help",
    "help_summary",
    "run_line",
]

_KEY_HELP = """\
Enter sends, Alt-Enter or Ctrl-J adds a line, Tab completes, @FILE sends a file.
Ctrl-C cancels a turn or clears the line, Ctrl-D leaves, // sends a slash."""


def run_line(line: str, chat: ChatContext) -> NextAction:
    """Run the slash command in `line`, or return the line as a prompt. Errors are shown.

    An unknown command is an error and never sent to the agent.
    """
    if not is_command(line):
        return NextAction(prompt=line[1:] if line.startswith("//") else line)
    name, argument = split_command(line)
    try:
        return find_command(name)(argument, chat) or NextAction()
    except FlueError as error:
        show_failure(error, chat.conversation, chat.output)
        return NextAction()


def show_help(argument: str, chat: ChatContext) -> None:
    """List commands, explain one.

    Usage: /help [COMMAND]
    Example: /help undo
    """
    columns = shutil.get_terminal_size().columns
    if argument:
        name = argument if argument.startswith("/") else f"/{argument}"
        find_command(name)
        chat.output.result(format_command_help(command_help(name), columns))
        return
    summaries = {
        heading: {name: help_summary(name) for name in commands} for heading, commands in GROUPS.items()
    }
    with cooked_mode():
        show_paged_text(
            chat.output, style_pieces([*format_command_list(summaries, columns), (_KEY_HELP, "")]) + "\n"
        )


def exit_chat(argument: str, chat: ChatContext) -> NextAction:
    """Leave the chat.

    Usage: /exit
    Usage: /quit

    The session is kept; the chat prints the command that resumes it. Ctrl-D does the same.
    """
    return NextAction(exits=True)


GROUPS: dict[str, dict[str, SlashCommand]] = {
    "Timeline": timeline.COMMANDS,
    "Sessions": sessions.COMMANDS,
    "Agent and data": {**agents.COMMANDS, **data.COMMANDS, **status.COMMANDS},
    "Text": export_copy_editor.COMMANDS,
    "Chat": {**display.COMMANDS, "/help": show_help, "/exit": exit_chat},
}
"""Heading in /help to its commands."""

COMMANDS: dict[str, SlashCommand] = {
    **{name: command for commands in GROUPS.values() for name, command in commands.items()},
    "/quit": exit_chat,
}
"""Slash command to function."""


def command_help(name: str) -> CommandHelp:
    """Parse the help of a command."""
    return parse_help(COMMANDS[name], name)


def help_summary(name: str) -> str:
    """Return the help of a command in one short sentence."""
    return command_help(name).summary


def find_command(name: str) -> SlashCommand:
    """Find the command called `name`; UsageError, with a suggestion, if there is none."""
    command = COMMANDS.get(name)
    if command is None:
        from difflib import get_close_matches

        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "see /help; // sends a line that begins with a slash"
        raise UsageError(f"there is no command {safe_line(name)}", hint=hint)
    return command
