"""Slash commands for the timeline: history and data go back and forth together."""

from __future__ import annotations

import os
import shutil

from flue_cli.errors import NothingToMove, UsageError
from flue_cli.names import bare_name, check_label
from flue_cli.render.notices import note_timeline_move
from flue_cli.render.tables import show_paged_text
from flue_cli.repl.slash.command_context import (
    ChatContext,
    NextAction,
    SlashCommand,
    parse_number,
    refuse_argument,
    show_paged,
)
from flue_cli.repl.terminal import cooked_mode
from flue_cli.repl.welcome import show_session_start
from flue_cli.sessions.timeline import entries_backwards
from flue_cli.sessions.tree import TreeTurn, timeline_tree
from flue_cli.stores.records import ABSENT
from flue_cli.text import format_turn_numbers, label_notice, safe_line


def undo_turns(argument: str, chat: ChatContext) -> None:
    """Undo the last turn, or N.

    Usage: /undo [N]
    Example: /undo 2

    History and data go back together. The undone turns are kept: /redo brings them back; once you send
    another prompt they stay as a session of their own (NAME~1).
    """
    count = parse_number(argument, "/undo", "a number of turns", default=1, minimum=1)
    note_timeline_move(chat.output, chat.conversation.undo(count, chat.pause))


def redo_turns(argument: str, chat: ChatContext) -> None:
    """Redo the undone turn, or N.

    Usage: /redo [N]
    Example: /redo 2

    History and data come back as they were. There is nothing to redo once another prompt was sent: then the
    undone turns are in a session of their own (NAME~1).
    """
    count = parse_number(argument, "/redo", "a number of turns", default=1, minimum=1)
    note_timeline_move(chat.output, chat.conversation.redo(count, chat.pause))


def rewind_to_turn(argument: str, chat: ChatContext) -> NextAction:
    """Go to turn N.

    Usage: /rewind N
    Example: /rewind 3

    The turns after it are undone with their data, and kept as by /undo; the prompt after turn N comes back
    into the line. /rewind 0 is the start; a number ahead redoes turns.
    """
    turn = parse_number(argument, "/rewind", "the number of a turn")
    move, prompt = chat.conversation.rewind(turn, chat.pause)
    note_timeline_move(chat.output, move)
    return NextAction(draft=prompt)


def retry_prompt(argument: str, chat: ChatContext) -> NextAction:
    """Send the last prompt again.

    Usage: /retry

    The old reply stays in a session of its own (NAME~1). An edit of the data after that reply is undone too,
    and stays there as well.
    """
    refuse_argument(argument, "/retry")
    prompt = _take_back_last_prompt(chat)
    chat.output.note(f"> {prompt}")
    return NextAction(prompt=prompt)


def edit_prompt(argument: str, chat: ChatContext) -> NextAction:
    """Edit the last prompt.

    Usage: /edit

    The prompt comes back into the line, and its turn is undone. Once you send it, the old reply stays in a
    session of its own (NAME~1); /redo before that keeps everything as it was.
    """
    refuse_argument(argument, "/edit")
    return NextAction(draft=_take_back_last_prompt(chat))


def discard_prompt(argument: str, chat: ChatContext) -> None:
    """Drop an interrupted prompt.

    Usage: /discard

    For a prompt that a crash left without an answer. It had changed nothing, so only the prompt is lost.
    """
    refuse_argument(argument, "/discard")
    entry = chat.conversation.discard(chat.pause)
    chat.output.note(f"turn {entry.turn} is dropped; it had changed nothing")


def try_prompt(argument: str, chat: ChatContext) -> NextAction:
    """Ask, and save nothing.

    Usage: /try PROMPT
    Example: /try complete all tasks

    Shows the reply and the changes of the data. Session, history and data stay as they are; what the
    agent does outside Flue is done.
    """
    if not argument:
        raise UsageError("/try takes a prompt")
    return NextAction(prompt=argument, is_dry_run=True)


def fork_session_here(argument: str, chat: ChatContext) -> None:
    """Continue in a copy.

    Usage: /fork NAME [N]
    Example: /fork experiment 3

    The copy has the turns up to N, without it all of them, and its data. This session is kept unchanged.
    """
    name, _, turn = argument.rpartition(" ")
    if not (name and turn.isascii() and turn.isdigit()):
        name, turn = argument, ""
    at = parse_number(turn, "/fork", "a name and the number of a turn") if turn else None
    if not name:
        raise UsageError("/fork takes the name of the copy")
    origin = safe_line(chat.conversation.name)
    head = chat.conversation.fork(bare_name(name.strip(), chat.conversation.agent.name), at)
    chat.output.note(f"now in {head.name}, a copy of {origin} as of turn {head.turn}; back: /resume {origin}")


