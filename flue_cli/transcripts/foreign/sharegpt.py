"""Conversations in the form of ShareGPT: `{"conversations": [{"from": "human", "value": …}, …]}`."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

from flue_cli.errors import UsageError
from flue_cli.text import safe_line
from flue_cli.transcripts.foreign.conversations import read_conversations, text_or
from flue_cli.transcripts.foreign.turns import ForeignMessage, turns_of
from flue_cli.transcripts.import_source import ImportedSession, Skipped, Source, refused

_AGENT = "sharegpt"
KEY = "conversations"
"""The key that every conversation has."""

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bing": "assistant",
    "bard": "assistant",
    "function_call": "assistant",
    "system": "system",
    "tool": "tool",
    "observation": "tool",
    "function_response": "tool",
}
"""Value of `from` in a message to the message's role."""


def read(source: Source, skipped: Skipped) -> Iterator[ImportedSession]:
    """Yield the conversations; an empty one is skipped."""
    found = read_conversations(source, KEY)
    first, second = next(found, None), next(found, None)
    known = [one for one in (first, second) if one is not None]
    for number, (where, value) in enumerate(chain(known, found), 1):
        name = source.stem if second is None else f"{source.stem}-{number}"
        if isinstance(value, dict):
            name = text_or(value.get("title"), text_or(value.get("id"), name))
        try:
            if isinstance(value, UsageError):
                raise value
            said = _read_messages(value, where)
        except UsageError as error:
            yield ImportedSession(_AGENT, name, refused(error))
            continue
        if said:
            yield ImportedSession(_AGENT, name, turns_of(said, _AGENT, reply_format="markdown"))
        else:
            skipped(f"{where}: no messages")


def _read_messages(value: Any, where: str) -> list[ForeignMessage]:
    messages = value.get(KEY) if isinstance(value, dict) else None
    if not isinstance(messages, list):
        raise UsageError(f'{where} needs "{KEY}", a list')
    said: list[ForeignMessage] = []
    call = ""
    for number, message in enumerate(messages):
        read_message = _read_message(message, f"{where}: {KEY}[{number}]", call)
        if read_message.message.get("tool_calls"):
            call = read_message.where
        said.append(read_message)
    if said and (system := text_or(value.get("system"), "")):
        said.insert(0, ForeignMessage({"role": "system", "content": system}, where))
    if said and value.get("tools"):
        said[0] = said[0]._replace(note={"tools": value["tools"]})
    return said


def _read_message(message: Any, where: str, last_call: str) -> ForeignMessage:
    """Return a message; the result of a tool belongs to `last_call`, if there was one."""
    if not isinstance(message, dict):
        raise UsageError(f"{where} is not an object")
    sender, text = message.get("from", message.get("role")), message.get("value", message.get("content"))
    if not isinstance(text, str):
        raise UsageError(f'{where} needs a "value", which is text')
    if not isinstance(sender, str) or sender not in _ROLES:
        raise UsageError(f'{where} is "from" {safe_line(repr(sender))[:60]}; known are {", ".join(_ROLES)}')
    fields: dict[str, Any] = {"role": _ROLES[sender], "content": text}
    if fields["role"] == "tool" and last_call:
        fields["tool_call_id"] = last_call
    if sender == "function_call":
        call = {"id": where, "type": "function", "function": {"name": "", "arguments": text}}
        fields |= {"content": None, "tool_calls": [call]}
    return ForeignMessage(fields, where)
