"""A session's data as an indented tree, with what a turn changed marked: by a sign, and by colour."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

from rich.text import Text

from flue_cli.jsondata.diff import Change
from flue_cli.jsondata.path import Path, format_path
from flue_cli.jsondata.strict import readable_json
from flue_cli.text import safe_line

_STYLES = {"+": "green", "~": "yellow", "-": "red", " ": ""}
_TEXT, _BEGINNING = 60, 40
"""Longest value on a line, and the length that a longer one is cut to, in characters."""
_FIRST, _LAST = 8, 2
"""Entries of a long list or object that are shown, from its beginning and its end."""
_DEEP = 8


class TreeRow(NamedTuple):
    """A line of the tree. `sign` is "+" (new), "~" (changed), "-" (gone) or " "; the text is safe."""

    sign: str
    depth: int
    key: str
    value: str


def data_tree(data: Any, made: Iterable[Change]) -> Text:
    """The tree of `data`; `made` are the changes that led to it. Says what its signs mean."""
    text, signs = Text(no_wrap=False), set()
    for row in tree_rows(data, made):
        signs.add(row.sign)
        style = _STYLES[row.sign]
        text.append(f"{row.sign} {'  ' * row.depth}", style)
        text.append(row.key, style or "cyan")
        text.append(f"{': ' if row.key and row.value else ''}{row.value}\n", style)
    if signs - {" "}:
        text.append("+ new, ~ changed, - gone by the last turn\n", "dim")
    text.rstrip()
    return text


def tree_rows(data: Any, made: Iterable[Change]) -> Iterator[TreeRow]:
    """The lines of the tree: keys in their order, long lists and texts cut, their length said."""
    marks = _Marks(made)
    if not data and not marks.gone:
        yield TreeRow(marks.sign((), " "), 0, "", "{}")
        return
    yield from _child_rows((), data, 0, " ", marks)


class _Marks:
    """The changes, by place."""

    def __init__(self, made: Iterable[Change]) -> None:
        self.changed: dict[Path, Change] = {}
        self.gone: dict[Path, list[Change]] = {}
        self.above: set[Path] = set()  # in which something changed
        for change in made:
            if change.removed:
                self.gone.setdefault(change.path[:-1], []).append(change)
            else:
                self.changed[change.path] = change
            self.above |= {change.path[:length] for length in range(len(change.path))}

    def sign(self, path: Path, inherited: str) -> str:
        """The sign of what is at `path`, in something of which the sign is `inherited`."""
        change = self.changed.get(path)
        return inherited if change is None else "+" if change.added else "~"

    def touched(self, path: Path) -> bool:
        """True if something changed there, or below."""
        return path in self.changed or path in self.above

    def was(self, path: Path) -> str:
        """Return the former value of a changed one, to be read behind it."""
        change = self.changed.get(path)
        return "" if change is None or change.added else f"  (was {_shorten_value(change.before)})"


def _child_rows(path: Path, value: Any, depth: int, sign: str, marks: _Marks) -> Iterator[TreeRow]:
    """Yield the entries of an object or a list; removed ones come last."""
    places: list[Any] = list(value) if isinstance(value, dict) else list(range(len(value)))
    at = 0
    for chosen in (*_shown_indices(path, places, marks), len(places)):
        if chosen > at:
            yield _omitted_row(path, places[at:chosen], depth, sign, marks)
        if chosen < len(places):
            place = places[chosen]
            yield from _value_rows((*path, place), value[place], depth, sign, marks)
        at = chosen + 1
    gone = marks.gone.get(path, [])
    for change in gone[:_FIRST]:
        yield TreeRow("-", depth, safe_line(format_path(change.path[-1:])), _shorten_value(change.before))
    if gone[_FIRST:]:
        yield TreeRow("-", depth, "", f"… {len(gone) - _FIRST:,} more")


def _omitted_row(path: Path, places: list[Any], depth: int, sign: str, marks: _Marks) -> TreeRow:
    changed = sum(marks.touched((*path, place)) for place in places)
    words = f", {changed:,} of them changed" if changed else ""
    return TreeRow("~" if changed else sign, depth, "", f"… {len(places):,} more{words}")


def _value_rows(path: Path, value: Any, depth: int, inherited: str, marks: _Marks) -> Iterator[TreeRow]:
    sign, key = marks.sign(path, inherited), safe_line(format_path(path[-1:]))
    is_closed = path not in marks.above and not (isinstance(value, dict | list) and not _value_line(value))
    if is_closed or depth >= _DEEP:
        yield TreeRow(sign, depth, key, _shorten_value(value) + marks.was(path))
        return
    yield TreeRow(sign, depth, key, f"{_describe_size(value)}{marks.was(path)}".lstrip())
    # What is in something that became an object or a list is all new.
    yield from _child_rows(path, value, depth + 1, "+" if sign in "+~" else " ", marks)


def _shown_indices(path: Path, places: list[Any], marks: _Marks) -> list[int]:
    """Choose the entries to show of many: the first, the last, and those in which something changed."""
    count = len(places)
    if count <= _FIRST + _LAST + 1:
        return list(range(count))
    changed = [at for at, place in enumerate(places) if marks.touched((*path, place))]
    return sorted({*range(_FIRST), *range(count - _LAST, count), *changed[: 2 * _FIRST]})


def _describe_size(value: Any) -> str:
    return "" if isinstance(value, dict) else f"[{len(value):,}]"


def _shorten_value(value: Any) -> str:
    """A value on one line, safe; what is long is cut, and says how much there is of it."""
    if isinstance(value, dict | list):
        return _value_line(value) or _describe_amount(value)
    text = readable_json(value)
    if len(text) <= _TEXT:
        return text
    length = f" ({len(value):,} characters)" if isinstance(value, str) else ""
    return f"{text[:_BEGINNING]}…{length}"


def _value_line(value: Any) -> str:
    """An object or a list as JSON, if that is so short that it can be read on one line; else ""."""
    inside = value.values() if isinstance(value, dict) else value
    if len(value) > _FIRST or any(isinstance(one, dict | list) and one for one in inside):
        return ""
    text = readable_json(value)
    return text if len(text) <= _TEXT else ""


def _describe_amount(value: Any) -> str:
    one, many = ("key", "keys") if isinstance(value, dict) else ("entry", "entries")
    words = f"{len(value):,} {one if len(value) == 1 else many}"
    return f"{{{words}}}" if isinstance(value, dict) else f"[{words}]"
