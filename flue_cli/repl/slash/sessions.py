"""Slash commands about sessions: begin, resume, rename, choose, read and search them."""

from __future__ import annotations

import os
from shlex import quote

from flue_cli.errors import AgentNotFound, UsageError
from flue_cli.names import bare_name, check_agent_name, check_session_name, find_free_name
from flue_cli.render.session_tree import TreeNode
from flue_cli.render.tables import (
    hit_table,
    session_table,
    show_paged_renderable,
    show_paged_text,
    transcript_text,
)
from flue_cli.repl.agent_file import load_interruptibly
from flue_cli.repl.slash.command_context import (
    ChatContext,
    SlashCommand,
    parse_number,
    refuse_argument,
    show_paged,
)
from flue_cli.repl.terminal import cooked_mode, no_input_for_agents
from flue_cli.repl.welcome import open_conversation, show_session_start
from flue_cli.sessions.timeline import last_turns
from flue_cli.stores.contract_errors import session_not_found_error
from flue_cli.text import safe_line

_MAX_HITS = 20
_MAX_LISTED_SESSIONS = 50


def begin_new_session(argument: str, chat: ChatContext) -> None:
    """Begin a new session: /new [NAME]."""
    conversation = chat.conversation
    agent = conversation.agent.name
    conversation.begin_session(
        bare_name(argument, agent)
        if argument
        else find_free_name(lambda name: conversation.session_exists(agent, name))
    )
    chat.output.note(f"new session {conversation.name}")


def resume_session(argument: str, chat: ChatContext) -> None:
    """Continue another session: /resume NAME, or AGENT/NAME."""
    if not argument:
        raise UsageError("/resume takes the name of a session")
    conversation = chat.conversation
    agent, slash, name = argument.partition("/")
    # A session's name may contain a slash: the whole argument comes first.
    is_session_name = conversation.session_exists(conversation.agent.name, check_session_name(argument))
    if slash and agent and name and not is_session_name:
        enter_session(chat, check_agent_name(agent), check_session_name(name))
    else:
        enter_session(chat, conversation.agent.name, check_session_name(argument))


def rename_current_session(argument: str, chat: ChatContext) -> None:
    """Rename this session: /rename NEW."""
    if not argument:
        raise UsageError("/rename takes the new name")
    old_name = chat.conversation.rename(bare_name(argument, chat.conversation.agent.name), chat.pause)
    chat.output.note(f"{safe_line(old_name)} is now {chat.conversation.name}")


def choose_from_sessions(argument: str, chat: ChatContext) -> None:
    """Choose another session from a list.

    Type to filter, Enter opens a session, Ctrl-R renames, Ctrl-X deletes, Esc comes back here.
    """
    refuse_argument(argument, "/sessions")
    sessions = chat.conversation.store.sessions(limit=_MAX_LISTED_SESSIONS)
    if not sessions:
        chat.output.note("there are no sessions yet")
    elif os.environ.get("TERM") == "dumb":  # without a movable cursor there is no picker
        show_paged_renderable(chat.output, session_table(TreeNode(summary) for summary in sessions))
    else:
        _pick_from_list(chat)


def show_history(argument: str, chat: ChatContext) -> None:
    """Show the newest turns of this session: /history [N]."""
    count = parse_number(argument, "/history", "a number of turns", default=10, minimum=1)
    turns = last_turns(chat.conversation.store, chat.conversation.head(), count)
    if turns:
        with cooked_mode():
            show_paged_text(
                chat.output,
                transcript_text(turns, as_markdown=chat.conversation.reply_format == "markdown"),
            )
    else:
        chat.output.note("nothing has been said yet")


def search_turns(argument: str, chat: ChatContext) -> None:
    """Search all sessions for words: /search WORDS."""
    from flue_cli.stores.search_query import SearchQuery

    words = argument.split()
    if not words:
        raise UsageError("/search takes the words to look for")
    hits = chat.conversation.store.search(words, limit=_MAX_HITS)
    if hits:
        show_paged(chat, hit_table(hits, SearchQuery(words)))
    else:
        chat.output.note("nothing was found")


def enter_session(chat: ChatContext, agent: str, name: str) -> None:
    """Continue the session `name` of `agent`, which is loaded if it is not the current one.

    Raises SessionNotFound, OtherAgent, and as AgentLoader.load; then the chat stays in its session.
    """
    conversation = chat.conversation
    if not conversation.session_exists(agent, name):
        raise session_not_found_error(agent, name)
    if agent == conversation.agent.name:
        conversation.check_agent_origin(conversation.agent, name)
        conversation.switch_session(name, "existing")
        show_session_start(conversation, chat.output, 1)
    else:
        try:
            with no_input_for_agents():
                loaded = load_interruptibly(lambda: conversation.agent_loader.load(agent), chat.cancellation)
        except AgentNotFound as error:
            label = quote(f"{agent}/{safe_line(name)}")
            error.hint = (
                f"to go on with another agent, leave and: "
                f"flue sessions resume {label} --agent {conversation.agent.name}"
            )
            raise
        conversation.switch_agent(loaded, name, "existing")
        open_conversation(conversation, chat.output, 1)


def _pick_from_list(chat: ChatContext) -> None:
    from flue_cli.repl.picker import pick_session

    head = chat.conversation.head()
    with cooked_mode():
        session = pick_session(chat.conversation.store, chat.output, chat.cancelling, current_uid=head.uid)
    if session and session.uid != head.uid:
        enter_session(chat, session.agent, session.name)


COMMANDS: dict[str, SlashCommand] = {
    "/new": begin_new_session,
    "/resume": resume_session,
    "/rename": rename_current_session,
    "/sessions": choose_from_sessions,
    "/history": show_history,
    "/search": search_turns,
}
"""Slash command to function."""
