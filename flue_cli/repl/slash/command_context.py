"""What slash commands are made of: what they work with, what they ask for next, how numbers are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flue_cli.errors import UsageError
from flue_cli.render.streams import Output
from flue_cli.render.tables import page
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.terminal import usual_keyboard
from flue_cli.stores.records import Pause
from flue_cli.turns.cancellation import Cancellation, Cancelling


class Chat(NamedTuple):
    """What a command works with; `pause` is for whoever waits behind another process's turn.

    `cancellation` is what Ctrl-C asks; by `cancelling` something else is asked for a while.
    """

    conversation: Conversation
    output: Output
    pause: Pause
    cancellation: Cancellation
    cancelling: Cancelling


class Next(NamedTuple):
    """What the chat does after a line: leave, answer a prompt or only try it, put a draft into the line."""

    leaves: bool = False
    prompt: str = ""
    only_tried: bool = False
    draft: str = ""


Command = Callable[[str, Chat], Next | None]
"""`(argument, chat)`: what is to be done next; None: ask for the next line.

The first line of its docstring is its help, and says after a colon how it is typed.
"""


def is_command(line: str) -> bool:
    """Whether a line is a slash command, and no prompt; one with two slashes is a prompt with one."""
    return line.startswith("/") and not line.startswith("//")


def parts(line: str) -> tuple[str, str]:
    """A command's name and its argument, without the blanks and line breaks around them."""
    name, *rest = line.split(None, 1)
    return name, "".join(rest).rstrip()


def show(chat: Chat, what: Any) -> None:
    """Show what may be longer than the screen; a pager finds the keyboard as it expects it."""
    with usual_keyboard():
        page(chat.output, what)


def number(argument: str, command: str, what: str, *, default: int | None = None, least: int = 0) -> int:
    """The number that `argument` is, `default` if it is empty; UsageError that `command` takes `what`."""
    if not argument and default is not None:
        return default
    if not (argument.isascii() and argument.isdigit() and len(argument) < 10 and int(argument) >= least):
        raise UsageError(f"{command} takes {what}")
    return int(argument)


def no_argument(argument: str, command: str) -> None:
    """UsageError if `command` was given something that it does not take."""
    if argument:
        raise UsageError(f"{command} takes nothing more")
