"""What a turn starts from and what of it is kept: between the objects of an agent and JSON text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from flue_cli.errors import AgentError, DataError, StoreDamaged, words_of
from flue_cli.jsondata.strict import dumps, loads
from flue_cli.session import AgentSession, Message, Reply


class Kept(NamedTuple):
    """What of a reply and a session is going to be kept, in the form that it is kept in."""

    reply: str
    messages: list[Message]
    data: str
    meta: dict[str, Any]


def kept_of(reply: Reply, session: AgentSession[Any], recorded: Mapping[str, Any]) -> Kept:
    """What is to be kept of a turn, `recorded` in its meta; AgentError for what JSON cannot hold."""
    try:
        found = getattr(session, "data", None)
        if not isinstance(found, dict):
            raise DataError("data", f"{type(found).__name__}, not dict")
        data = dumps(found)
        between = [_fields(message, f"messages[{number}]") for number, message in enumerate(reply.messages)]
        copied = loads(dumps(between, root="messages")) if between else []
        messages = [Message.from_dict(fields) for fields in copied]
        meta = {**reply.meta, **recorded}
        if reply.meta or "calls" in recorded:
            dumps(meta, root="meta")
    except DataError as error:
        raise AgentError(
            f"what the agent left cannot be kept: {error}",
            type="bad_data",
            hint=""
            if "MiB" in error.problem
            else "JSON holds dict with str keys, list, str, int, float, bool, None",
        ) from error
    except Exception as error:  # all of this is the agent's objects, and they may do anything
        raise AgentError(f"the agent's Reply cannot be read: {words_of(error)}", type="bad_reply") from error
    return Kept(reply.text, messages, data, meta)


def data_of(text: str, session: str) -> dict[str, Any]:
    """The data that JSON `text` of a session holds; StoreDamaged if it is no object."""
    try:
        data = loads(text)
    except ValueError as error:
        raise StoreDamaged(f"the data of session '{session}' is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise StoreDamaged(f"the data of session '{session}' is no JSON object")
    return data


def _fields(message: Message | Mapping[str, Any], where: str) -> dict[str, Any]:
    fields = message.as_dict() if isinstance(message, Message) else dict(message)
    if not isinstance(fields.get("role"), str) or "content" not in fields:
        raise DataError(where, "needs a 'role' (str) and 'content'")
    return fields
