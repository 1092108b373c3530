"""Talks to a language model, with the session's history as its memory.

Any server with an OpenAI-compatible API will do. Set OPENAI_MODEL, and OPENAI_API_KEY or OPENAI_BASE_URL:
http://localhost:11434/v1 is Ollama, http://localhost:8080/v1 a llama.cpp server.
"""

import json
import os
from collections.abc import Iterator
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from flue_cli import AgentContext, AgentSession, Reply

INSTRUCTIONS = "You are a helpful assistant in a terminal. Answer briefly."
REMEMBERED = 40
"""How many earlier messages the model is shown."""


def agent(prompt: str, session: AgentSession[dict[str, Any]], context: AgentContext) -> Iterator[str | Reply]:
    model = os.environ.get("OPENAI_MODEL", "gpt-4o-mini")
    messages = [
        {"role": "system", "content": INSTRUCTIONS},
        *(message.as_dict() for message in session.history.last(REMEMBERED)),
        {"role": "user", "content": prompt},
    ]
    usage = None
    # What the model answers is recorded, so that flue replay and flue test need no model.
    for piece in context.record("model", lambda: ask({"model": model, "messages": messages, "stream": True})):
        if isinstance(piece, str):
            yield piece
        else:
            usage = piece
    yield Reply("", meta={"model": model, "usage": usage})


def ask(body: dict[str, Any]) -> Iterator[str | dict[str, Any]]:
    """The text that the server streams in answer to `body`, and in the end, if it says so, what that took."""
    usage = None
    base = os.environ.get("OPENAI_BASE_URL", "https://api.openai.com/v1")
    headers = {"Content-Type": "application/json"}
    if key := os.environ.get("OPENAI_API_KEY"):
        headers["Authorization"] = f"Bearer {key}"
    request = Request(f"{base}/chat/completions", json.dumps(body).encode(), headers)
    try:
        with urlopen(request, timeout=60) as response:
            for line in response:
                if line.startswith(b"data: {"):
                    event = json.loads(line[len(b"data: ") :])
                    usage = event.get("usage") or usage
                    for choice in event.get("choices") or []:
                        if text := choice.get("delta", {}).get("content"):
                            yield text
    except HTTPError as error:
        raise RuntimeError(
            f"{base} answered {error.code}: {error.read(500).decode(errors='replace')}"
        ) from None
    if usage:
        yield usage
