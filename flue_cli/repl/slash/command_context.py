"""Parts that slash commands share: their context, the next action, and parsing of arguments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from flue_cli.errors import UsageError
from flue_cli.render.streams import Output
from flue_cli.render.tables import show_paged_renderable
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.terminal import cooked_mode
from flue_cli.stores.records import Pause
from flue_cli.turns.cancellation import Cancellation, SignalRoute


class ChatContext(NamedTuple):
    """The context of a slash command; `pause` waits behind another process's turn.

    Ctrl-C and signals request `cancellation`; `cancelling` routes them to something else for a while.
    """

    conversation: Conversation
    output: Output
    pause: Pause
    cancellation: Cancellation
    cancelling: SignalRoute


class NextAction(NamedTuple):
    """The chat's next action after a line: leave, run a prompt or dry run, or put a draft into the line."""

    exits: bool = False
    prompt: str = ""
    is_dry_run: bool = False
    draft: str = ""


SlashCommand = Callable[[str, ChatContext], NextAction | None]
"""`(argument, chat)` to the next action; None reads the next line.

Its docstring is its help; see command_help.
"""


def is_command(line: str) -> bool:
    """True if a line is a slash command; `//` begins a prompt with a literal slash."""
    return line.startswith("/") and not line.startswith("//")


def split_command(line: str) -> tuple[str, str]:
    """Split a line into the command's name and its argument, without white space around them."""
    name, *rest = line.split(None, 1)
    return name, "".join(rest).rstrip()


def show_paged(chat: ChatContext, renderable: Any) -> None:
    """Show a text or table, in the pager if it is longer than the screen."""
    with cooked_mode():
        show_paged_renderable(chat.output, renderable)


def parse_number(
    argument: str, command: str, expected: str, *, default: int | None = None, minimum: int = 0
) -> int:
    """Parse `argument` as a number, `default` if it is empty. UsageError says what `command` expects."""
    if not argument and default is not None:
        return default
    if not (argument.isascii() and argument.isdigit() and len(argument) < 10 and int(argument) >= minimum):
        raise UsageError(f"{command} takes {expected}")
    return int(argument)


def refuse_argument(argument: str, command: str) -> None:
    """Raise UsageError if `command`, which takes no argument, was given one."""
    if argument:
        raise UsageError(f"{command} takes no argument")
