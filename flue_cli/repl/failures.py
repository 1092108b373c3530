"""Failures of the agent in a chat: shown when they occur, and their traceback on request."""

from __future__ import annotations

from flue_cli.errors import AgentError, FlueError
from flue_cli.render.notices import add_traceback_hint, show_traceback
from flue_cli.render.streams import Output
from flue_cli.repl.conversation import Conversation


def show_failure(error: FlueError, conversation: Conversation, output: Output) -> None:
    """Show an error; if the agent failed, keep the traceback for /traceback."""
    if isinstance(error, AgentError) and error.traceback:
        conversation.last_traceback = error.traceback
    if conversation.options.verbose:
        show_traceback(error, output, verbose=True)
    else:
        add_traceback_hint(error, "/traceback")
    output.error(error)
