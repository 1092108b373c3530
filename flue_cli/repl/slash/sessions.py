"""Slash commands about sessions: which one we are in, which there are, what was said."""

from __future__ import annotations

import os

from flue_cli.errors import UsageError
from flue_cli.names import agent_name, bare_name, free_name, session_name
from flue_cli.render.session_tree import Branch
from flue_cli.render.tables import hit_table, page, paged, session_table, transcript
from flue_cli.repl.agent_file import stoppable
from flue_cli.repl.slash.command_context import Chat, Command, no_argument, number, show
from flue_cli.repl.terminal import no_input_for_agents, usual_keyboard
from flue_cli.repl.welcome import greet, open_session
from flue_cli.sessions.timeline import last_turns
from flue_cli.stores.contract_errors import session_not_found_error
from flue_cli.text import safe_line

_HITS = 20
_SESSIONS = 50


def new(argument: str, chat: Chat) -> None:
    """Begin another session: /new [NAME]."""
    conversation = chat.conversation
    ours = conversation.agent.name
    conversation.begin(
        bare_name(argument, ours) if argument else free_name(lambda name: conversation.has(ours, name))
    )
    chat.output.note(f"new session {conversation.name}")


def resume(argument: str, chat: Chat) -> None:
    """Go on with another session: /resume NAME, or AGENT/NAME."""
    if not argument:
        raise UsageError("/resume takes the name of a session")
    conversation = chat.conversation
    agent, slash, name = argument.partition("/")
    is_whole = conversation.has(conversation.agent.name, session_name(argument))
    if slash and agent and name and not is_whole:
        enter(chat, agent_name(agent), session_name(name))
    else:
        enter(chat, conversation.agent.name, session_name(argument))


def rename(argument: str, chat: Chat) -> None:
    """Give this session another name: /rename NEW."""
    if not argument:
        raise UsageError("/rename takes the new name")
    before = chat.conversation.rename(bare_name(argument, chat.conversation.agent.name), chat.pause)
    chat.output.note(f"{safe_line(before)} is now {chat.conversation.name}")


def sessions(argument: str, chat: Chat) -> None:
    """Choose a session from a list, and go on with it.

    Type to filter, Enter goes there, Ctrl-R renames, Ctrl-X deletes, Esc comes back here.
    """
    no_argument(argument, "/sessions")
    found = chat.conversation.store.sessions(limit=_SESSIONS)
    if not found:
        chat.output.note("there are no sessions yet")
    elif os.environ.get("TERM") == "dumb":  # no cursor to choose with
        page(chat.output, session_table(Branch(summary) for summary in found))
    else:
        _pick(chat)


def history(argument: str, chat: Chat) -> None:
    """Show the newest turns of this session: /history [N]."""
    count = number(argument, "/history", "a number of turns", default=10, least=1)
    turns = last_turns(chat.conversation.store, chat.conversation.head(), count)
    if turns:
        with usual_keyboard():
            paged(
                chat.output,
                transcript(turns, as_markdown=chat.conversation.reply_format == "markdown"),
            )
    else:
        chat.output.note("nothing has been said yet")


def search(argument: str, chat: Chat) -> None:
    """Look for words in all sessions: /search WORDS."""
    from flue_cli.stores.search_query import Query

    words = argument.split()
    if not words:
        raise UsageError("/search takes the words to look for")
    found = chat.conversation.store.search(words, limit=_HITS)
    if found:
        show(chat, hit_table(found, Query(words)))
    else:
        chat.output.note("nothing was found")


def enter(chat: Chat, agent: str, name: str) -> None:
    """Go on with the session `name` of `agent`, which is loaded if it is not the one that we talk to.

    SessionNotFound, and as Agents.load; then we stay where we are.
    """
    conversation = chat.conversation
    if not conversation.has(agent, name):
        raise session_not_found_error(agent, name)
    if agent == conversation.agent.name:
        conversation.switch(name, "existing")
        open_session(conversation, chat.output, 1)
    else:
        with no_input_for_agents():
            there = stoppable(lambda: conversation.agents.load(agent), chat.cancellation)
        conversation.talk_to(there, name, "existing")
        greet(conversation, chat.output, 1)


def _pick(chat: Chat) -> None:
    from flue_cli.repl.picker import pick

    head = chat.conversation.head()
    with usual_keyboard():
        chosen = pick(chat.conversation.store, chat.output, chat.cancelling, here=head.uid)
    if chosen and chosen.uid != head.uid:
        enter(chat, chosen.agent, chosen.name)


COMMANDS: dict[str, Command] = {
    "/new": new,
    "/resume": resume,
    "/rename": rename,
    "/sessions": sessions,
    "/history": history,
    "/search": search,
}
"""Slash command to function."""
