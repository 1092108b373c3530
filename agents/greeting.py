"""Remembers your name.

Say "my name is Ada" once; every later turn of the session greets you by it.
"""

import re
from typing import TypedDict

from flue_cli import AgentContext, AgentSession

example_prompt = "my name is Ada"


class GreetingData(TypedDict, total=False):
    userName: str


def agent(prompt: str, session: AgentSession[GreetingData], context: AgentContext) -> str:
    name = session.data.get("userName")
    if name:
        return f'Hello again, {name}! You said: "{prompt}"'
    match = re.search(r"my name is (\w+)", prompt, re.IGNORECASE)
    if match:
        session.data["userName"] = match[1]
        return f"Nice to meet you, {match[1]}! How can I help?"
    return 'I don\'t know your name yet. Please tell me, "My name is [your name]".'
