"""The conversations.json of a Claude.ai data export: every conversation a list (`chat_messages`).

Newer exports name the message before each, so that the list is a tree.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from flue_cli.errors import UsageError
from flue_cli.times import parse_iso
from flue_cli.transcripts.foreign.conversations import (
    json_text,
    list_or_empty,
    read_conversations,
    text_or,
)
from flue_cli.transcripts.foreign.trees import Conversation, TreeNode, sessions_of
from flue_cli.transcripts.foreign.turns import ForeignMessage
from flue_cli.transcripts.import_source import UNDATED, ImportedSession, Skipped, Source, refused

_AGENT = "claude"
KEY = "chat_messages"
"""The key that every conversation has."""

_ROLES = {"human": "user", "user": "user", "assistant": "assistant"}
_ROOT = "00000000-0000-4000-8000-000000000000"
"""The message before the first one."""


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
    messages = value.get(KEY) if isinstance(value, dict) else None
    if not isinstance(messages, list):
        raise UsageError(f'{where} needs "{KEY}", a list')
    nodes: dict[str, TreeNode] = {}
    before: str | None = None
    for number, message in enumerate(messages):
        place = f"{where}: {KEY}[{number}]"
        if not isinstance(message, dict) or message.get("sender") not in _ROLES:
            raise UsageError(f'{place} needs a "sender": human or assistant')
        key = text_or(message.get("uuid"), place)
        if key in nodes:
            raise UsageError(f'{place} has the "uuid" of another message')
        parent = message.get("parent_message_uuid", before)
        if parent is not None and not isinstance(parent, str):
            raise UsageError(f'{place}: "parent_message_uuid" is not text')
        nodes[key] = TreeNode(None if parent == _ROOT else parent, list(_messages(message, place)))
        before = key
    name = text_or(value.get("name"), text_or(value.get("uuid"), where))
    return Conversation(name, nodes, text_or(value.get("current_leaf_message_uuid"), before or ""), where)


def _messages(message: Mapping[str, Any], where: str) -> Iterator[ForeignMessage]:
    """Yield the messages that a message is for the chat API: calls and results are some of their own."""
    at = parse_iso(message.get("created_at"))
    since = UNDATED if at is None else at
    blocks = [block for block in list_or_empty(message.get("content")) if isinstance(block, dict)]
    if not blocks:
        blocks = [{"type": "text", "text": text_or(message.get("text"), "")}]
    if _ROLES[message["sender"]] == "user":
        yield ForeignMessage({"role": "user", "content": _prompt(message, blocks)}, where, since, since)
        return
    for block in _joined(blocks):
        fields = _block_message(block)
        if fields is not None:
            yield ForeignMessage(fields, where, since, since)


def _prompt(message: Mapping[str, Any], blocks: list[dict[str, Any]]) -> Any:
    """Return the content of a prompt: its text, and a part for every file that was attached."""
    text = "\n".join(_texts(blocks)) or text_or(message.get("text"), "")
    files = [
        one
        for name in ("attachments", "files", "files_v2")
        for one in list_or_empty(message.get(name))
        if isinstance(one, dict)
    ]
    if not files:
        return text
    return [{"type": "text", "text": text}, *({"type": "file", "file": one} for one in files)]


def _joined(blocks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """Yield the blocks, texts that follow each other as one."""
    texts: list[str] = []
    for block in blocks:
        if block.get("type") == "text":
            texts += _texts([block])
            continue
        if texts:
            yield {"type": "text", "text": "\n\n".join(texts)}
            texts = []
        yield block
    if texts:
        yield {"type": "text", "text": "\n\n".join(texts)}


def _block_message(block: Mapping[str, Any]) -> dict[str, Any] | None:
    match block.get("type"):
        case "text":
            text = text_or(block.get("text"), "")
            return {"role": "assistant", "content": text} if text else None
        case "tool_use":
            function = {"name": str(block.get("name")), "arguments": json_text(block.get("input"), "a call")}
            call = {"id": str(block.get("id")), "type": "function", "function": function}
            return {"role": "assistant", "content": None, "tool_calls": [call]}
        case "tool_result":
            content = block.get("content")
            texts = _texts([part for part in list_or_empty(content) if isinstance(part, dict)])
            shown = (
                content if isinstance(content, str) else "\n".join(texts) or json_text(content, "a result")
            )
            return {
                "role": "tool",
                "content": shown,
                "tool_call_id": str(block.get("tool_use_id")),
                "name": str(block.get("name")),
            }
    return {"role": "assistant", "content": None, "item": block}


def _texts(blocks: list[dict[str, Any]]) -> list[str]:
    return [block["text"] for block in blocks if isinstance(block.get("text"), str)]
