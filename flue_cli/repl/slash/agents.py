"""Slash commands about the agent: which one, and from which state of its file."""

from __future__ import annotations

from flue_cli.errors import UsageError
from flue_cli.names import agent_name, free_name
from flue_cli.render.tables import agent_table
from flue_cli.repl.agent_file import stoppable
from flue_cli.repl.agent_reload import take_file
from flue_cli.repl.slash.command_context import Chat, Command, no_argument, show
from flue_cli.repl.terminal import no_input_for_agents
from flue_cli.text import safe_line


def agent(argument: str, chat: Chat) -> None:
    """Talk to another agent in a new session, or list them: /agent [NAME]."""
    if not argument:
        _list_agents(chat)
        return
    conversation, name = chat.conversation, agent_name(argument)
    before = conversation.agent.name
    if name == before:
        raise UsageError(f"you are talking to {name} already", hint="/reload takes its file as it is now")
    with no_input_for_agents():
        there = stoppable(lambda: conversation.agents.load(name), chat.cancellation)
    back = f"{before}/{conversation.name}" if conversation.has(before, conversation.name) else ""
    conversation.talk_to(there, free_name(lambda session: conversation.has(name, session)), "new")
    if there.remark:
        chat.output.note(there.remark)
    words = f"now talking to {name}, in the new session {conversation.name}"
    chat.output.note(words + (f"; back: /resume {safe_line(back)}" if back else ""))


def reload(argument: str, chat: Chat) -> None:
    """Take the agent's file as it is now; session and data stay."""
    no_argument(argument, "/reload")
    take_file(chat.conversation, chat.output, chat.cancellation)


def _list_agents(chat: Chat) -> None:
    from flue_cli.agents.description import describe

    show(chat, agent_table((source, describe(source)) for source in chat.conversation.agents.found()))
    chat.output.note(f"you are talking to {safe_line(chat.conversation.agent.name)}")


COMMANDS: dict[str, Command] = {"/agent": agent, "/reload": reload}
"""Slash command to function."""
