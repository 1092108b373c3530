"""Notices shown when a session is opened: its name and size, the last turns, and anything unusual."""

from __future__ import annotations

import shutil
from collections.abc import Sequence

from flue_cli.agents.description import describe
from flue_cli.render.streams import Output
from flue_cli.repl.conversation import Conversation
from flue_cli.sessions.timeline import MissedChanges, entries_backwards, last_turns
from flue_cli.stores.records import ABSENT, Entry, SessionHead
from flue_cli.text import format_turn_numbers, format_turns, safe_line

_SOURCE_LOOK_BACK_TURNS = 64
"""Number of turns searched for the last one that recorded its agent source."""

_PREVIEW_CHARACTERS = 40


def open_conversation(conversation: Conversation, output: Output, recap_turns: int) -> None:
    """Show the agent's notice, and open its session."""
    if conversation.loaded.notice:
        output.note(conversation.loaded.notice)
    show_session_start(conversation, output, recap_turns)


def show_session_start(conversation: Conversation, output: Output, recap_turns: int) -> None:
    """Show the session's name and size, its newest `recap_turns` turns, and notices about changes.

    All of it counts as seen.
    """
    head = conversation.mark_seen()
    recap = last_turns(conversation.store, head, recap_turns)
    line = _session_line(conversation, head, " · " if output.has_unicode else " - ")
    output.note(line, lead=safe_line(conversation.agent.name))
    if head.uid == ABSENT:
        show_introduction(conversation, output)
    if recap:
        output.write_raw(_transcript(recap, conversation, output, shutil.get_terminal_size().columns))
    for notice in (_source_notice(conversation, head), _interrupted_notice(recap[-1] if recap else None)):
        if notice:
            output.note(notice)


def show_introduction(conversation: Conversation, output: Output) -> None:
    """Show what the agent does, and one thing to try, unless it comes from no file that could say it."""
    if not conversation.loaded.source:
        return
    about = describe(conversation.loaded.source)
    example = safe_line(about.example_prompt)
    hint = f"Try: {example}" if example else "Type a prompt, or / for the commands."
    for line in filter(None, (safe_line(about.summary), hint)):
        output.write_notice(f"{line}\n")


def show_missed_changes(missed: MissedChanges, conversation: Conversation, output: Output) -> None:
    """Show the changes that another process made to the session meanwhile."""
    if missed.undone:
        turns, verb = format_turn_numbers(missed.undone), "was" if len(missed.undone) == 1 else "were"
        output.note(f"meanwhile {turns} {verb} undone in another process")
    if missed.turns:
        from flue_cli.render.tables import beside_bar

        output.note("meanwhile in another process:")
        columns = shutil.get_terminal_size().columns
        text = _transcript(missed.turns, conversation, output, columns - 2)
        output.write_raw(beside_bar(text, columns, has_unicode=output.has_unicode))


def _transcript(entries: Sequence[Entry], conversation: Conversation, output: Output, columns: int) -> str:
    from flue_cli.render.tables import transcript_text

    as_markdown = conversation.reply_format == "markdown"
    return transcript_text(
        entries, as_markdown=as_markdown, has_unicode=output.has_unicode, columns=max(columns, 1)
    )


def _session_line(conversation: Conversation, head: SessionHead, separator: str) -> str:
    size = format_turns(head.turn) if head.uid != ABSENT else "new"
    unsaved = "" if conversation.options.is_saved else ", not saved"
    return f"{separator}session {safe_line(conversation.name)} ({size}{unsaved}){separator}/help"


def _source_notice(conversation: Conversation, head: SessionHead) -> str:
    """Make the notice that the agent source has changed since the last turns; "" if it has not."""
    for number, entry in enumerate(entries_backwards(conversation.store, head)):
        source = entry.meta.get("source")
        if source is not None:
            if source == conversation.agent.fingerprint:
                return ""
            file = conversation.loaded.file_name or conversation.agent.name
            return f"{safe_line(file)} has changed since turn {entry.turn}"
        if number >= _SOURCE_LOOK_BACK_TURNS:
            break
    return ""


def _interrupted_notice(newest: Entry | None) -> str:
    """Make the notice about an interrupted prompt, with the commands that settle it; "" for any other."""
    if newest is None or newest.outcome != "interrupted":
        return ""
    prompt = safe_line(newest.prompt)
    start = prompt if len(prompt) <= _PREVIEW_CHARACTERS else f"{prompt[: _PREVIEW_CHARACTERS - 1]}…"
    return (
        f"turn {newest.turn} was interrupted: {start}\n"
        "/retry sends it again, /edit brings it back into the line, /discard drops it"
    )
