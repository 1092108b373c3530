"""Sessions made by the command, for what is done with sessions afterwards."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from conftest import Flue

FAILING_AGENT = """
def agent(prompt, session, context):
    if prompt == "fail":
        raise ValueError("as asked")
    session.data["last"] = prompt
    return f"did {prompt}"
"""


def say(flue: Flue, agent: str, session: str, *prompts: str) -> None:
    """Make a turn of each prompt."""
    for prompt in prompts:
        flue("chat", agent, "-s", session, prompt, stdin=None)


def json_document(text: str) -> dict[str, Any]:
    """The one JSON document that `text` is, which must be ASCII."""
    assert text.isascii()
    document: dict[str, Any] = json.loads(text)
    return document
