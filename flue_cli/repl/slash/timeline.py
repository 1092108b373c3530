"""Slash commands that go back and forth: what was said and the data move together."""

from __future__ import annotations

from flue_cli.errors import UsageError
from flue_cli.names import bare_name
from flue_cli.render.notices import note_timeline_move
from flue_cli.repl.slash.command_context import (
    ChatContext,
    NextAction,
    SlashCommand,
    parse_number,
    refuse_argument,
    show_paged,
)
from flue_cli.text import format_turn_numbers, safe_line


def undo_turns(argument: str, chat: ChatContext) -> None:
    """Take back the last turn, history and data, or N: /undo [N]."""
    count = parse_number(argument, "/undo", "a number of turns", default=1, minimum=1)
    note_timeline_move(chat.output, chat.conversation.undo(count, chat.pause))


def redo_turns(argument: str, chat: ChatContext) -> None:
    """Bring back what was undone: /redo [N]."""
    count = parse_number(argument, "/redo", "a number of turns", default=1, minimum=1)
    note_timeline_move(chat.output, chat.conversation.redo(count, chat.pause))


def rewind_to_turn(argument: str, chat: ChatContext) -> NextAction:
    """Go to turn N, and edit the prompt after it: /rewind N."""
    moved, prompt = chat.conversation.rewind(
        parse_number(argument, "/rewind", "the number of a turn"), chat.pause
    )
    note_timeline_move(chat.output, moved)
    return NextAction(draft=prompt)


def retry_prompt(argument: str, chat: ChatContext) -> NextAction:
    """Send the last prompt again; the old reply is kept as a fork.

    A change of the data that was made after the reply goes with it, and is kept there too.
    """
    refuse_argument(argument, "/retry")
    prompt = _take_back_last_prompt(chat)
    chat.output.note(f"> {prompt}")
    return NextAction(prompt=prompt)


def edit_prompt(argument: str, chat: ChatContext) -> NextAction:
    """Bring the last prompt back to edit it; its reply is kept as a fork.

    A change of the data that was made after the reply goes with it, and is kept there too.
    """
    refuse_argument(argument, "/edit")
    return NextAction(draft=_take_back_last_prompt(chat))


def discard_prompt(argument: str, chat: ChatContext) -> None:
    """Drop a prompt that was interrupted and never answered."""
    refuse_argument(argument, "/discard")
    lost = chat.conversation.discard(chat.pause)
    chat.output.note(f"turn {lost.turn} is dropped; nothing had come of it")


def try_prompt(argument: str, chat: ChatContext) -> NextAction:
    """See what would come of a prompt, and keep nothing: /try PROMPT."""
    if not argument:
        raise UsageError("/try takes a prompt")
    return NextAction(prompt=argument, is_dry_run=True)


def fork_session_here(argument: str, chat: ChatContext) -> None:
    """Go on in a copy, as it is or as of turn N: /fork NAME [N]."""
    name, _, turn = argument.rpartition(" ")
    if not (name and turn.isascii() and turn.isdigit()):
        name, turn = argument, ""
    at = parse_number(turn, "/fork", "a name and the number of a turn") if turn else None
    if not name:
        raise UsageError("/fork takes the name of the copy")
    before = safe_line(chat.conversation.name)
    head = chat.conversation.fork(bare_name(name.strip(), chat.conversation.agent.name), at)
    chat.output.note(f"now in {head.name}, a copy of {before} as of turn {head.turn}; back: /resume {before}")


def show_session_diff(argument: str, chat: ChatContext) -> None:
    """Show what the last turn changed, or all since turn N: /diff [N]."""
    from flue_cli.render.diff_table import comparison_view
    from flue_cli.sessions.comparison import SessionAtTurn, compare_sessions

    head = chat.conversation.head()
    since = parse_number(argument, "/diff", "the number of a turn", default=max(head.turn - 1, 0))
    what = comparison_view(
        compare_sessions(chat.conversation.store, SessionAtTurn(head, since), SessionAtTurn(head, head.turn))
    )
    if what is None:
        chat.output.note("nothing differs")
    else:
        show_paged(chat, what)


def _take_back_last_prompt(chat: ChatContext) -> str:
    """The last prompt, the session moved to before it."""
    moved, prompt = chat.conversation.rewind_before_last_prompt(chat.pause)
    if moved:
        note_timeline_move(chat.output, moved)
        edits = moved.turns[1:]  # whatever came after the last prompt
        if edits:
            verb = "is" if len(edits) == 1 else "are"
            chat.output.note(
                f"{format_turn_numbers(edits)}, which changed the data by hand, {verb} undone with it"
            )
    return prompt


COMMANDS: dict[str, SlashCommand] = {
    "/undo": undo_turns,
    "/redo": redo_turns,
    "/rewind": rewind_to_turn,
    "/retry": retry_prompt,
    "/edit": edit_prompt,
    "/discard": discard_prompt,
    "/try": try_prompt,
    "/fork": fork_session_here,
    "/diff": show_session_diff,
}
"""Slash command to function."""
