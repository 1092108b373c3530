"""One JSON document a session: nothing of the line is lost, and it can be read in again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flue_cli.errors import UsageError
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.transcripts.entry_json import EXPORTED, RawJson, entry_fields, object_of
from flue_cli.transcripts.export_view import ExportSource, entries
from flue_cli.transcripts.session_json import session_fields

if TYPE_CHECKING:
    from flue_cli.transcripts.import_source import ImportedSession, Skipped, Source


def export(store: ExportSource, head: SessionHead, first: int) -> Iterator[str]:
    """The document, a turn a line, so that a diff shows what changed."""
    fields = session_fields(store, head) | {"data": RawJson(store.data_at(head, head.turn))}
    yield object_of(fields).removesuffix("}") + ', "turns": ['
    separator = "\n"
    for entry in entries(store, head, first, with_data=True):
        yield separator + object_of(entry_fields(entry, EXPORTED))
        separator = ",\n"
    yield "\n]}\n"


def read(source: Source, skipped: Skipped) -> Iterator[ImportedSession]:
    """The session of the document."""
    from flue_cli.transcripts.import_source import ImportedSession
    from flue_cli.transcripts.session_json import read_header, read_origin

    fields = read_header(source.document, source.called)
    turns = fields.get("turns")
    if not isinstance(turns, list):
        raise UsageError(f'{source.called}: "turns" is not a list')
    numbered = ((f"turns[{number}]", turn) for number, turn in enumerate(turns))
    found = turns_of(fields, numbered, source.called)
    yield ImportedSession(fields["agent"], fields["session"], found, read_origin(fields, source.called))


def turns_of(header: dict[str, Any], turns: Iterator[tuple[str, Any]], where: str) -> Iterator[Entry]:
    """The entries of `turns`, each with its place; UsageError if they do not end at the header's data."""
    from flue_cli.transcripts.entry_json import read_data, read_entry

    last = "{}"
    for place, fields in turns:
        entry = read_entry(fields, place)
        last = entry.data
        yield entry
    if "data" in header and read_data(header, where) != last:
        raise UsageError(
            f"{where}: the turns do not lead to the session's data", hint="is all of the file there?"
        )
