"""The chat's slash commands: a table of functions whose docstrings are their help."""

from __future__ import annotations

import json
from collections.abc import Callable

from flue_cli.errors import FlueError, SessionExists, UsageError
from flue_cli.names import generated_name, session_name
from flue_cli.render.output import Output
from flue_cli.render.terminal import page, transcript
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.terminal import usual_keyboard
from flue_cli.stores.contract import ABSENT
from flue_cli.text import safe_line

Command = Callable[[str, Conversation, Output], bool]
"""`(argument, conversation, output)`: whether the chat goes on."""


def run_slash_command(text: str, conversation: Conversation, output: Output) -> bool:
    """Run the command that `text` names; an unknown one is reported, never sent to the agent."""
    name, _, argument = text.partition(" ")
    command = COMMANDS.get(name)
    try:
        if command is None:
            raise UsageError(f"there is no command {safe_line(name)}", hint=_near(name))
        return command(argument.strip(), conversation, output)
    except FlueError as error:
        output.error(error)
        return True


def help_(argument: str, conversation: Conversation, output: Output) -> bool:
    """Show what can be typed here."""
    lines = [f"{name:<10} {function.__doc__}" for name, function in COMMANDS.items()]
    keys = (
        "Enter sends, Alt-Enter or Ctrl-J adds a line, // sends a line that begins with a slash.",
        "Ctrl-C cancels a running turn or clears the line, Ctrl-D leaves.",
    )
    output.result("\n".join([*lines, "", *keys]))
    return True


def exit_(argument: str, conversation: Conversation, output: Output) -> bool:
    """Leave the chat."""
    return False


def new(argument: str, conversation: Conversation, output: Output) -> bool:
    """Begin another session: /new [NAME]."""
    name = session_name(argument) if argument else generated_name()
    if conversation.store.head(conversation.agent.name, name).uid != ABSENT:
        raise SessionExists(f"session '{name}' exists already")
    conversation.switch(name, "new")
    output.note(f"new session {name}")
    return True


def history(argument: str, conversation: Conversation, output: Output) -> bool:
    """Show the newest turns of this session: /history [N]."""
    if argument and not (argument.isascii() and argument.isdigit()):
        raise UsageError("/history takes a number of turns")
    turns = [*conversation.last_turns(int(argument) if argument else 10), *conversation.unanswered()]
    if turns:
        with usual_keyboard():
            page(output, transcript(turns))
    else:
        output.note("nothing has been said yet")
    return True


def data(argument: str, conversation: Conversation, output: Output) -> bool:
    """Show the session's data."""
    head = conversation.head()
    output.result(json.dumps(json.loads(conversation.store.data_at(head, head.turn)), indent=2))
    return True


COMMANDS: dict[str, Command] = {
    "/help": help_,
    "/exit": exit_,
    "/quit": exit_,
    "/new": new,
    "/history": history,
    "/data": data,
}
"""Slash command to function."""


def _near(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    return f"did you mean {near[0]}?" if near else "see /help; // sends a line that begins with a slash"
