"""One JSON document a session: nothing of the line is lost, and it can be read in again."""

from __future__ import annotations

from collections.abc import Iterator

from flue_cli.stores.contract import Store
from flue_cli.stores.records import Head
from flue_cli.transcripts.fields import RawJson, entries, object_of, session_fields, turn_fields


def export(store: Store, head: Head, first: int) -> Iterator[str]:
    """The document, a turn a line, so that a diff shows what changed."""
    fields = session_fields(store, head) | {"data": RawJson(store.data_at(head, head.turn))}
    yield object_of(fields).removesuffix("}") + ', "turns": ['
    separator = "\n"
    for entry in entries(store, head, first, with_data=True):
        yield separator + object_of(turn_fields(entry))
        separator = ",\n"
    yield "\n]}\n"
