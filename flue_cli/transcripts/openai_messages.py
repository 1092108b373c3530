"""Lists of messages as most model APIs take them: `{"messages": [{"role", "content", …}]}`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flue_cli.errors import UsageError
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.transcripts.export_view import ExportSource, messages_of

if TYPE_CHECKING:
    from flue_cli.transcripts.foreign.turns import ForeignMessage
    from flue_cli.transcripts.import_source import ImportedSession, Skipped, Source

_PARTS = ("text", "image_url", "input_audio", "file", "refusal")
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


def export(store: ExportSource, head: SessionHead, first: int) -> Iterator[str]:
    """The history, a message a line; of imported lists also the prompts that were not answered."""
    yield '{"messages": ['
    separator = "\n"
    for entry in store.entries(head, first, head.turn):
        for message in _turn_messages(entry):
            yield separator + json.dumps(message)
            separator = ",\n"
    yield "\n]}\n"


def read(source: Source, skipped: Skipped) -> Iterator[ImportedSession]:
    """A session of every list: one in a document; in lines one a line, or all lines together.

    A list that cannot be read keeps no other one out.
    """
    from itertools import chain

    from flue_cli.transcripts.foreign.turns import turns_of
    from flue_cli.transcripts.import_source import ImportedSession, refused

    lists = _lists(source)
    first, second = next(lists, None), next(lists, None)
    known = [one for one in (first, second) if one is not None]
    for number, messages in enumerate(chain(known, lists), 1):
        name = source.stem if second is None else f"{source.stem}-{number}"
        found = refused(messages) if isinstance(messages, UsageError) else turns_of(messages)
        yield ImportedSession("", name, found)


def _turn_messages(entry: Entry) -> Iterator[dict[str, Any]]:
    """Return the messages of a turn; those of an imported list as they were in it."""
    from flue_cli.transcripts.foreign.turns import NOTES, ORIGINAL, UNANSWERED

    if entry.outcome != "completed" and entry.error != UNANSWERED:
        return
    messages = [message.as_dict() for message in messages_of(entry)]
    if not messages:
        return
    original = entry.meta.get(ORIGINAL)
    original = original if isinstance(original, dict) else {}
    if _is_of_chat(original.get("user")):
        messages[0] = original["user"]
    if entry.reply is not None and _is_of_chat(original.get("assistant")):
        messages[-1] = original["assistant"]
    around = [_list_in(original, "before"), messages, _list_in(original, "after")]
    results = {str(message.get("tool_call_id")) for message in messages}
    for message in (one for some in around for one in some):
        if entry.reply is None and not _are_answered(message.get("tool_calls"), results):
            continue
        shown = {key: value for key, value in message.items() if key not in NOTES}
        if shown.get("content") is not None or len(shown) > 2:
            yield shown


def _are_answered(calls: Any, results: set[str]) -> bool:
    """True if every call has its result: model APIs refuse a list with one that has none."""
    if not isinstance(calls, list):
        return True
    identities = [call.get("id") for call in calls if isinstance(call, dict)]
    return all(isinstance(identity, str) and identity in results for identity in identities)


def _list_in(original: dict[str, Any], name: str) -> list[dict[str, Any]]:
    found = original.get(name)
    return [one for one in found if _is_message(one)] if isinstance(found, list) else []


def _is_of_chat(value: Any) -> bool:
    """True if a message has the form of the chat API; items of openai-agents have a type and other parts."""
    if not _is_message(value) or "type" in value:
        return False
    content = value.get("content")
    parts = content if isinstance(content, list) else []
    return all(isinstance(part, dict) and part.get("type") in _PARTS for part in parts)


def _is_message(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("role"), str)


def _lists(source: Source) -> Iterator[list[ForeignMessage] | UsageError]:
    """The lists of messages, each message with its place; or what is wrong with one."""
    from flue_cli.transcripts.detect_format import is_lines

    if not is_lines(source):
        yield _foreign_messages(_list_of(source.document, source.called), "messages[{}]")
        return
    together: list[ForeignMessage] = []
    wrong: UsageError | None = None
    for number, line in source.raw_lines():
        try:
            said, is_whole = _line(source, number, line)
        except UsageError as error:
            if not together:
                yield error
            wrong = wrong or (error if together else None)
            continue
        if is_whole:
            yield said
        else:
            together += said
    if together:
        yield wrong or together


def _line(source: Source, number: int, line: bytes) -> tuple[list[ForeignMessage], bool]:
    """The messages of a line, and whether they are a list by themselves; UsageError."""
    from flue_cli.jsondata.strict import parse_foreign

    where = f"line {number}"
    text = source.text_of(number, line)
    if not text.strip():
        return [], False
    value = parse_foreign(text, where)
    if _is_message(value):
        return _foreign_messages([value], where), False
    return _foreign_messages(_list_of(value, where), where + ": messages[{}]"), True


def _list_of(value: Any, where: str) -> list[Any]:
    if _is_message(value):
        return [value]
    messages = value.get("messages") if isinstance(value, dict) else value
    if not isinstance(messages, list):
        raise UsageError(f"{where} is not a list of messages")
    return messages


def _foreign_messages(messages: list[Any], where: str) -> list[ForeignMessage]:
    from flue_cli.transcripts.foreign.turns import ForeignMessage

    return [
        ForeignMessage(_read_message(message, where.format(number)), where.format(number))
        for number, message in enumerate(messages)
    ]


def _read_message(message: Any, where: str) -> dict[str, Any]:
    """Return a message; UsageError if it is not valid."""
    if not _is_message(message) or message["role"] not in _ROLES:
        raise UsageError(f'{where} needs a "role": {", ".join(_ROLES)}')
    if "content" not in message and not {"tool_calls", "function_call", "refusal"} & set(message):
        raise UsageError(f'{where} needs a "content"')
    whole: dict[str, Any] = {"role": message["role"], "content": None} | message
    return whole
