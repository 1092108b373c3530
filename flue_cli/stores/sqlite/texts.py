"""What a row of the timeline says, and the checksums that tell whether it still says so.

Both ways: what is written is checked as it will be read.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from flue_cli.agents.api import Message
from flue_cli.errors import StoreDamaged
from flue_cli.jsondata.strict import loads
from flue_cli.stores.records import Entry, Failure

TEXTS = (
    "turn, kind, outcome, key, prompt, reply, messages, started_at, finished_at,"
    " error_type, error_message, meta, checksum, total"
)
"""The columns that `entry_of` and `added_by` read."""
Added = tuple[int, tuple[Message, ...]]
"""The length of the history before a turn, and the messages that it adds."""
_new = tuple.__new__
_compact = json.JSONEncoder(separators=(",", ":")).encode


def entry_of(row: Sequence[Any], session: str) -> Entry:
    """The record of a row of TEXTS, its checksum verified."""
    _verify(row, session)
    turn, kind, outcome, key, prompt, reply, between, started, finished, *rest = row
    error_type, error, meta, _, _ = rest
    return Entry(
        turn=turn,
        kind=kind,
        outcome=outcome,
        key=key,
        prompt=prompt,
        reply=reply,
        messages=_messages(between),
        started_at=started,
        finished_at=finished,
        error=Failure(error_type, error) if error_type else None,
        meta=loads(meta) if meta else {},
    )


def texts_checksum(
    place: tuple[int, str, str, int],
    key: str | None,
    prompt: str,
    reply: str | None = None,
    messages: str | None = None,
    error_type: str | None = None,
    error_message: str | None = None,
    meta: str | None = None,
) -> int:
    """CRC-32 over what an entry says: SQLite's own integrity check does not look at contents.

    `place` is (turn, kind, outcome, total).
    """
    turn, kind, outcome, total = place
    texts = [
        "\0" if text is None else "\1" + text
        for text in (key, prompt, reply, messages, error_type, error_message, meta)
    ]
    whole = f"({turn}, '{kind}', '{outcome}', {total}){''.join(texts)}"
    return zlib.crc32(whole.encode("utf-8", "surrogatepass"))


def data_checksum(data: str) -> int:
    """CRC-32 over the whole data after an entry, however it is stored."""
    return zlib.crc32(data.encode("utf-8", "surrogatepass"))


def json_or_none(value: Mapping[str, Any] | Sequence[Any]) -> str | None:
    """JSON for a column that is NULL where there is nothing."""
    return _compact(value) if value else None


def added_by(row: Sequence[Any], session: str) -> Added:
    """What a row of TEXTS adds to the history, as `history_of` does for its entry."""
    _verify(row, session)
    _, kind, outcome, _, prompt, reply, between, _, _, _, _, _, _, total = row
    if outcome != "completed" or kind != "prompt":
        return total, ()
    messages = said_messages(prompt, between, reply)
    return total - len(messages), messages


def said_messages(prompt: str, between: str | None, reply: str) -> tuple[Message, ...]:
    """The messages of a completed turn; `between` is JSON text, as in its column."""
    # There may be many of these: made as bare tuples, without the words that Message has for people.
    first, last = _new(Message, ("user", prompt, {})), _new(Message, ("assistant", reply, {}))
    return (first, *_messages(between), last) if between else (first, last)


def verified(data: str, checksum: int | None, turn: int, session: str) -> str:
    """The data after `turn`, if it has that checksum; else StoreDamaged. None: it has none yet."""
    if checksum is not None and checksum != data_checksum(data):
        raise damaged(session, turn, "the checksum of its data does not match")
    return data


def damaged(session: str, turn: int, what: str) -> StoreDamaged:
    """The error for a turn of which something is wrong."""
    return StoreDamaged(
        f"turn {turn} of session '{session}' is damaged: {what}", hint="restore the store from a backup"
    )


def _verify(row: Sequence[Any], session: str) -> None:
    turn, kind, outcome, key, prompt, reply, between, _, _, error_type, error, meta, checksum, total = row
    place = (turn, kind, outcome, total)
    if checksum != texts_checksum(place, key, prompt, reply, between, error_type, error, meta):
        raise damaged(session, turn, "its checksum does not match")


def _messages(between: str | None) -> tuple[Message, ...]:
    return tuple(Message.from_dict(fields) for fields in loads(between)) if between else ()
