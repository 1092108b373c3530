"""The JSON document as lines: a header, then a line for every turn. One file may hold many sessions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from flue_cli.errors import UsageError
from flue_cli.stores.records import Head
from flue_cli.transcripts.fields import RawJson, entries, object_of, session_fields, turn_fields
from flue_cli.transcripts.json_document import turns_of
from flue_cli.transcripts.readable import Readable

if TYPE_CHECKING:
    from flue_cli.transcripts.reading import Incoming, Skipped, Source


def export(store: Readable, head: Head, first: int) -> Iterator[str]:
    """The header line and the turns' lines."""
    yield object_of(session_fields(store, head) | {"data": RawJson(store.data_at(head, head.turn))}) + "\n"
    for entry in entries(store, head, first, with_data=True):
        yield object_of(turn_fields(entry)) + "\n"


def read(source: Source, skipped: Skipped) -> Iterator[Incoming]:
    """The sessions, one after another: a line at a time is in memory."""
    from flue_cli.transcripts.reading import Incoming
    from flue_cli.transcripts.turn_fields import checked_header, origin_of

    lines = _Lines(source)
    while lines.header is not None:
        where, header = lines.header
        fields = checked_header(header, where)
        turns = lines.turns()
        yield Incoming(
            fields["agent"], fields["session"], turns_of(fields, turns, where), origin_of(fields, where)
        )
        for _ in turns:  # those that nobody wanted to see
            pass


class _Lines:
    """The lines of a file as objects; `header` is the one that begins the next session, if any."""

    def __init__(self, source: Source) -> None:
        from flue_cli.transcripts.parsing import parse

        self._objects = ((f"line {number}", parse(text, f"line {number}")) for number, text in source.lines())
        self.header: tuple[str, Any] | None = next(self._objects, None)
        if self.header is None:
            raise UsageError(f"{source.called} is empty")

    def turns(self) -> Iterator[tuple[str, Any]]:
        """The objects up to the next header."""
        self.header = None
        for where, fields in self._objects:
            if isinstance(fields, dict) and "flue" in fields:
                self.header = where, fields
                return
            yield where, fields
