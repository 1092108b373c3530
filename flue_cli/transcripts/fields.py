"""A session and its turns as JSON objects, shared by the lossless formats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flue_cli.agents.api import Message
from flue_cli.stores.records import Entry, Head
from flue_cli.stores.rules import INTERRUPTED, history_of
from flue_cli.times import timestamp
from flue_cli.transcripts.readable import Readable

VERSION = 1
"""What `"flue"` says in a document: it grows when an older Flue could not read it."""


class RawJson(str):
    """Text that is JSON already, and goes into a document as it stands."""

    __slots__ = ()


def object_of(fields: Mapping[str, Any]) -> str:
    """A JSON object in ASCII. Data is embedded as stored: parsing it to print it would double the work."""
    pieces: list[str] = []
    plain: dict[str, Any] = {}
    for key, value in fields.items():
        if isinstance(value, RawJson):
            pieces += [json.dumps(plain)[1:-1], f"{json.dumps(key)}: {value}"]
            plain = {}
        else:
            plain[key] = value
    pieces.append(json.dumps(plain)[1:-1])
    return "{" + ", ".join(piece for piece in pieces if piece) + "}"


def entries(store: Readable, head: Head, first: int, *, with_data: bool = False) -> Iterator[Entry]:
    """Turns `first` and later up to `head`, oldest first, and the prompt that a crash left unanswered.

    The next prompt will settle that one as interrupted; it is no less a part of the conversation.
    """
    yield from store.entries(head, first, head.turn, with_data=with_data)
    left = store.running(head)
    if left and left.outcome == "interrupted" and left.turn == head.turn + 1:
        yield left._replace(data=store.data_at(head, head.turn) if with_data else "", error=INTERRUPTED)


def session_fields(store: Readable, head: Head) -> dict[str, Any]:
    """What a document says of the session itself."""
    origin = store.origin(head)
    return {
        "flue": VERSION,
        "agent": head.agent,
        "session": head.name,
        "created_at": timestamp(head.created_at),
        "updated_at": timestamp(head.updated_at),
        "version": head.version,
        "forked_from": {"agent": head.agent, "session": origin.name, "turn": origin.turn} if origin else None,
    }


def turn_fields(entry: Entry) -> dict[str, Any]:
    """What a document says of one turn; its data is the data after it."""
    return {
        "turn": entry.turn,
        "kind": entry.kind,
        "outcome": entry.outcome,
        "key": entry.key,
        "started_at": timestamp(entry.started_at),
        "finished_at": timestamp(entry.finished_at),
        "messages": [message.as_dict() for message in said_in(entry)],
        "data": RawJson(entry.data),
        "error": entry.error._asdict() if entry.error else None,
        "meta": dict(entry.meta),
    }


def said_in(entry: Entry) -> tuple[Message, ...]:
    """The messages of a turn, whatever became of it: its prompt, those that came after, the reply."""
    if entry.kind != "prompt":
        return ()
    return history_of(entry) or (Message("user", entry.prompt), *entry.messages)


def body_of(message: Message) -> str:
    """What a message says; where that is more than text (tool calls), all of it as JSON."""
    if isinstance(message.content, str) and not message.extra:
        return message.content
    return json.dumps(message.as_dict(), ensure_ascii=False, indent=2)
