"""Keeps a journal: anything you write is an entry, "read" streams them all back.

Shows a generator agent, which answers piece by piece, and the lazy history.
"""

from collections.abc import Iterator

from flue_cli import AgentContext, AgentSession

example_prompt = "Today it rained."


def agent(prompt: str, session: AgentSession[dict[str, int]], context: AgentContext) -> Iterator[str]:
    if prompt.strip().lower() != "read":
        session.data["entries"] = session.data.get("entries", 0) + 1
        yield f"Entry {session.data['entries']}, "
        yield f"{context.now:%d %B %Y}. "
        yield "Noted."
        return
    number = 0
    for message in session.history:
        if message.role == "user" and message.content.strip().lower() != "read":
            number += 1
            yield f"{number}. {message.content}\n"
    if not number:
        yield "Nothing has been written yet."
