"""Talks to a language model, with the session's history as its memory.

Any server with an OpenAI-compatible API will do. Set these variables in the shell:

    OpenAI       OPENAI_API_KEY=sk-... OPENAI_MODEL=gpt-5-mini
    OpenRouter   OPENAI_API_KEY=sk-or-... OPENAI_MODEL=openai/gpt-5-mini
                 OPENAI_BASE_URL=https://openrouter.ai/api/v1
    Ollama       OPENAI_MODEL=llama3.2 OPENAI_BASE_URL=http://localhost:11434/v1
"""

import json
import os
from collections.abc import Iterable, Iterator
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from flue_cli import AgentContext, AgentSession, Reply

INSTRUCTIONS = "You are a helpful assistant in a terminal. Answer briefly."
REMEMBERED = 40
"""Number of earlier messages that the model is shown."""
MAX_SILENCE = 120
"""Seconds to wait for the next piece of an answer."""

reply_format = "markdown"

FAULTS = {
    "": "broke off",
    "error": "broke off with an error",
    "length": "was cut off at the length limit",
    "content_filter": "was withheld by the server's content filter",
    "tool_calls": "is a call of a tool, and this agent has no tools",
}
"""Ends of an answer (`finish_reason`) that leave it incomplete; "" is an answer without one."""


class ModelError(Exception):
    """The model gave no complete answer. The turn fails, and leaves the history as it was."""


def agent(prompt: str, session: AgentSession[dict[str, Any]], context: AgentContext) -> Iterator[str | Reply]:
    messages = [
        {"role": "system", "content": INSTRUCTIONS},
        *(message.as_dict() for message in session.history.last(REMEMBERED)),
        {"role": "user", "content": prompt},
    ]
    usage = None
    # The model's answer is recorded, so that flue replay and flue test need no model.
    for piece in context.record("model", lambda: ask(messages)):
        if isinstance(piece, str):
            yield piece
        else:
            usage = piece
    yield Reply("", meta={"model": os.environ.get("OPENAI_MODEL"), "usage": usage})


def ask(messages: list[dict[str, Any]]) -> Iterator[str | dict[str, Any]]:
    """Yield the model's answer as it comes, then the number of tokens, if the server tells it.

    Raises ModelError if the answer is not complete.
    """
    request = make_request(messages)
    answer, end, usage = "", "", None
    try:
        with urlopen(request, timeout=MAX_SILENCE) as response:
            for event in read_events(response):
                usage = event.get("usage") or usage
                for choice in event.get("choices") or []:
                    part = choice.get("delta") or choice.get("message") or {}
                    if text := part.get("content"):
                        answer += text
                        yield text
                    end = end or choice.get("finish_reason") or ""
    except HTTPError as error:
        raise ModelError(
            f"{request.full_url} answers {error.code}: {server_words(error.read(9999))}"
        ) from None
    except (OSError, HTTPException) as error:
        reason = getattr(error, "reason", error)  # of an URLError
        problem = "broke off" if answer else "did not answer"
        raise ModelError(
            f"{request.full_url} {problem}: {getattr(reason, 'strerror', 0) or reason}"
        ) from None
    if end in FAULTS or not answer.strip():
        raise ModelError(f"the model's answer {FAULTS.get(end, 'is empty')}")
    if usage:
        yield usage


def make_request(messages: list[dict[str, Any]]) -> Request:
    """Make the request, as the environment says; ModelError names a variable that is missing."""
    names = ("OPENAI_API_KEY", "OPENAI_BASE_URL", "OPENAI_MODEL")
    key, base, model = (os.environ.get(name, "").strip() for name in names)
    if not (key or base):
        raise ModelError(
            "set OPENAI_MODEL, and OPENAI_API_KEY (for OpenAI) or OPENAI_BASE_URL (for another server: "
            "http://localhost:11434/v1 is Ollama)"
        )
    if not model:
        raise ModelError(
            "set OPENAI_MODEL, for example to gpt-5-mini (OpenAI), openai/gpt-5-mini (OpenRouter) or "
            "llama3.2 (Ollama)"
        )
    body = {"model": model, "messages": messages, "stream": True, "stream_options": {"include_usage": True}}
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
    url = (base or "https://api.openai.com/v1").rstrip("/") + "/chat/completions"
    return Request(url, json.dumps(body).encode(), headers)


def read_events(lines: Iterable[bytes]) -> Iterator[dict[str, Any]]:
    """Yield the events of a stream, or the one JSON document that some servers answer instead.

    Raises ModelError for anything else, and for an error that the server reports.
    """
    document = b""
    for line in lines:
        field, _, value = line.partition(b":")
        if field == b"data" and value.strip() == b"[DONE]":
            yield {"choices": [{"finish_reason": "stop"}]}
        elif field == b"data" and value.strip() and line.endswith(b"\n"):  # without it, the line is cut off
            yield parse_event(value)
        elif field not in (b"", b"data", b"event", b"id", b"retry"):
            document += line
    if document.strip():
        event = parse_event(document)
        if "choices" not in event:
            raise ModelError(f"the server reports: {server_words(document)}")
        yield event


def parse_event(text: bytes) -> dict[str, Any]:
    """Parse a JSON object; ModelError has the server's words if it is none, or an error."""
    try:
        event = json.loads(text)
    except ValueError:
        event = None
    if not isinstance(event, dict) or event.get("error"):
        raise ModelError(f"the server reports: {server_words(text)}")
    return event


def server_words(answer: bytes) -> str:
    """Find the server's own words for an error: one line, at most 300 characters."""
    words: Any = answer.decode(errors="replace")
    try:
        words = json.loads(answer)
        words = words.get("error") or words
        words = words.get("message") or words
    except (ValueError, AttributeError):
        pass  # no JSON, or of another shape: then the words are all of it
    return " ".join(str(words).split())[:300]
