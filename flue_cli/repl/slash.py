"""The chat's slash commands: a table of functions whose docstrings are their help."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import NamedTuple

from flue_cli.errors import FlueError, SessionExists, UsageError
from flue_cli.names import generated_name, session_name
from flue_cli.render.output import Output
from flue_cli.render.remarks import say_moved
from flue_cli.render.terminal import hit_table, page, transcript
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.terminal import usual_keyboard
from flue_cli.stores.records import ABSENT, Pause
from flue_cli.text import safe_line

_HITS = 20


class Chat(NamedTuple):
    """What a command works with; `pause` is for whoever waits behind another process's turn."""

    conversation: Conversation
    output: Output
    pause: Pause


class Next(NamedTuple):
    """What the chat does after a line: leave, answer a prompt or only try it, put a draft into the line."""

    leaves: bool = False
    prompt: str = ""
    only_tried: bool = False
    draft: str = ""


Command = Callable[[str, Chat], Next | None]
"""`(argument, chat)`: what is to be done next; None: ask for the next line."""


def what_to_do(line: str, chat: Chat) -> Next:
    """What a line asks for. A slash command is run; an unknown one is reported, never sent to the agent."""
    if not line.startswith("/"):
        return Next(prompt=line)
    if line.startswith("//"):
        return Next(prompt=line[1:])
    name, _, argument = line.partition(" ")
    command = COMMANDS.get(name)
    try:
        if command is None:
            raise UsageError(f"there is no command {safe_line(name)}", hint=_near(name))
        return command(argument.strip(), chat) or Next()
    except FlueError as error:
        chat.output.error(error)
        return Next()


def help_(argument: str, chat: Chat) -> None:
    """Show what can be typed here."""
    lines = [f"{name:<10} {function.__doc__}" for name, function in COMMANDS.items()]
    keys = (
        "Enter sends, Alt-Enter or Ctrl-J adds a line, // sends a line that begins with a slash.",
        "Ctrl-C cancels a running turn or clears the line, Ctrl-D leaves.",
    )
    chat.output.result("\n".join([*lines, "", *keys]))


def exit_(argument: str, chat: Chat) -> Next:
    """Leave the chat."""
    return Next(leaves=True)


def new(argument: str, chat: Chat) -> None:
    """Begin another session: /new [NAME]."""
    name = session_name(argument) if argument else generated_name()
    if chat.conversation.store.head(chat.conversation.agent.name, name).uid != ABSENT:
        raise SessionExists(f"session '{name}' exists already", hint="go on with it: /resume NAME")
    chat.conversation.switch(name, "new")
    chat.output.note(f"new session {name}")


def resume(argument: str, chat: Chat) -> None:
    """Go on with another session of this agent: /resume NAME."""
    if not argument:
        raise UsageError("/resume takes the name of a session")
    chat.conversation.resume(session_name(argument))
    lines, recap = chat.conversation.opening(1)
    chat.output.note(lines[-1])
    if recap:
        page(chat.output, transcript(recap), pager=False)


def history(argument: str, chat: Chat) -> None:
    """Show the newest turns of this session: /history [N]."""
    count = _number(argument, "/history", "a number of turns", default=10)
    turns = [*chat.conversation.last_turns(count), *chat.conversation.unanswered()]
    if turns:
        with usual_keyboard():
            page(chat.output, transcript(turns))
    else:
        chat.output.note("nothing has been said yet")


def data(argument: str, chat: Chat) -> None:
    """Show the data or change it: /data [PATH], set PATH VALUE, unset, edit."""
    from flue_cli.data_path import get, leading, parse

    what, _, rest = argument.partition(" ")
    if what == "edit" and not rest:
        with usual_keyboard():
            words = chat.conversation.edit(chat.output.note, chat.pause)
    elif what == "set" and rest:
        words = chat.conversation.put(*leading(rest.strip()), chat.pause)
    elif what == "unset" and rest:
        words = chat.conversation.take_out(rest.strip(), chat.pause)
    else:
        found = get(json.loads(chat.conversation.data()), parse(argument))
        chat.output.result(json.dumps(found, indent=2))
        return
    chat.output.note(words)


def diff(argument: str, chat: Chat) -> None:
    """Show what the last turn changed, or all since turn N: /diff [N]."""
    from flue_cli.comparison import Moment, compared
    from flue_cli.render.differences import differences

    head = chat.conversation.head()
    since = _number(argument, "/diff", "the number of a turn", default=max(head.turn - 1, 0))
    what = differences(compared(chat.conversation.store, Moment(head, since), Moment(head, head.turn)))
    if what is None:
        chat.output.note("nothing differs")
    else:
        with usual_keyboard():
            page(chat.output, what)


def search(argument: str, chat: Chat) -> None:
    """Look for words in all sessions: /search WORDS."""
    from flue_cli.stores.matching import Query

    words = argument.split()
    if not words:
        raise UsageError("/search takes the words to look for")
    found = chat.conversation.store.search(words, limit=_HITS)
    if found:
        with usual_keyboard():
            page(chat.output, hit_table(found, Query(words)))
    else:
        chat.output.note("nothing was found")


def undo(argument: str, chat: Chat) -> None:
    """Take back the last turn, history and data, or N: /undo [N]."""
    count = _number(argument, "/undo", "a number of turns", default=1, least=1)
    say_moved(chat.output, chat.conversation.undo(count, chat.pause))


def redo(argument: str, chat: Chat) -> None:
    """Bring back what was undone: /redo [N]."""
    count = _number(argument, "/redo", "a number of turns", default=1, least=1)
    say_moved(chat.output, chat.conversation.redo(count, chat.pause))


def rewind(argument: str, chat: Chat) -> Next:
    """Go to turn N, and edit the prompt after it: /rewind N."""
    moved, prompt = chat.conversation.rewind(_number(argument, "/rewind", "the number of a turn"), chat.pause)
    say_moved(chat.output, moved)
    return Next(draft=prompt)


def retry(argument: str, chat: Chat) -> Next:
    """Send the last prompt again; the old reply is kept as a fork."""
    moved, prompt = chat.conversation.before_last_prompt(chat.pause)
    if moved:
        say_moved(chat.output, moved)
    chat.output.note(f"> {prompt}")
    return Next(prompt=prompt)


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
    if not name:
        raise UsageError("/fork takes the name of the copy")
    before = chat.conversation.name
    head = chat.conversation.fork(session_name(name.strip()), int(turn) if turn else None)
    chat.output.note(f"now in {head.name}, a copy of {before} as of turn {head.turn}; back: /resume {before}")


COMMANDS: dict[str, Command] = {
    "/help": help_,
    "/exit": exit_,
    "/quit": exit_,
    "/new": new,
    "/resume": resume,
    "/history": history,
    "/data": data,
    "/diff": diff,
    "/search": search,
    "/undo": undo,
    "/redo": redo,
    "/rewind": rewind,
    "/retry": retry,
    "/try": try_,
    "/fork": fork,
}
"""Slash command to function."""


def _number(argument: str, command: str, what: str, *, default: int | None = None, least: int = 0) -> int:
    if not argument and default is not None:
        return default
    if not (argument.isascii() and argument.isdigit() and len(argument) < 10 and int(argument) >= least):
        raise UsageError(f"{command} takes {what}")
    return int(argument)


def _near(name: str) -> str:
    from difflib import get_close_matches

    near = get_close_matches(name, COMMANDS, n=1)
    return f"did you mean {near[0]}?" if near else "see /help; // sends a line that begins with a slash"
