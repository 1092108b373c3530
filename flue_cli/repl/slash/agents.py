"""Slash commands about the agent: switch to another, reload its file."""

from __future__ import annotations

from flue_cli.errors import UsageError
from flue_cli.names import check_agent_name, find_free_name
from flue_cli.render.tables import agent_table
from flue_cli.repl.agent_file import load_interruptibly
from flue_cli.repl.agent_reload import reload_agent
from flue_cli.repl.slash.command_context import ChatContext, SlashCommand, refuse_argument, show_paged
from flue_cli.repl.terminal import no_input_for_agents
from flue_cli.repl.welcome import show_introduction
from flue_cli.text import safe_line


def choose_agent(argument: str, chat: ChatContext) -> None:
    """Talk to another agent.

    Usage: /agent [NAME]
    Example: /agent task-planner

    Begins a new session with it; this one is kept, and the chat says how to come back. Without NAME it lists
    the agents.
    """
    if not argument:
        _list_agents(chat)
        return
    conversation, name = chat.conversation, check_agent_name(argument)
    before = conversation.agent.name
    if name == before:
        raise UsageError(f"you are talking to {name} already", hint="/reload loads its file again")
    with no_input_for_agents():
        loaded = load_interruptibly(lambda: conversation.agent_loader.load(name), chat.cancellation)
    back = f"{before}/{conversation.name}" if conversation.session_exists(before, conversation.name) else ""
    conversation.switch_agent(
        loaded, find_free_name(lambda session: conversation.session_exists(name, session)), "new"
    )
    if loaded.notice:
        chat.output.note(loaded.notice)
    notice = f"now talking to {name}, in the new session {conversation.name}"
    chat.output.note(notice + (f"; back: /resume {safe_line(back)}" if back else ""))
    show_introduction(conversation, chat.output)


def reload_agent_command(argument: str, chat: ChatContext) -> None:
    """Load the agent's file again.

    Usage: /reload

    Session and data stay. If the file is broken, the agent that was loaded goes on answering.
    """
    refuse_argument(argument, "/reload")
    reload_agent(chat.conversation, chat.output, chat.cancellation)


def _list_agents(chat: ChatContext) -> None:
    from flue_cli.agents.description import describe

    show_paged(
        chat,
        agent_table((source, describe(source)) for source in chat.conversation.agent_loader.list_sources()),
    )
    chat.output.note(f"you are talking to {safe_line(chat.conversation.agent.name)}")


COMMANDS: dict[str, SlashCommand] = {"/agent": choose_agent, "/reload": reload_agent_command}
"""Slash command to function."""
