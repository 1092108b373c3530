"""Slash commands about how things stand: who, where, since when, and what it took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from flue_cli import times
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.slash.command_context import Chat, Command, no_argument, number
from flue_cli.repl.slash.usage import spending
from flue_cli.stores.records import ABSENT, Head
from flue_cli.text import count_of, safe_line, size, turns
from flue_cli.times import ago, length

_NEWEST = 10


def usage(argument: str, chat: Chat) -> None:
    """Sum up time and recorded usage (tokens, cost): /usage [N].

    The newest N turns one by one, 10 unless said otherwise, then all of them. Usage is what the agent gives
    as meta["usage"] of its Reply: numbers, or objects with numbers in them.
    """
    newest = number(argument, "/usage", "a number of turns", default=_NEWEST)
    head = chat.conversation.head()
    found = spending(chat.conversation.store.entries(head, 1, head.turn), newest)
    if not found.prompts:
        chat.output.note("nothing has been said yet")
        return
    lines = [
        _row(f"turn {spent.turn}", length(spent.took), _figures(spent.figures)) for spent in found.newest
    ]
    total = _figures(found.total.figures) or "the agent recorded no usage"
    lines.append(_row(turns(found.prompts), length(found.total.took), total))
    chat.output.result("\n".join(lines))


def status(argument: str, chat: Chat) -> None:
    """Show how things stand: agent, session, sizes, store, who answers."""
    no_argument(argument, "/status")
    chat.output.result(
        "\n".join(f"{name:<8} {safe_line(words)}" for name, words in _standing(chat.conversation))
    )


def _standing(conversation: Conversation) -> Iterator[tuple[str, str]]:
    loaded, head, store = conversation.loaded, conversation.head(), conversation.store
    now = times.now()
    yield "agent", loaded.agent.name
    if loaded.source:
        stale = "" if loaded.now() == loaded.stamp else ", changed since: /reload takes it"
        yield "file", f"{loaded.source.path} ({loaded.source.origin})"
        yield "loaded", f"{ago(loaded.at, now)}, source {loaded.agent.fingerprint}{stale}"
    yield "session", f"{conversation.name} ({_age(head, now)})"
    origin = store.origin(head)
    if origin:
        yield "fork of", f"{origin.name}, as of turn {origin.turn}"
    undone = store.tip(head).turn - head.turn
    yield "turn", f"{head.turn}, {undone} undone: /redo" if undone else str(head.turn)
    yield "history", count_of(head.messages, "message")
    yield "data", size(len(store.data_at(head, head.turn).encode()))
    yield "store", store.url if conversation.manners.keeps else "memory: nothing is kept"
    timeout = conversation.manners.timeout
    bound = f", {timeout:g} s for an answer" if timeout else ""
    yield "waits", f"{conversation.manners.wait:g} s behind another turn{bound}"
    yield "now", _now(conversation, now)


def _age(head: Head, now: int) -> str:
    return "new" if head.uid == ABSENT else f"last used {ago(head.updated_at, now)}"


def _now(conversation: Conversation, now: int) -> str:
    for entry in conversation.unanswered():
        if entry.outcome == "running":
            took = length(max(0, now - entry.started_at))
            return f"another process has been answering turn {entry.turn} for {took}"
        return f"turn {entry.turn} was interrupted: /retry, /edit or /discard"
    return "idle"


def _row(name: str, took: str, figures: str) -> str:
    return f"{name:<10} {took:>11}  {figures}".rstrip()


def _figures(figures: Mapping[str, float]) -> str:
    return ", ".join(f"{safe_line(name)} {_plain(figure)}" for name, figure in figures.items())


def _plain(figure: float) -> str:
    """A number as people read it: whole ones with separators, others with six digits that count."""
    return f"{figure:,}" if isinstance(figure, int) else f"{figure:,.6g}"


COMMANDS: dict[str, Command] = {"/status": status, "/usage": usage}
"""Slash command to function."""
