"""Input and result of a turn: conversion between the objects of an agent and stored JSON."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from flue_cli.agents.api import AgentSession, History, Message, Reply
from flue_cli.agents.recorded_errors import escape_surrogates
from flue_cli.errors import AgentError, DataError, FlueError, StoreDamaged
from flue_cli.exception_text import describe_exception
from flue_cli.jsondata.strict import MAX_BYTES, dumps, loads
from flue_cli.stores.records import PARTIAL_REPLY, Failure, TurnResult
from flue_cli.stores.rules import REPLY_FORMAT

if TYPE_CHECKING:
    from flue_cli.agents.discovery import Agent
    from flue_cli.stores.contract import Store
    from flue_cli.stores.records import SessionHead


class TurnInput(NamedTuple):
    """Input of a turn: everything that the agent's answer may depend on.

    `data` is JSON text, `started_at` microseconds since the epoch, UTC. `calls` are records that answer the
    agent's `context.record`, so that no call is made; None if calls are to be made.
    """

    session: str
    prompt: str
    data: str
    history: History
    turn: int
    started_at: int
    seed: int
    calls: Sequence[Mapping[str, Any]] | None = None

    def make_session(self) -> AgentSession[dict[str, Any]]:
        """Make the session object for the agent; StoreDamaged if the data is not a JSON object."""
        return AgentSession(self.session, parse_data(self.data, self.session), self.history)


def make_result(reply: Reply, session: AgentSession[Any], recorded: Mapping[str, Any]) -> TurnResult:
    """Convert reply and session to storage form; AgentError for what JSON cannot hold."""
    try:
        agent_data = getattr(session, "data", None)
        if not isinstance(agent_data, dict):
            raise DataError("data", f"{type(agent_data).__name__}, not dict")
        data = dumps(agent_data)
        between = [
            _message_fields(message, f"messages[{number}]") for number, message in enumerate(reply.messages)
        ]
        copied = loads(dumps(between, root="messages")) if between else []
        messages = tuple(Message.from_dict(fields) for fields in copied)
        meta = {**reply.meta, **recorded}
        if reply.meta or "calls" in recorded:
            dumps(meta, root="meta")
    except DataError as error:
        raise AgentError(
            f"the agent's result cannot be kept: {error}",
            type="bad_data",
            hint=""
            if "MiB" in error.problem
            else "JSON holds dict with str keys, list, str, int, float, bool, None",
        ) from error
    except Exception as error:  # objects of the agent's own classes may raise anything
        raise AgentError(
            f"the agent's Reply cannot be read: {describe_exception(error)}", type="bad_reply"
        ) from error
    return TurnResult(reply.text, messages, data, meta)


def recorded_facts(agent: Agent, seed: int) -> dict[str, Any]:
    """Return the facts for a turn's meta that say what made it: source, seed, and format of the reply."""
    facts: dict[str, Any] = {"source": agent.fingerprint, "seed": seed}
    if agent.reply_format != "text":
        facts[REPLY_FORMAT] = agent.reply_format
    return facts


def parse_data(text: str, session: str) -> dict[str, Any]:
    """Parse the JSON `text` of a session's data; StoreDamaged if it is not an object."""
    try:
        data = loads(text)
    except ValueError as error:
        raise StoreDamaged(f"the data of session '{session}' is not JSON: {error}") from error
    if not isinstance(data, dict):
        raise StoreDamaged(f"the data of session '{session}' is not a JSON object")
    return data


def new_seed() -> int:
    """Draw the seed of a turn's random numbers: 48 bits, exact in any JSON reader."""
    return int.from_bytes(os.urandom(6), "big")


def history_before(store: Store, head: SessionHead) -> History:
    """Return the history up to `head`; it reads messages from the store on access."""
    return History(head.messages, lambda start, stop: store.messages(head, start, stop))


def failure_of(error: FlueError) -> Failure:
    """Convert an error to the form in which a turn stores it."""
    # The message may quote a file name with a lone surrogate, which no store takes.
    return Failure(error.type, escape_surrogates(error.message))


def partial_reply_meta(pieces: Sequence[str]) -> dict[str, str]:
    """Return the meta that keeps the pieces of a reply without an end; its end is cut past 16 MiB of JSON."""
    text = "".join(pieces)
    most = MAX_BYTES - 2**16  # an export is read again, with the rest of the turn's meta
    while len(text) * 12 > most and (size := len(json.dumps(text))) > most:  # no character takes more than 12
        text = text[: len(text) * most // size]
    return {PARTIAL_REPLY: text} if text else {}


def _message_fields(message: Message | Mapping[str, Any], label: str) -> dict[str, Any]:
    fields = message.as_dict() if isinstance(message, Message) else dict(message)
    if not isinstance(fields.get("role"), str) or "content" not in fields:
        raise DataError(label, "needs a 'role' (str) and 'content'")
    return fields
