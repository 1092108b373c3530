"""Reloading of the agent's file during a chat."""

from __future__ import annotations

from flue_cli.errors import AgentError, FlueError
from flue_cli.render.streams import Output
from flue_cli.repl.agent_file import load_interruptibly, reload_agent_file
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.failures import show_failure
from flue_cli.repl.terminal import no_input_for_agents
from flue_cli.text import safe_line
from flue_cli.turns.cancellation import Cancellation


def check_agent_file(conversation: Conversation, output: Output, cancellation: Cancellation) -> None:
    """Reload the agent's file if it has changed and the chat watches it; else report each change once."""
    loaded = conversation.loaded
    current = loaded.current_stamp()
    if current in (loaded.stamp, loaded.reported_stamp):
        return
    if not conversation.agent_loader.reloads_on_change:
        conversation.loaded = loaded._replace(reported_stamp=current)
        output.note(f"{safe_line(loaded.file_name)} has changed: /reload loads it")
        return
    try:
        reload_agent(conversation, output, cancellation)
    except FlueError as error:
        output.error(error)


def reload_agent(conversation: Conversation, output: Output, cancellation: Cancellation) -> None:
    """Load the agent's file again; if it cannot be loaded, report that and keep the agent.

    Raises UsageError for an agent that cannot be loaded again, and the reason of `cancellation`.
    """
    old = conversation.loaded
    conversation.loaded = old._replace(reported_stamp=old.current_stamp())  # reported also if it fails
    try:
        with no_input_for_agents():
            conversation.loaded = load_interruptibly(lambda: reload_agent_file(old), cancellation)
    except AgentError as error:
        show_failure(error, conversation, output)
        output.note("the old agent goes on answering")
        return
    is_same = conversation.loaded.stamp == old.stamp
    output.note(f"{safe_line(old.file_name)} is loaded again{', unchanged' if is_same else ''}")
