"""What of a store an export reads; the store itself, or one that shows less than it has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from flue_cli.stores.records import Entry, Head, Origin


class Readable(Protocol):
    """The part of the store's promises that an export needs; see flue_cli.stores.contract."""

    def entries(self, head: Head, first: int, last: int, *, with_data: bool = False) -> Iterator[Entry]:
        """The entries of turns `first` to `last` on the line that ends at `head`, oldest first."""
        ...

    def running(self, head: Head) -> Entry | None:
        """The prompt that is being answered now ("running"), or that a crash left ("interrupted")."""
        ...

    def data_at(self, head: Head, turn: int) -> str:
        """The JSON text of the data after `turn` on the line that ends at `head`; 0 is `{}`."""
        ...

    def origin(self, head: Head) -> Origin | None:
        """What the session was forked from; None if it began by itself."""
        ...


class AsOf:
    """A store to export a session from as of an earlier turn: what was asked later is not there."""

    def __init__(self, store: Readable) -> None:
        self._store = store

    def entries(self, head: Head, first: int, last: int, *, with_data: bool = False) -> Iterator[Entry]:
        return self._store.entries(head, first, last, with_data=with_data)

    def running(self, head: Head) -> Entry | None:
        return None

    def data_at(self, head: Head, turn: int) -> str:
        return self._store.data_at(head, turn)

    def origin(self, head: Head) -> Origin | None:
        return self._store.origin(head)
