"""Slash commands that choose how turns are shown."""

from __future__ import annotations

from flue_cli.errors import UsageError
from flue_cli.repl.slash.command_context import ChatContext, SlashCommand

_FORMATS = {"on": "markdown", "off": "text"}
_NOTICES = {"markdown": "replies are laid out as Markdown", "text": "replies are shown as they come"}


def set_markdown(argument: str, chat: ChatContext) -> None:
    """Lay replies out, or not.

    Usage: /markdown [on|off]
    Example: /markdown on

    Laid out, replies show headings, lists, tables and highlighted code. Only this chat's screen changes; what
    is stored stays as the agent gave it. Alone it says what holds now.
    """
    if argument and argument not in _FORMATS:
        raise UsageError("/markdown takes on or off")
    if argument:
        chat.conversation.reply_format_override = _FORMATS[argument]
    chat.output.note(_NOTICES[chat.conversation.reply_format])


def show_times(argument: str, chat: ChatContext) -> None:
    """Show times, or not.

    Usage: /times [on|off]
    Example: /times on

    With times, a line below each reply has the turn's number, the time and the duration. /history shows
    the times of earlier turns in any case. Only this chat's screen changes. Alone it says what holds now.
    """
    if argument and argument not in ("on", "off"):
        raise UsageError("/times takes on or off")
    if argument:
        chat.conversation.shows_times = argument == "on"
    chat.output.note(
        "times are shown below replies" if chat.conversation.shows_times else "times are not shown"
    )


COMMANDS: dict[str, SlashCommand] = {"/markdown": set_markdown, "/times": show_times}
"""Slash command to function."""
