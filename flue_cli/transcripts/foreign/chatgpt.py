"""The conversations.json of a ChatGPT data export: every conversation a tree (`mapping`) of messages."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flue_cli.errors import UsageError
from flue_cli.transcripts.foreign.conversations import (
    json_text,
    list_or_empty,
    read_conversations,
    seconds_to_time,
    text_or,
)
from flue_cli.transcripts.foreign.trees import Conversation, TreeNode, sessions_of
from flue_cli.transcripts.foreign.turns import ForeignMessage
from flue_cli.transcripts.import_source import ImportedSession, Skipped, Source, refused

_AGENT = "chatgpt"
KEY = "mapping"
"""The key that every conversation has."""

_ROLES = ("user", "assistant", "system", "tool")
_HIDDEN = ("is_user_system_message", "is_visually_hidden_from_conversation")
_THOUGHTS = ("thoughts", "reasoning_recap")
_TEXTS = ("text", "result", "summary", "content", "model_set_context", "user_profile", "user_instructions")
"""Fields of contents other than `parts` that hold their text."""


def read(source: Source, skipped: Skipped) -> Iterator[ImportedSession]:
    """Yield the conversations, each with its forks; one in which nothing was said is skipped."""
    for where, value in read_conversations(source, KEY):
        try:
            if isinstance(value, UsageError):
                raise value
            tree = _read_tree(value, where)
        except UsageError as error:
            yield ImportedSession(_AGENT, where, refused(error))
            continue
        if any(node.messages for node in tree.nodes.values()):
            yield from sessions_of(_AGENT, tree, skipped)
        else:
            skipped(f"{where}: no messages")


def _read_tree(value: Any, where: str) -> Conversation:
    mapping = value.get(KEY) if isinstance(value, dict) else None
    if not isinstance(mapping, dict):
        raise UsageError(f'{where} needs a "{KEY}" of messages')
    identity = text_or(value.get("conversation_id"), text_or(value.get("id"), where))
    calls: set[str] = set()
    nodes = {key: _read_node(key, node, where, calls) for key, node in mapping.items()}
    return Conversation(
        text_or(value.get("title"), identity), nodes, text_or(value.get("current_node"), ""), where
    )


def _read_node(key: str, node: Any, where: str, calls: set[str]) -> TreeNode:
    if not isinstance(node, dict):
        raise UsageError(f"{where}: message {key[:60]} is not an object")
    parent, message = node.get("parent"), node.get("message")
    if parent is not None and not isinstance(parent, str):
        raise UsageError(f"{where}: the parent of message {key[:60]} is not text")
    if message is None:
        return TreeNode(parent, [])
    place = f"{where}: message {key[:60]}"
    author = message.get("author") if isinstance(message, dict) else None
    role = author.get("role") if isinstance(author, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    if role not in _ROLES or not isinstance(content, dict | None):
        raise UsageError(f'{place} needs an "author" with a role ({", ".join(_ROLES)}) and a "content"')
    metadata = message.get("metadata")
    metadata = metadata if isinstance(metadata, dict) else {}
    fields = _message_fields(key, parent, message, metadata, str(role))
    if fields is None:
        return TreeNode(parent, [])
    since = seconds_to_time(message.get("create_time"))
    until = max(since, seconds_to_time(message.get("update_time"))) if role == "assistant" else since
    model = metadata.get("model_slug")
    note = {"model": model} if role == "assistant" and isinstance(model, str) else None
    return TreeNode(parent, [ForeignMessage(fields, place, since, until, note)])


def _message_fields(
    key: str, parent: str | None, message: Mapping[str, Any], metadata: Mapping[str, Any], role: str
) -> dict[str, Any] | None:
    """Return a message as the chat API has it; None if there is nothing in it."""
    content = message.get("content") or {}
    kind = content.get("content_type")
    text = _text_of(content)
    if not text.strip() and kind in (None, "text", "code"):
        return None
    if kind in _THOUGHTS:
        return {"role": "assistant", "content": None, "item": content}
    if role == "assistant" and message.get("recipient") not in (None, "all"):
        function = {"name": str(message["recipient"]), "arguments": text}
        return {
            "role": role,
            "content": None,
            "tool_calls": [{"id": key, "type": "function", "function": function}],
        }
    if role == "tool":
        name = message["author"].get("name")
        fields = {"role": role, "content": text, "tool_call_id": parent or ""}
        return fields | ({"name": name} if isinstance(name, str) else {}) | _item(content, kind)
    if role == "user" and (kind == "user_editable_context" or any(metadata.get(name) for name in _HIDDEN)):
        role = "system"  # instructions of the person, or of the program: nobody typed them as a prompt
    if kind == "multimodal_text":
        return {"role": role, "content": [_part(part) for part in list_or_empty(content.get("parts"))]}
    return {"role": role, "content": text} | _item(content, kind)


def _item(content: Mapping[str, Any], kind: Any) -> dict[str, Any]:
    return {} if kind in (None, "text", "code", "execution_output") else {"item": content}


def _part(part: Any) -> dict[str, Any]:
    text = _part_text(part)
    return {"type": "text", "text": text} if text else {"type": "file", "file": part}


def _part_text(part: Any) -> str:
    if isinstance(part, str):
        return part
    return text_or(part.get("text"), "") if isinstance(part, dict) else ""


def _text_of(content: Mapping[str, Any]) -> str:
    if "parts" in content:
        return "\n".join(filter(None, map(_part_text, list_or_empty(content["parts"]))))
    texts = [content[name] for name in _TEXTS if isinstance(content.get(name), str)]
    return "\n".join(texts) if texts or not content else json_text(content, "a message")
