"""The codec of an entry: its columns, and the checksum over them.

The fields of `EntryRow` and `StoredData` are columns of the table `entry`. Every SELECT, INSERT and UPDATE
takes its columns from them, so a new field of a turn needs a migration (schema.py), a field with a default
here, and a line in `encode` and in `decode`.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, NamedTuple

from flue_cli.agents.api import Message
from flue_cli.errors import StoreDamaged
from flue_cli.jsondata.strict import loads
from flue_cli.stores.records import Entry, Failure
from flue_cli.stores.rules import messages_of_fields


class EntryRow(NamedTuple):
    """The columns of an entry without its data; structured values are JSON text, NULL if empty.

    `total` is the length of the history after the entry. A field with a default was added after the first
    schema: older rows have NULL there.
    """

    turn: int
    kind: str
    outcome: str
    total: int
    key: str | None
    prompt: str
    reply: str | None
    messages: str | None
    error_type: str | None
    error_message: str | None
    meta: str | None
    started_at: int
    finished_at: int | None
    checksum: int
    label: str | None = None


class StoredData(NamedTuple):
    """The columns of the data after an entry: a snapshot, a delta (`splice`), or neither if nothing changed.

    `base` is the turn of the last snapshot. The checksum covers the whole data; NULL while the turn runs.
    """

    base: int
    data_checksum: int | None
    snapshot: str | None
    splice: str | None


AddedMessages = tuple[int, tuple[Message, ...]]
"""The length of the history before a turn, and the messages that it adds."""

ENTRY_COLUMNS = ", ".join(EntryRow._fields)
ALL_COLUMNS = ", ".join(EntryRow._fields + StoredData._fields)
SETTLED_COLUMNS = tuple(
    name for name in EntryRow._fields if name not in ("turn", "kind", "key", "prompt", "started_at", "label")
)
"""The columns that the end of a turn writes; the others do not change, and some are in indexes."""
_NUMBER_FIELDS = ("turn", "kind", "outcome", "total")
_UNCHECKED_FIELDS = ("started_at", "finished_at", "checksum", "label")
_TEXT_FIELDS = tuple(name for name in EntryRow._fields if name not in _NUMBER_FIELDS + _UNCHECKED_FIELDS)
_LATER_FIELDS = tuple(name for name in _TEXT_FIELDS if name in EntryRow._field_defaults)
_FIRST_FIELDS = tuple(name for name in _TEXT_FIELDS if name not in _LATER_FIELDS)
_first_texts = attrgetter(*_FIRST_FIELDS)
TEXT_COLUMNS = (*_TEXT_FIELDS, "snapshot", "splice")
"""The columns whose text makes up the size of an entry."""
_encode_json = json.JSONEncoder(separators=(",", ":")).encode


def encode_entry(entry: Entry, total: int) -> EntryRow:
    """Make the row of an entry; `total` is the length of the history after it."""
    row = EntryRow(
        turn=entry.turn,
        kind=entry.kind,
        outcome=entry.outcome,
        total=total,
        key=entry.key,
        prompt=entry.prompt,
        reply=entry.reply,
        messages=_json_or_none([message.as_dict() for message in entry.messages]),
        error_type=entry.error.type if entry.error else None,
        error_message=entry.error.message if entry.error else None,
        meta=_json_or_none(entry.meta),
        started_at=entry.started_at,
        finished_at=entry.finished_at,
        checksum=0,
        label=entry.label or None,
    )
    return row._replace(checksum=_row_checksum(row))


def decode_entry(row: EntryRow, session: str) -> Entry:
    """Make the entry of a row, without its data; StoreDamaged if its checksum does not match."""
    _verify_checksum(row, session)
    return _entry_of_row(row)


def split_columns(columns: Sequence[Any]) -> tuple[EntryRow, StoredData]:
    """Split a row of ALL_COLUMNS."""
    width = len(EntryRow._fields)
    return EntryRow._make(columns[:width]), StoredData._make(columns[width:])


def decode_messages(row: EntryRow, session: str) -> AddedMessages:
    """Return the position of an entry's first message, and its messages; StoreDamaged as `decode_entry`."""
    _verify_checksum(row, session)
    messages = messages_of_fields(
        row.kind, row.outcome, row.prompt, _messages_from_json(row.messages), row.reply
    )
    return row.total - len(messages), messages


def data_checksum(data: str) -> int:
    """Return the CRC-32 of the whole data after an entry."""
    return zlib.crc32(data.encode("utf-8", "surrogatepass"))


def verify_data(data: str, checksum: int | None, turn: int, session: str) -> str:
    """Return `data`, the data after `turn`; StoreDamaged if it does not have the checksum."""
    if checksum is not None and checksum != data_checksum(data):
        raise damaged_turn_error(session, turn, "the checksum of its data does not match")
    return data


def damaged_turn_error(session: str, turn: int, problem: str) -> StoreDamaged:
    """Make the error for a turn that differs from what was written."""
    return StoreDamaged(
        f"turn {turn} of session '{session}' is damaged: {problem}", hint="restore the store from a backup"
    )


def _entry_of_row(row: EntryRow) -> Entry:
    return Entry(
        turn=row.turn,
        kind=row.kind,
        outcome=row.outcome,
        key=row.key,
        prompt=row.prompt,
        reply=row.reply,
        messages=_messages_from_json(row.messages),
        started_at=row.started_at,
        finished_at=row.finished_at,
        error=Failure(row.error_type, row.error_message or "") if row.error_type else None,
        meta=loads(row.meta) if row.meta else {},
        label=row.label or "",
    )


def _verify_checksum(row: EntryRow, session: str) -> None:
    if row.checksum != _row_checksum(row):
        raise damaged_turn_error(session, row.turn, "its checksum does not match")


def _row_checksum(row: EntryRow) -> int:
    """Return the CRC-32 of an entry's columns, which SQLite's integrity check does not cover."""
    texts = ["\0" if text is None else "\1" + text for text in _first_texts(row)]
    # NULL in a later field adds nothing, so that the checksums of older rows stay valid.
    texts += ["\1" + text for text in (getattr(row, name) for name in _LATER_FIELDS) if text is not None]
    whole = f"({row.turn}, '{row.kind}', '{row.outcome}', {row.total}){''.join(texts)}"
    return zlib.crc32(whole.encode("utf-8", "surrogatepass"))


def _messages_from_json(text: str | None) -> tuple[Message, ...]:
    return tuple(Message.from_dict(fields) for fields in loads(text)) if text else ()


def _json_or_none(value: Mapping[str, Any] | Sequence[Any]) -> str | None:
    return _encode_json(value) if value else None
