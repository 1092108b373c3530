"""The JSON document as lines: a header, then a line for every turn."""

from __future__ import annotations

from collections.abc import Iterator

from flue_cli.stores.contract import Store
from flue_cli.stores.records import Head
from flue_cli.transcripts.fields import RawJson, entries, object_of, session_fields, turn_fields


def export(store: Store, head: Head, first: int) -> Iterator[str]:
    """The header line and the turns' lines."""
    yield object_of(session_fields(store, head) | {"data": RawJson(store.data_at(head, head.turn))}) + "\n"
    for entry in entries(store, head, first, with_data=True):
        yield object_of(turn_fields(entry)) + "\n"
