"""Lists of messages, as model APIs take them, as turns.

A turn begins at each message of the user; its reply is the last answer before the next one, and without an
answer it was interrupted. Messages that a turn has no place for stand in its `meta`: instructions to the
model and greetings, which belong to the turn that follows (`before`); messages behind the reply, such as a
tool's (`after`); and prompts and replies that are more than text:

    meta["original"] = {"before": [MESSAGE, …], "user": MESSAGE, "assistant": MESSAGE, "after": [MESSAGE, …]}

and an export to the same form gives them back as they were.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from flue_cli.agents.api import Message
from flue_cli.errors import UsageError
from flue_cli.jsondata.strict import check_text_size, pack_foreign
from flue_cli.stores.records import Entry, Failure
from flue_cli.stores.rules import REPLY_FORMAT
from flue_cli.transcripts.import_source import UNDATED

ORIGINAL = "original"
"""The key in a turn's meta of messages that a turn cannot hold as they are."""

NOTES = ("item", "parts")
"""Fields of messages that hold what other programs know of them; no model API takes them."""

UNANSWERED = Failure("interrupted", "it was not answered")
"""The failure of a prompt that has no reply."""

_INSTRUCTIONS = ("system", "developer")
_TEXTS = ("text", "input_text", "output_text")


class ForeignMessage(NamedTuple):
    """A message, where it stands, when it was (UNDATED: nobody knows), and what else is known of its turn."""

    message: Mapping[str, Any]
    where: str
    since: int = UNDATED
    until: int = UNDATED
    note: Mapping[str, Any] | None = None


def turns_of(
    said: Iterable[ForeignMessage], notes: str = "", *, reply_format: str = "text"
) -> Iterator[Entry]:
    """The entries that messages make; `notes` is the name in meta under which what else is known is listed.

    `reply_format` is recorded with the turns that have a reply.

    UsageError if there is no message by the user.
    """
    before: list[ForeignMessage] = []
    turn: list[ForeignMessage] = []
    for one in said:
        if one.message["role"] != "user":
            (turn or before).append(one)
            continue
        if turn:
            rest = _trailing(turn)
            yield _in_format(_entry(before, turn, [], notes), reply_format)
            before = rest
        turn = [one]
    if not turn:
        raise UsageError("there is no message by the user")
    rest = _trailing(turn)
    yield _in_format(_entry(before, turn, rest, notes), reply_format)


def _in_format(entry: Entry, reply_format: str) -> Entry:
    if entry.reply is None or reply_format == "text":
        return entry
    return entry._replace(meta={**entry.meta, REPLY_FORMAT: reply_format})


def text_of(content: Any) -> str:
    """Return all texts in the content of a message."""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") for part in content if isinstance(part, dict) and part.get("type") in _TEXTS]
    return "\n".join(text for text in texts if isinstance(text, str))


def _trailing(turn: list[ForeignMessage]) -> list[ForeignMessage]:
    """Take the instructions at the end out of a turn: they are about the next one."""
    at = len(turn)
    while at > 1 and turn[at - 1].message["role"] in _INSTRUCTIONS:
        at -= 1
    rest = turn[at:]
    del turn[at:]
    return rest


def _entry(
    before: list[ForeignMessage], turn: list[ForeignMessage], after: list[ForeignMessage], notes: str
) -> Entry:
    asked, *between = turn
    answer, late = _take_answer(between)
    original: dict[str, Any] = {}
    if before:
        original["before"] = [dict(one.message) for one in before]
    if not _is_plain(asked.message):
        original["user"] = dict(asked.message)
    if answer and not _is_plain(answer.message):
        original["assistant"] = dict(answer.message)
    if late or after:
        original["after"] = [dict(one.message) for one in (*late, *after)]
    known = [dict(one.note) for one in (*before, *turn, *after) if one.note]
    meta: dict[str, Any] = {ORIGINAL: original} if original else {}
    meta |= {notes: known} if known else {}
    if meta:
        pack_foreign(meta, f"{asked.where}: meta")
    messages = tuple(Message.from_dict(one.message) for one in between)
    if messages:
        pack_foreign([message.as_dict() for message in messages], f"{asked.where}: messages")
    until = max((one.until for one in turn), default=UNDATED)
    return Entry(
        turn=0,
        kind="prompt",
        outcome="completed" if answer else "interrupted",
        key=None,
        prompt=check_text_size(text_of(asked.message["content"]), asked.where),
        reply=check_text_size(_answer(answer.message), answer.where) if answer else None,
        messages=messages,
        started_at=asked.since,
        finished_at=max(asked.since, until),
        error=None if answer else UNANSWERED,
        meta=meta,
        data="{}",
    )


def _take_answer(between: list[ForeignMessage]) -> tuple[ForeignMessage | None, list[ForeignMessage]]:
    """Take the last answer, and the messages behind it, out of those that follow a prompt."""
    for at in range(len(between) - 1, -1, -1):
        if _is_answer(between[at].message):
            answer, late = between[at], between[at + 1 :]
            del between[at:]
            return answer, late
    return None, []


def _is_plain(message: Mapping[str, Any]) -> bool:
    return len(message) == 2 and isinstance(message["content"], str)


def _is_answer(message: Mapping[str, Any]) -> bool:
    if message["role"] != "assistant" or message.get("tool_calls") or message.get("function_call"):
        return False
    return message["content"] is not None or isinstance(message.get("refusal"), str)


def _answer(message: Mapping[str, Any]) -> str:
    content = message["content"]
    return str(message["refusal"]) if content is None else text_of(content)
