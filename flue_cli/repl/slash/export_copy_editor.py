"""Slash commands that take texts to a file, to the clipboard, and to the editor and back."""

from __future__ import annotations

import os

from flue_cli.errors import FileExists, NotFound
from flue_cli.files import write_whole
from flue_cli.repl.compose_in_editor import edit_in_editor
from flue_cli.repl.slash.command_context import ChatContext, NextAction, SlashCommand, refuse_argument
from flue_cli.sessions.timeline import entries_backwards
from flue_cli.stores.records import ABSENT, SessionHead
from flue_cli.text import pluralize, safe_line
from flue_cli.transcripts import LAID_OUT, exporter, format_of
from flue_cli.transcripts.export_view import ExportSource, StoreInFormat


def export_session(argument: str, chat: ChatContext) -> None:
    """Write the session to a file.

    Usage: /export [FILE]
    Example: /export talk.html

    The file's ending chooses the format: json, jsonl, md, html, txt, openai.json, or flue (a conversation
    test for flue test). Without FILE it is AGENT_NAME.json in the current folder. An existing file is never
    replaced.
    """
    head = chat.conversation.head()
    if head.uid == ABSENT:
        raise NotFound("nothing has been said yet")
    path = _export_file_name(argument, head)
    form = format_of(path)
    store: ExportSource = chat.conversation.store
    if form in LAID_OUT:
        store = StoreInFormat(store, chat.conversation.agent.reply_format)
    try:
        write_whole(path, exporter(form)(store, head, 1), force=False)
    except FileExists as error:
        raise FileExists(error.message, hint="choose another name") from error
    chat.output.note(f"written to {safe_line(path)}")


def copy_reply(argument: str, chat: ChatContext) -> None:
    """Copy the last reply.

    Usage: /copy

    It replaces what the clipboard held; the reply is copied as the agent gave it.
    """
    from flue_cli.repl.clipboard import copy_to_clipboard

    refuse_argument(argument, "/copy")
    entries = entries_backwards(chat.conversation.store, chat.conversation.head())
    reply = next((entry.reply for entry in entries if entry.reply is not None), None)
    if reply is None:
        raise NotFound("there is no reply to copy")
    ways = copy_to_clipboard(reply, chat.output)
    chat.output.note(f"the last reply ({pluralize(len(reply), 'character')}) is copied by {ways}")


def write_in_editor(argument: str, chat: ChatContext) -> NextAction | None:
    """Write in your editor.

    Usage: /editor [TEXT]
    Example: /editor Dear all,

    Opens $VISUAL or $EDITOR with TEXT. What you save comes into the line, and is sent when you press Enter.
    """
    text = edit_in_editor(argument)
    if not text.strip():
        chat.output.note("nothing was written")
        return None
    return NextAction(draft=text)


def _export_file_name(argument: str, head: SessionHead) -> str:
    from flue_cli.transcripts.file_names import file_names

    path = os.path.expanduser(argument)
    if not argument or argument.endswith("/") or os.path.isdir(path):
        return os.path.join(path, *file_names([head], "json"))
    return path


COMMANDS: dict[str, SlashCommand] = {
    "/export": export_session,
    "/copy": copy_reply,
    "/editor": write_in_editor,
}
"""Slash command to function."""
