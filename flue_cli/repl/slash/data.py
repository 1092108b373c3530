"""The slash command that shows a session's data, and changes it."""

from __future__ import annotations

import json

from flue_cli.repl.slash.command_context import ChatContext, SlashCommand, show_paged
from flue_cli.repl.terminal import cooked_mode
from flue_cli.turns.result import parse_data


def data_command(argument: str, chat: ChatContext) -> None:
    """Show the data or change it: /data [PATH], set PATH V, unset, edit.

    /data            the data as a tree; what the last turn changed is marked
    /data PATH       what is there, as JSON: /data tasks[0].title
    /data set PATH VALUE, /data unset PATH
                     a change by hand, a turn of its own that /undo takes back
    /data edit       all of it in the editor
    """
    from flue_cli.jsondata.path import get_value, parse_path, split_after_path

    what, _, rest = argument.partition(" ")
    if not argument:
        _show_data_tree(chat)
    elif what == "edit" and not rest:
        with cooked_mode():
            words = chat.conversation.edit_data(chat.output.note, chat.pause)
        chat.output.note(words)
    elif what == "set" and rest:
        chat.output.note(chat.conversation.set_data(*split_after_path(rest.strip()), chat.pause))
    elif what == "unset" and rest:
        chat.output.note(chat.conversation.unset_data(rest.strip(), chat.pause))
    else:
        found = get_value(json.loads(chat.conversation.data()), parse_path(argument))
        chat.output.result(json.dumps(found, indent=2))


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
