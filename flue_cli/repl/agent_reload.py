"""An agent's file that changes while one talks to it."""

from __future__ import annotations

from flue_cli.errors import AgentError, FlueError
from flue_cli.render.notices import show_failure
from flue_cli.render.streams import Output
from flue_cli.repl.agent_file import reloaded, stoppable
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.terminal import no_input_for_agents
from flue_cli.text import safe_line
from flue_cli.turns.cancellation import Cancellation


def follow_file(conversation: Conversation, output: Output, cancellation: Cancellation) -> None:
    """If the agent's file has changed, take it, where the chat was asked to; else say so, once a change."""
    loaded = conversation.loaded
    now = loaded.now()
    if now in (loaded.stamp, loaded.noticed):
        return
    if not conversation.agents.watches:
        conversation.loaded = loaded._replace(noticed=now)
        output.note(f"{safe_line(loaded.file)} has changed: /reload takes it")
        return
    try:
        take_file(conversation, output, cancellation)
    except FlueError as error:
        output.error(error)


def take_file(conversation: Conversation, output: Output, cancellation: Cancellation) -> None:
    """Load the agent's file as it is now; one that cannot be loaded is reported, and the agent stays.

    Raises UsageError for an agent without a file of its own, and what was requested of `cancellation`.
    """
    old = conversation.loaded
    conversation.loaded = old._replace(noticed=old.now())  # also if it cannot be loaded
    try:
        with no_input_for_agents():
            conversation.loaded = stoppable(lambda: reloaded(old), cancellation)
    except AgentError as error:
        show_failure(error, output, verbose=conversation.manners.verbose)
        output.note("the agent stays as it was")
        return
    same = conversation.loaded.stamp == old.stamp
    output.note(f"{safe_line(old.file)} is loaded again{', and is the same' if same else ''}")
