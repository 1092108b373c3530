"""Counts what you say, and remembers the last thing.

What is left in session.data is kept if the turn completes, and dropped if it does not.
"""

from typing import TypedDict

from flue_cli import AgentContext, AgentSession


class Data(TypedDict, total=False):
    count: int
    last: str


def agent(prompt: str, session: AgentSession[Data], context: AgentContext) -> str:
    before = session.data.get("last")
    session.data["count"] = session.data.get("count", 0) + 1
    session.data["last"] = prompt
    if before is None:
        return f'1: "{prompt}". I will remember that.'
    return f'{session.data["count"]}: "{prompt}". Before that you said: "{before}".'
