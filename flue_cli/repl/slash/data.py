"""The slash command that shows a session's data, and changes it."""

from __future__ import annotations

import json

from flue_cli.repl.slash.command_context import ChatContext, SlashCommand, show_paged
from flue_cli.repl.terminal import cooked_mode
from flue_cli.turns.result import parse_data


def data_command(argument: str, chat: ChatContext) -> None:
    """Show or edit the data.

    Usage: /data
    Usage: /data PATH
    Usage: /data set PATH VALUE
    Usage: /data unset PATH
    Usage: /data edit
    Example: /data tasks[0].title
    Example: /data set tasks[0].title "Buy milk"

    Alone it shows the data as a tree, with the changes of the last turn; PATH shows one value as JSON. `set`
    takes a JSON value, `edit` opens all of the data in your editor.

    An edit is an entry of the timeline: /undo takes it back, and nothing else is lost.
    """
    from flue_cli.jsondata.path import get_value, parse_path, split_after_path

    verb, _, rest = argument.partition(" ")
    if not argument:
        _show_data_tree(chat)
    elif verb == "edit" and not rest:
        with cooked_mode():
            notice = chat.conversation.edit_data(chat.output.note, chat.pause)
        chat.output.note(notice)
    elif verb == "set" and rest:
        chat.output.note(chat.conversation.set_data(*split_after_path(rest.strip()), chat.pause))
    elif verb == "unset" and rest:
        chat.output.note(chat.conversation.unset_data(rest.strip(), chat.pause))
    else:
        value = get_value(json.loads(chat.conversation.data()), parse_path(argument))
        chat.output.result(json.dumps(value, indent=2))


def _show_data_tree(chat: ChatContext) -> None:
    from flue_cli.jsondata.diff import find_changes
    from flue_cli.render.data_tree import data_tree

    head, store = chat.conversation.head(), chat.conversation.store
    now, before = (
        parse_data(store.data_at(head, turn), head.name) for turn in (head.turn, max(0, head.turn - 1))
    )
    show_paged(chat, data_tree(now, find_changes(before, now)))


COMMANDS: dict[str, SlashCommand] = {"/data": data_command}
"""Slash command to function."""
