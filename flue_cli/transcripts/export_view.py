"""The part of a store that an export reads: the store itself, or a view that shows less than it has."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

from flue_cli.agents.api import Message
from flue_cli.stores.rules import INTERRUPTED, REPLY_FORMAT, messages_of_entry

if TYPE_CHECKING:
    from flue_cli.stores.records import Entry, ForkOrigin, SessionHead


class ExportSource(Protocol):
    """The part of the store's promises that an export needs; see flue_cli.stores.contract."""

    def entries(
        self, head: SessionHead, first: int, last: int, *, with_data: bool = False
    ) -> Iterator[Entry]:
        """The entries of turns `first` to `last` on the line that ends at `head`, oldest first."""
        ...

    def unsettled_prompt(self, head: SessionHead) -> Entry | None:
        """The prompt that is being answered now ("running"), or that a crash left ("interrupted")."""
        ...

    def data_at(self, head: SessionHead, turn: int) -> str:
        """The JSON text of the data after `turn` on the line that ends at `head`; 0 is `{}`."""
        ...

    def origin(self, head: SessionHead) -> ForkOrigin | None:
        """Return the origin of a fork; None if the session began by itself."""
        ...


class StoreInFormat:
    """A store to export from whose turns have replies in `reply_format` where they do not say theirs."""

    def __init__(self, store: ExportSource, reply_format: str) -> None:
        self._store = store
        self._said = {REPLY_FORMAT: reply_format}

    def entries(
        self, head: SessionHead, first: int, last: int, *, with_data: bool = False
    ) -> Iterator[Entry]:
        for entry in self._store.entries(head, first, last, with_data=with_data):
            yield entry._replace(meta={**self._said, **entry.meta})

    def unsettled_prompt(self, head: SessionHead) -> Entry | None:
        return self._store.unsettled_prompt(head)

    def data_at(self, head: SessionHead, turn: int) -> str:
        return self._store.data_at(head, turn)

    def origin(self, head: SessionHead) -> ForkOrigin | None:
        return self._store.origin(head)


class StoreAtTurn:
    """A store to export a session from as of an earlier turn: what was asked later is not there."""

    def __init__(self, store: ExportSource) -> None:
        self._store = store

    def entries(
        self, head: SessionHead, first: int, last: int, *, with_data: bool = False
    ) -> Iterator[Entry]:
        return self._store.entries(head, first, last, with_data=with_data)

    def unsettled_prompt(self, head: SessionHead) -> Entry | None:
        return None

    def data_at(self, head: SessionHead, turn: int) -> str:
        return self._store.data_at(head, turn)

    def origin(self, head: SessionHead) -> ForkOrigin | None:
        return self._store.origin(head)


def entries(
    store: ExportSource, head: SessionHead, first: int, *, with_data: bool = False
) -> Iterator[Entry]:
    """Yield turns `first` and later up to `head`, oldest first, and the prompt that a crash left unanswered.

    The next prompt will settle that one as interrupted; it is no less a part of the conversation.
    """
    yield from store.entries(head, first, head.turn, with_data=with_data)
    left = store.unsettled_prompt(head)
    if left and left.outcome == "interrupted" and left.turn == head.turn + 1:
        yield left._replace(data=store.data_at(head, head.turn) if with_data else "", error=INTERRUPTED)


def messages_of(entry: Entry) -> tuple[Message, ...]:
    """Return the messages of a turn of any outcome: its prompt, those that came after, the reply."""
    if entry.kind != "prompt":
        return ()
    return messages_of_entry(entry) or (Message("user", entry.prompt), *entry.messages)


def message_text(message: Message) -> str:
    """Return the text of a message; if it has more than text (tool calls), all of it as JSON."""
    if isinstance(message.content, str) and not message.extra:
        return message.content
    return json.dumps(message.as_dict(), ensure_ascii=False, indent=2)
