"""Conversations with what must not be seen taken out, in whatever format they are written."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from flue_cli.agents.api import Message
from flue_cli.errors import UsageError
from flue_cli.jsondata.strict import dumps, loads
from flue_cli.stores.records import Entry, Failure, ForkOrigin, SessionHead
from flue_cli.text import safe_line
from flue_cli.transcripts.export_view import ExportSource

INSTEAD = "[redacted]"
"""Text in place of each match."""

_ROLES = frozenset(("user", "assistant", "tool", "function", "system", "developer"))
_FIELDS = frozenset(("role", "content", "name", "tool_calls", "tool_call_id", "function_call", "refusal"))
"""Words of the formats, which stay: an agent may use any others, and those may say something."""


class Redaction:
    """Takes out every match of the regular expressions `patterns`."""

    def __init__(self, patterns: Sequence[str]) -> None:
        """Raises UsageError for what is not a valid regular expression."""
        self._patterns = [_compiled(pattern) for pattern in patterns]

    def text(self, text: str) -> str:
        """`text` without the matches; a match of nothing at all takes out nothing."""
        for pattern in self._patterns:
            text = pattern.sub(lambda found: INSTEAD if found[0] else "", text)
        return text

    def value(self, value: Any) -> Any:
        """A JSON value without the matches in its strings and keys: numbers stay, and so does its form."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, list):
            return [self.value(one) for one in value]
        if not isinstance(value, dict):
            return value
        found: dict[str, Any] = {}
        for key, one in value.items():
            found[_free(self.text(key), found)] = self.value(one)
        return found

    def head(self, head: SessionHead) -> SessionHead:
        """A session whose name shows no match; it is read as before."""
        return head._replace(name=self.text(head.name))

    def entry(self, entry: Entry) -> Entry:
        """An entry without the matches in anything that was said, kept or recorded."""
        error = entry.error and Failure(self.text(entry.error.type), self.text(entry.error.message))
        return entry._replace(
            key=self._key(entry.key),
            prompt=self.text(entry.prompt),
            reply=self._maybe(entry.reply),
            messages=tuple(self._message(message) for message in entry.messages),
            error=error,
            meta=self.value(dict(entry.meta)),
            data=self.data(entry.data),
            label=self.text(entry.label),
        )

    def data(self, data: str) -> str:
        """The JSON text of data without the matches."""
        return dumps(self.value(loads(data))) if data else ""

    def _message(self, message: Message) -> Message:
        extra: dict[str, Any] = {}
        for key, one in message.extra.items():
            extra[key if key in _FIELDS else _free(self.text(key), extra)] = self.value(one)
        role = message.role if message.role in _ROLES else self.text(message.role)
        return Message(role, self.value(message.content), extra)

    def _key(self, key: str | None) -> str | None:
        """A turn's key, or none if it shows a match: two keys that became the same could not be imported."""
        return None if key is None or self.text(key) != key else key

    def _maybe(self, text: str | None) -> str | None:
        return None if text is None else self.text(text)


class Redacted:
    """A store to export from that shows no match of a redaction."""

    def __init__(self, store: ExportSource, redaction: Redaction) -> None:
        self._store = store
        self._redaction = redaction

    def entries(
        self, head: SessionHead, first: int, last: int, *, with_data: bool = False
    ) -> Iterator[Entry]:
        for entry in self._store.entries(head, first, last, with_data=with_data):
            yield self._redaction.entry(entry)

    def unsettled_prompt(self, head: SessionHead) -> Entry | None:
        entry = self._store.unsettled_prompt(head)
        return entry and self._redaction.entry(entry)

    def data_at(self, head: SessionHead, turn: int) -> str:
        return self._redaction.data(self._store.data_at(head, turn))

    def origin(self, head: SessionHead) -> ForkOrigin | None:
        origin = self._store.origin(head)
        return origin and origin._replace(name=self._redaction.text(origin.name))


def _compiled(pattern: str) -> re.Pattern[str]:
    try:
        return re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise UsageError(
            f"--redact '{safe_line(pattern)}' is not a valid regular expression: {error}"
        ) from error


def _free(key: str, taken: dict[str, Any]) -> str:
    """`key`, or where two became the same, `key-2`: no value is lost."""
    free, number = key, 1
    while free in taken:
        number += 1
        free = f"{key}-{number}"
    return free
