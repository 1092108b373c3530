"""Slash commands that show the chat's state, its last failure, and the usage of its turns."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flue_cli import times
from flue_cli.errors import NotFound
from flue_cli.render.tables import show_paged_text
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.slash.command_context import ChatContext, SlashCommand, parse_number, refuse_argument
from flue_cli.repl.slash.usage import session_usage
from flue_cli.repl.terminal import cooked_mode
from flue_cli.stores.records import ABSENT, SessionHead
from flue_cli.text import format_bytes, format_turns, pluralize, safe_line, safe_text
from flue_cli.times import format_ago, format_duration

_DEFAULT_TURNS = 10


def show_usage(argument: str, chat: ChatContext) -> None:
    """Sum up time and tokens.

    Usage: /usage [N]
    Example: /usage 3

    Shows the newest N turns (default 10) one by one, then the sum of all. Tokens and cost are what the agent
    recorded in the meta["usage"] of its Reply: numbers, or objects with numbers in them.
    """
    newest = parse_number(argument, "/usage", "a number of turns", default=_DEFAULT_TURNS)
    head = chat.conversation.head()
    session = session_usage(chat.conversation.store.entries(head, 1, head.turn), newest)
    if not session.prompts:
        chat.output.note("nothing has been said yet")
        return
    lines = [
        _usage_row(f"turn {usage.turn}", format_duration(usage.duration), _format_figures(usage.figures))
        for usage in session.newest
    ]
    figures = _format_figures(session.total.figures) or "the agent recorded no usage"
    lines.append(_usage_row(format_turns(session.prompts), format_duration(session.total.duration), figures))
    chat.output.result("\n".join(lines))


def show_status(argument: str, chat: ChatContext) -> None:
    """Show agent, session, store.

    Usage: /status

    Also the sizes of history and data, undone turns, and a turn that another process runs. It changes
    nothing.
    """
    refuse_argument(argument, "/status")
    chat.output.result(
        "\n".join(f"{name:<8} {safe_line(fact)}" for name, fact in _status_facts(chat.conversation))
    )


def show_last_traceback(argument: str, chat: ChatContext) -> None:
    """Show the last traceback.

    Usage: /traceback

    It is the agent's, of the last turn that failed in this chat. It is not stored: leaving the chat
    loses it.
    """
    refuse_argument(argument, "/traceback")
    if not chat.conversation.last_traceback:
        raise NotFound("the agent has not failed in this chat")
    with cooked_mode():
        show_paged_text(chat.output, safe_text(chat.conversation.last_traceback))


def _status_facts(conversation: Conversation) -> Iterator[tuple[str, str]]:
    loaded, head, store = conversation.loaded, conversation.head(), conversation.store
    now = times.now()
    yield "agent", loaded.agent.name
    if loaded.source:
        stale = "" if loaded.current_stamp() == loaded.stamp else ", changed since: /reload loads it"
        yield "file", f"{loaded.source.path} ({loaded.source.origin})"
        yield "loaded", f"{format_ago(loaded.loaded_at, now)}, source {loaded.agent.fingerprint}{stale}"
    yield "session", f"{conversation.name} ({_describe_age(head, now)})"
    origin = store.origin(head)
    if origin:
        yield "fork of", f"{origin.name}, as of turn {origin.turn}"
    undone = store.redo_head(head).turn - head.turn
    yield "turn", f"{head.turn}, {undone} undone: /redo" if undone else str(head.turn)
    yield "history", pluralize(head.messages, "message")
    yield "data", format_bytes(len(store.data_at(head, head.turn).encode()))
    yield "store", store.url if conversation.options.is_saved else "memory: nothing is saved"
    timeout = conversation.options.timeout
    limit = f", {timeout:g} s for an answer" if timeout else ""
    yield "waits", f"{conversation.options.wait:g} s behind another turn{limit}"
    yield "now", _describe_activity(conversation, now)


def _describe_age(head: SessionHead, now: int) -> str:
    return "new" if head.uid == ABSENT else f"last used {format_ago(head.updated_at, now)}"


def _describe_activity(conversation: Conversation, now: int) -> str:
    for entry in conversation.unsettled_prompts():
        if entry.outcome == "running":
            duration = format_duration(max(0, now - entry.started_at))
            return f"another process has been answering turn {entry.turn} for {duration}"
        return f"turn {entry.turn} was interrupted: /retry, /edit or /discard"
    return "idle"


def _usage_row(name: str, duration: str, figures: str) -> str:
    return f"{name:<10} {duration:>11}  {figures}".rstrip()


def _format_figures(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{safe_line(name)} {_format_figure(figure)}" for name, figure in figures.items())


def _format_figure(figure: float) -> str:
    """Format a number for people: thousands separators, or six significant digits for a fraction."""
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.6g}"


COMMANDS: dict[str, SlashCommand] = {
    "/status": show_status,
    "/usage": show_usage,
    "/traceback": show_last_traceback,
}
"""Slash command to function."""
