"""A comparison as the lines of a unified diff, and as a JSON document. Imports no rich."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from flue_cli.jsondata.diff import diff_ranges
from flue_cli.jsondata.path import format_path
from flue_cli.render.machine_output import as_json
from flue_cli.text import format_turns, safe_line, session_label
from flue_cli.transcripts.entry_json import COMPARED, entry_document

if TYPE_CHECKING:
    from flue_cli.jsondata.diff import Change
    from flue_cli.sessions.comparison import Comparison, SessionAtTurn, TurnPair
    from flue_cli.stores.records import Entry


class DiffLine(NamedTuple):
    """A line of a diff, safe; `sign` is "-" only before, "+" only after, " " in both, "" a heading."""

    sign: str
    text: str

    def __str__(self) -> str:
        return f"{self.sign} {self.text}\n" if self.sign else f"{self.text}\n"


def unified_diff(found: Comparison) -> Iterator[DiffLine]:
    """Yield a comparison as lines; none if nothing differs."""
    body = _diff_body(found)
    first = next(body, None)
    if first is None:
        return
    yield DiffLine("", f"--- {session_turn_title(found.before)}")
    yield DiffLine("", f"+++ {session_turn_title(found.after)}")
    if found.before.head.uid != found.after.head.uid:
        yield DiffLine("", f"{format_turns(found.common)} in common")
    yield first
    yield from body


def session_turn_title(moment: SessionAtTurn) -> str:
    """Return the name of a session at a turn; safe."""
    return safe_line(f"{session_label(moment.head)} turn {moment.turn}")


def pair_lines(pair: TurnPair) -> Iterator[DiffLine]:
    """Yield the lines of one turn of two sessions, below its number."""
    yield DiffLine("", f"[{pair.turn}]")
    before, after = turn_lines(pair.before), turn_lines(pair.after)
    for sign, start, stop in diff_runs(before, after):
        yield from (DiffLine(sign, text) for text in (after if sign == "+" else before)[start:stop])
    if pair.differs_only_in_data:
        yield DiffLine(" ", "(only the data after it differs)")


def data_lines(made: Iterable[Change]) -> Iterator[DiffLine]:
    """Yield every change of the data, before and after."""
    for number, change in enumerate(made):
        if not number:
            yield DiffLine("", "data")
        where = format_path(change.path) or "all of it"
        if not change.added:
            yield DiffLine("-", safe_line(f"{where}: {as_json(change.before)}"))
        if not change.removed:
            yield DiffLine("+", safe_line(f"{where}: {as_json(change.after)}"))


def turn_lines(entry: Entry | None) -> list[str]:
    """Return the lines of a turn, safe: the prompt behind a mark, the reply, an outcome if not completed."""
    if entry is None:
        return []
    if entry.kind == "edit":
        return ["(the data was edited)"]
    lines = ["> " + entry.prompt.replace("\n", "\n  ")]
    if entry.reply is not None:
        lines.append(entry.reply.removesuffix("\n"))
    if entry.outcome != "completed":
        lines.append(f"({entry.outcome}: {safe_line(entry.error.message) if entry.error else ''})")
    return [safe_line(line) for text in lines for line in text.split("\n")]


def diff_runs(before: list[str], after: list[str]) -> Iterator[tuple[str, int, int]]:
    """Yield the runs that turn `before` into `after`: (sign, start, stop), for "+" in `after`."""
    at = 0
    for start, stop, begin, end in diff_ranges(before, after):
        yield from ((" ", at, start), ("-", start, stop), ("+", begin, end))
        at = stop
    yield " ", at, len(before)


def comparison_document(found: Comparison) -> dict[str, Any]:
    """Return a comparison as `--json` gives it; an absent side or value has no key."""
    return {
        "from": _session_turn_document(found.before),
        "to": _session_turn_document(found.after),
        "common": found.common,
        "turns": [_pair_document(pair) for pair in found.turns],
        "data": [_change_document(change) for change in found.data],
    }


def _diff_body(found: Comparison) -> Iterator[DiffLine]:
    for pair in found.turns:
        yield from pair_lines(pair)
    yield from data_lines(found.data)


def _session_turn_document(moment: SessionAtTurn) -> dict[str, Any]:
    return {"agent": moment.head.agent, "session": moment.head.name, "turn": moment.turn}


def _pair_document(pair: TurnPair) -> dict[str, Any]:
    sides = {"from": pair.before, "to": pair.after}
    return {"turn": pair.turn} | {
        side: entry_document(entry, COMPARED) for side, entry in sides.items() if entry
    }


def _change_document(change: Change) -> dict[str, Any]:
    document: dict[str, Any] = {"path": format_path(change.path)}
    if not change.added:
        document["before"] = change.before
    if not change.removed:
        document["after"] = change.after
    return document
