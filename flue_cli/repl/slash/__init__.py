"""The chat's slash commands: a table of functions whose docstrings are their help."""

from __future__ import annotations

from textwrap import dedent

from flue_cli.errors import FlueError, UsageError
from flue_cli.repl.failures import show_failure
from flue_cli.repl.slash import agents, data, export_copy_editor, markdown, sessions, status, timeline
from flue_cli.repl.slash.command_context import (
    ChatContext,
    NextAction,
    SlashCommand,
    is_command,
    show_paged,
    split_command,
)
from flue_cli.text import safe_line

__all__ = ["COMMANDS", "ChatContext", "NextAction", "SlashCommand", "help_summary", "run_line"]

_KEY_HELP = """\
Enter sends, Alt-Enter or Ctrl-J adds a line, // sends a prompt with a slash.
Ctrl-C cancels a running turn or clears the line, Ctrl-D leaves.
@FILE sends a file along, Tab completes, Up and Ctrl-R find earlier prompts.
Ctrl-G opens your editor, Ctrl-O unfolds a long paste, F4 switches to vi."""


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
    """List commands and keys, or explain a command: /help [COMMAND]."""
    if argument:
        name = argument if argument.startswith("/") else f"/{argument}"
        first, _, rest = (find_command(name).__doc__ or "").partition("\n")
        chat.output.result(f"{name}: {first}\n{dedent(rest).rstrip()}".rstrip())
        return
    lines = [f"{name:<10} {help_summary(name)}" for name in COMMANDS]
    show_paged(chat, "\n".join([*lines, "", _KEY_HELP]))


def exit_chat(argument: str, chat: ChatContext) -> NextAction:
    """Leave the chat."""
    return NextAction(exits=True)


COMMANDS: dict[str, SlashCommand] = {
    "/help": show_help,
    "/exit": exit_chat,
    "/quit": exit_chat,
    **sessions.COMMANDS,
    **agents.COMMANDS,
    **data.COMMANDS,
    **timeline.COMMANDS,
    **export_copy_editor.COMMANDS,
    **status.COMMANDS,
    **markdown.COMMANDS,
}
"""Slash command to function."""


def help_summary(name: str) -> str:
    """Return the help of a command in one line."""
    return (COMMANDS[name].__doc__ or "").partition("\n")[0]


def find_command(name: str) -> SlashCommand:
    """Find the command called `name`; UsageError, with a suggestion, if there is none."""
    command = COMMANDS.get(name)
    if command is None:
        from difflib import get_close_matches

        near = get_close_matches(name, COMMANDS, n=1)
        hint = f"did you mean {near[0]}?" if near else "see /help; // sends a line that begins with a slash"
        raise UsageError(f"there is no command {safe_line(name)}", hint=hint)
    return command
