"""Slash commands that go back and forth: what was said and the data move together."""

from __future__ import annotations

from flue_cli.errors import UsageError
from flue_cli.names import bare_name
from flue_cli.render.notices import say_moved
from flue_cli.repl.slash.command_context import Chat, Command, Next, no_argument, number, show
from flue_cli.text import safe_line, turn_numbers


def undo(argument: str, chat: Chat) -> None:
    """Take back the last turn, history and data, or N: /undo [N]."""
    count = number(argument, "/undo", "a number of turns", default=1, least=1)
    say_moved(chat.output, chat.conversation.undo(count, chat.pause))


def redo(argument: str, chat: Chat) -> None:
    """Bring back what was undone: /redo [N]."""
    count = number(argument, "/redo", "a number of turns", default=1, least=1)
    say_moved(chat.output, chat.conversation.redo(count, chat.pause))


def rewind(argument: str, chat: Chat) -> Next:
    """Go to turn N, and edit the prompt after it: /rewind N."""
    moved, prompt = chat.conversation.rewind(number(argument, "/rewind", "the number of a turn"), chat.pause)
    say_moved(chat.output, moved)
    return Next(draft=prompt)


def retry(argument: str, chat: Chat) -> Next:
    """Send the last prompt again; the old reply is kept as a fork.

    A change of the data that was made after the reply goes with it, and is kept there too.
    """
    no_argument(argument, "/retry")
    prompt = _last_prompt(chat)
    chat.output.note(f"> {prompt}")
    return Next(prompt=prompt)


def edit(argument: str, chat: Chat) -> Next:
    """Bring the last prompt back to edit it; its reply is kept as a fork.

    A change of the data that was made after the reply goes with it, and is kept there too.
    """
    no_argument(argument, "/edit")
    return Next(draft=_last_prompt(chat))


def discard(argument: str, chat: Chat) -> None:
    """Drop a prompt that was interrupted and never answered."""
    no_argument(argument, "/discard")
    lost = chat.conversation.discard(chat.pause)
    chat.output.note(f"turn {lost.turn} is dropped; nothing had come of it")


def try_(argument: str, chat: Chat) -> Next:
    """See what would come of a prompt, and keep nothing: /try PROMPT."""
    if not argument:
        raise UsageError("/try takes a prompt")
    return Next(prompt=argument, only_tried=True)


def fork(argument: str, chat: Chat) -> None:
    """Go on in a copy, as it is or as of turn N: /fork NAME [N]."""
    name, _, turn = argument.rpartition(" ")
    if not (name and turn.isascii() and turn.isdigit()):
        name, turn = argument, ""
    at = number(turn, "/fork", "a name and the number of a turn") if turn else None
    if not name:
        raise UsageError("/fork takes the name of the copy")
    before = safe_line(chat.conversation.name)
    head = chat.conversation.fork(bare_name(name.strip(), chat.conversation.agent.name), at)
    chat.output.note(f"now in {head.name}, a copy of {before} as of turn {head.turn}; back: /resume {before}")


def diff(argument: str, chat: Chat) -> None:
    """Show what the last turn changed, or all since turn N: /diff [N]."""
    from flue_cli.render.diff_table import differences
    from flue_cli.sessions.comparison import SessionAtTurn, compare_sessions

    head = chat.conversation.head()
    since = number(argument, "/diff", "the number of a turn", default=max(head.turn - 1, 0))
    what = differences(
        compare_sessions(chat.conversation.store, SessionAtTurn(head, since), SessionAtTurn(head, head.turn))
    )
    if what is None:
        chat.output.note("nothing differs")
    else:
        show(chat, what)


def _last_prompt(chat: Chat) -> str:
    """The last prompt, the session moved to before it."""
    moved, prompt = chat.conversation.before_last_prompt(chat.pause)
    if moved:
        say_moved(chat.output, moved)
        edits = moved.turns[1:]  # whatever came after the last prompt
        if edits:
            verb = "is" if len(edits) == 1 else "are"
            chat.output.note(f"{turn_numbers(edits)}, which changed the data by hand, {verb} undone with it")
    return prompt


COMMANDS: dict[str, Command] = {
    "/undo": undo,
    "/redo": redo,
    "/rewind": rewind,
    "/retry": retry,
    "/edit": edit,
    "/discard": discard,
    "/try": try_,
    "/fork": fork,
    "/diff": diff,
}
"""Slash command to function."""
