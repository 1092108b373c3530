"""The JSON document as lines: a header, then a line for every turn. One file may hold many sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flue_cli.errors import UsageError
from flue_cli.stores.records import SessionHead
from flue_cli.transcripts.entry_json import EXPORTED, RawJson, entry_fields, object_of
from flue_cli.transcripts.export_view import ExportSource, entries
from flue_cli.transcripts.json_document import turns_of
from flue_cli.transcripts.session_json import session_fields

if TYPE_CHECKING:
    from flue_cli.transcripts.import_source import ImportedSession, Skipped, Source


def export(store: ExportSource, head: SessionHead, first: int) -> Iterator[str]:
    """The header line and the turns' lines."""
    yield object_of(session_fields(store, head) | {"data": RawJson(store.data_at(head, head.turn))}) + "\n"
    for entry in entries(store, head, first, with_data=True):
        yield object_of(entry_fields(entry, EXPORTED)) + "\n"


def read(source: Source, skipped: Skipped) -> Iterator[ImportedSession]:
    """The sessions, one after another: a line at a time is in memory.

    A line that cannot be read keeps out the session in which it stands, and no other.
    """
    lines = _Lines(source)
    while lines.header is not None:
        where, header = lines.header
        turns = lines.turns()
        yield _session_of_lines(header, turns, where)
        for place, fields in turns:  # those that nobody wanted to see
            if isinstance(fields, UsageError):
                skipped(fields.message if place in fields.message else f"{place}: {fields.message}")


def _session_of_lines(header: Any, turns: Iterator[tuple[str, Any]], where: str) -> ImportedSession:
    from flue_cli.transcripts.import_source import ImportedSession, refused
    from flue_cli.transcripts.session_json import read_header, read_origin

    try:
        fields = read_header(header, where)
        origin = read_origin(fields, where)
    except UsageError as error:
        return ImportedSession("", where, refused(error))
    return ImportedSession(
        fields["agent"], fields["session"], turns_of(fields, _readable(turns), where), origin
    )


def _readable(turns: Iterator[tuple[str, Any]]) -> Iterator[tuple[str, Any]]:
    for where, fields in turns:
        if isinstance(fields, UsageError):
            raise fields
        yield where, fields


class _Lines:
    """The lines of a file as objects; `header` is the one that begins the next session, if any.

    In the place of a line that cannot be read stands what is wrong with it.
    """

    def __init__(self, source: Source) -> None:
        self._objects = _objects(source)
        self.header: tuple[str, Any] | None = next(self._objects, None)
        if self.header is None:
            raise UsageError(f"{source.called} is empty")
        if isinstance(self.header[1], UsageError):
            raise self.header[1]

    def turns(self) -> Iterator[tuple[str, Any]]:
        """The objects up to the next header."""
        self.header = None
        for where, fields in self._objects:
            if isinstance(fields, dict) and "flue" in fields:
                self.header = where, fields
                return
            yield where, fields


def _objects(source: Source) -> Iterator[tuple[str, Any]]:
    from flue_cli.jsondata.strict import parse_foreign

    for number, line in source.raw_lines():
        where = f"line {number}"
        try:
            text = source.text_of(number, line)
            if not text.strip():
                continue
            yield where, parse_foreign(text, where)
        except UsageError as error:
            yield where, error
