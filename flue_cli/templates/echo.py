"""Says what you say."""

from typing import Any

from flue_cli import AgentContext, AgentSession


def agent(prompt: str, session: AgentSession[dict[str, Any]], context: AgentContext) -> str:
    return f"You said: {prompt}"
