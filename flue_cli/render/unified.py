"""A comparison one line after another, as a unified diff, and as a JSON document. Imports no rich."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from flue_cli.changes import different
from flue_cli.data_path import shown
from flue_cli.render.plain import as_json
from flue_cli.text import safe_line, turns
from flue_cli.transcripts.entry_json import COMPARED, entry_document

if TYPE_CHECKING:
    from flue_cli.changes import Change
    from flue_cli.comparison import Comparison, Moment, Pair
    from flue_cli.stores.records import Entry


class Line(NamedTuple):
    """A line and what it is: "-" was before, "+" is after, " " is both, "" a heading. The text is safe."""

    sign: str
    text: str

    def __str__(self) -> str:
        return f"{self.sign} {self.text}\n" if self.sign else f"{self.text}\n"


def unified(found: Comparison) -> Iterator[Line]:
    """A comparison as lines; none at all if nothing differs."""
    body = _body(found)
    first = next(body, None)
    if first is None:
        return
    yield Line("", f"--- {title(found.before)}")
    yield Line("", f"+++ {title(found.after)}")
    if found.before.head.uid != found.after.head.uid:
        yield Line("", f"{turns(found.common)} in common")
    yield first
    yield from body


def title(moment: Moment) -> str:
    """Which session, as of which turn; safe."""
    return safe_line(f"{moment.head.agent}/{moment.head.name} turn {moment.turn}")


def pair_lines(pair: Pair) -> Iterator[Line]:
    """What two sessions have as the same turn, below its number."""
    yield Line("", f"[{pair.turn}]")
    before, after = said(pair.before), said(pair.after)
    for sign, start, stop in stretches(before, after):
        yield from (Line(sign, text) for text in (after if sign == "+" else before)[start:stop])
    if pair.says_the_same:
        yield Line(" ", "(only the data after it differs)")


def data_lines(made: Iterable[Change]) -> Iterator[Line]:
    """Every change of the data, as it was and as it is."""
    for number, change in enumerate(made):
        if not number:
            yield Line("", "data")
        where = shown(change.path) or "all of it"
        if not change.added:
            yield Line("-", safe_line(f"{where}: {as_json(change.before)}"))
        if not change.removed:
            yield Line("+", safe_line(f"{where}: {as_json(change.after)}"))


def said(entry: Entry | None) -> list[str]:
    """The lines of a turn, safe: the prompt behind a mark, what became of it, the reply."""
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


def stretches(before: list[str], after: list[str]) -> Iterator[tuple[str, int, int]]:
    """How one text becomes the other: (sign, start, stop) of lines, those of "+" counted in `after`."""
    at = 0
    for start, stop, begin, end in different(before, after):
        yield from ((" ", at, start), ("-", start, stop), ("+", begin, end))
        at = stop
    yield " ", at, len(before)


def comparison_document(found: Comparison) -> dict[str, Any]:
    """A comparison as `--json` gives it; what is not there has no key."""
    return {
        "from": _moment(found.before),
        "to": _moment(found.after),
        "common": found.common,
        "turns": [_pair(pair) for pair in found.turns],
        "data": [_change(change) for change in found.data],
    }


def _body(found: Comparison) -> Iterator[Line]:
    for pair in found.turns:
        yield from pair_lines(pair)
    yield from data_lines(found.data)


def _moment(moment: Moment) -> dict[str, Any]:
    return {"agent": moment.head.agent, "session": moment.head.name, "turn": moment.turn}


def _pair(pair: Pair) -> dict[str, Any]:
    sides = {"from": pair.before, "to": pair.after}
    return {"turn": pair.turn} | {
        side: entry_document(entry, COMPARED) for side, entry in sides.items() if entry
    }


def _change(change: Change) -> dict[str, Any]:
    document: dict[str, Any] = {"path": shown(change.path)}
    if not change.added:
        document["before"] = change.before
    if not change.removed:
        document["after"] = change.after
    return document
