"""One JSON document a session: nothing of the line is lost, and it can be read in again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flue_cli.errors import UsageError
from flue_cli.stores.records import Entry, Head
from flue_cli.transcripts.fields import RawJson, entries, object_of, session_fields, turn_fields
from flue_cli.transcripts.readable import Readable

if TYPE_CHECKING:
    from flue_cli.transcripts.reading import Incoming, Skipped, Source


def export(store: Readable, head: Head, first: int) -> Iterator[str]:
    """The document, a turn a line, so that a diff shows what changed."""
    fields = session_fields(store, head) | {"data": RawJson(store.data_at(head, head.turn))}
    yield object_of(fields).removesuffix("}") + ', "turns": ['
    separator = "\n"
    for entry in entries(store, head, first, with_data=True):
        yield separator + object_of(turn_fields(entry))
        separator = ",\n"
    yield "\n]}\n"


def read(source: Source, skipped: Skipped) -> Iterator[Incoming]:
    """The session of the document."""
    from flue_cli.transcripts.reading import Incoming
    from flue_cli.transcripts.turn_fields import checked_header, origin_of

    fields = checked_header(source.document, source.called)
    turns = fields.get("turns")
    if not isinstance(turns, list):
        raise UsageError(f'{source.called}: "turns" is no list')
    numbered = ((f"turns[{number}]", turn) for number, turn in enumerate(turns))
    found = turns_of(fields, numbered, source.called)
    yield Incoming(fields["agent"], fields["session"], found, origin_of(fields, source.called))


def turns_of(header: dict[str, Any], turns: Iterator[tuple[str, Any]], where: str) -> Iterator[Entry]:
    """The entries of `turns`, each with its place; UsageError if they do not end at the header's data."""
    from flue_cli.transcripts.turn_fields import data_of, entry_of

    last = "{}"
    for place, fields in turns:
        entry = entry_of(fields, place)
        last = entry.data
        yield entry
    if "data" in header and data_of(header, where) != last:
        raise UsageError(
            f"{where}: the turns do not lead to the session's data", hint="is all of the file there?"
        )
