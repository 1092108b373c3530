"""Answers word by word.

A generator's pieces are shown as they come; together they are the reply.
"""

import time
from collections.abc import Iterator
from typing import Any

from flue_cli import AgentContext, AgentSession


def agent(prompt: str, session: AgentSession[dict[str, Any]], context: AgentContext) -> Iterator[str]:
    for word in f"You said: {prompt}".split():
        if context.cancelled:  # Ctrl-C, or --timeout
            return
        yield word + " "
        time.sleep(0.05)