def show_tree(argument: str, chat: ChatContext) -> NextAction | None:
    """Go to a turn in a tree.

    Usage: /tree

    Every turn is a line; undone forks are indented below the turn where they part, and * marks where the
    session is. Type to filter. Enter goes to the turn, in an undone fork if it is there, and the prompt after
    it comes back into the line; turns that are undone by it are kept. Ctrl-R labels the turn, Esc comes back.
    """
    from flue_cli.repl.tree import choose_turn
    from flue_cli.repl.tree.rows import tree_text

    refuse_argument(argument, "/tree")
    conversation = chat.conversation
    head = conversation.head()
    if head.uid == ABSENT:
        raise NothingToMove("nothing has been said yet")
    if os.environ.get("TERM") == "dumb":  # without a movable cursor there is no list to choose from
        columns = shutil.get_terminal_size().columns - 1  # a full line would wrap on some of them
        text = tree_text(timeline_tree(conversation.store, head), columns)
        show_paged_text(chat.output, f"{text}\n")
        return None
    with cooked_mode():
        turn = choose_turn(conversation.store, chat.output, chat.cancelling, head)
    return _go_to_turn(turn, chat) if turn else None


def _go_to_turn(target: TreeTurn, chat: ChatContext) -> NextAction:
    """Go to a turn, in its session if that is another; the prompt after it is the draft."""
    conversation, session = chat.conversation, target.session
    is_elsewhere = session.uid != conversation.head().uid
    if is_elsewhere:
        conversation.enter_fork(session)
    try:
        move, prompt = conversation.rewind(target.turn, chat.pause)
    finally:
        if is_elsewhere:
            show_session_start(conversation, chat.output, 1)
    note_timeline_move(chat.output, move)
    return NextAction(draft=prompt)


def label_turn(argument: str, chat: ChatContext) -> None:
    """Label the last turn.

    Usage: /label [TEXT]
    Example: /label before the rewrite

    Without TEXT it lists the labels; /label - takes the last turn's label off. /tree shows labels, and finds
    them. A label stays with its turn, also when the turn is undone or copied.
    """
    if not argument:
        _show_labels(chat)
        return
    label = check_label("" if argument in ("-", '""', "''") else argument)
    turn = chat.conversation.set_label(label)
    chat.output.note(label_notice(turn, label))


def _show_labels(chat: ChatContext) -> None:
    entries = entries_backwards(chat.conversation.store, chat.conversation.head())
    labels = [f"turn {entry.turn}: [{safe_line(entry.label)}]" for entry in entries if entry.label]
    if labels:
        show_paged(chat, "\n".join(reversed(labels)))
    else:
        chat.output.note("no turn has a label; /label TEXT gives the last one a label")


def show_session_diff(argument: str, chat: ChatContext) -> None:
    """Show what turns changed.

    Usage: /diff [N]
    Example: /diff 3

    Shows the changes of the last turn, or all since turn N. It changes nothing.
    """
    from flue_cli.render.diff_table import comparison_view
    from flue_cli.sessions.comparison import SessionAtTurn, compare_sessions

    head = chat.conversation.head()
    since = parse_number(argument, "/diff", "the number of a turn", default=max(head.turn - 1, 0))
    view = comparison_view(
        compare_sessions(chat.conversation.store, SessionAtTurn(head, since), SessionAtTurn(head, head.turn))
    )
    if view is None:
        chat.output.note("nothing differs")
    else:
        show_paged(chat, view)


def _take_back_last_prompt(chat: ChatContext) -> str:
    """Go back to before the last prompt, and return the prompt."""
    move, prompt = chat.conversation.rewind_before_last_prompt(chat.pause)
    if move:
        note_timeline_move(chat.output, move)
        edits = move.turns[1:]  # after the last prompt there can only be edits of the data
        if edits:
            edit, verb = ("an edit", "is") if len(edits) == 1 else ("edits", "are")
            chat.output.note(f"{format_turn_numbers(edits)}, {edit} of the data, {verb} undone with it")
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
    "/tree": show_tree,
    "/label": label_turn,
    "/diff": show_session_diff,
}
"""Slash command to function."""
