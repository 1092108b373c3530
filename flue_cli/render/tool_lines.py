"""Tool messages in one line each: the call, and what came of it. Imports no rich.

    ⚙ search("flue") -> three results: …

Messages have the form of the chat API (`tool_calls`, role "tool"), or content blocks of type "tool_use" and
"tool_result". Nothing about them is certain: agents and imported files write them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from flue_cli.agents.api import Message
from flue_cli.text import safe_line

PIPE_CELLS = 200
"""Width of a line that no screen bounds."""

_TOOL_SIGNS = {True: "⚙", False: "*"}
_ELLIPSES = {True: "…", False: "..."}


class _Call(NamedTuple):
    id: object
    text: str


def tool_lines(
    messages: Sequence[Message], cells: int = PIPE_CELLS, *, has_unicode: bool = True
) -> list[str]:
    """Make the lines of the messages between a prompt and its reply, safe and at most `cells` wide."""
    sign, ellipsis = _TOOL_SIGNS[has_unicode], _ELLIPSES[has_unicode]
    texts = (f"{sign} {line}" if is_tool else line for is_tool, line in _describe(messages, cells))
    return [_fit(safe_line(text), cells, ellipsis) for text in texts]


def _describe(messages: Sequence[Message], length: int) -> Iterator[tuple[bool, str]]:
    """Describe each call with its result, and each other message; True for those of tools."""
    results: dict[str, list[_Call]] = {}
    for result in (result for message in messages for result in _results(message)):
        results.setdefault(repr(result.id), []).append(result)
    called = {repr(call.id) for message in messages for call in _calls(message)}
    for message in messages:
        calls, own_results = list(_calls(message)), list(_results(message))
        text = "" if own_results else _text(message.content)
        if text or not (calls or own_results):
            yield False, f"{message.role}: {_one_line(text or _json(message.content), length)}"
        for call in calls:
            waiting = results.get(repr(call.id))
            yield True, _one_line(call.text, length) + _outcome(waiting.pop(0) if waiting else None, length)
        for result in own_results:
            if repr(result.id) not in called:
                yield True, f"{_one_line(_name_of(message), length)}{_outcome(result, length)}".lstrip()


def _name_of(message: Message) -> str:
    name = message.extra.get("name")
    return name if isinstance(name, str) else ""


def _outcome(result: _Call | None, length: int) -> str:
    return "" if result is None else f" -> {_one_line(result.text, length) or '(empty)'}"


def _calls(message: Message) -> Iterator[_Call]:
    """Yield the calls that a message asks for."""
    for call in _items(message.extra.get("tool_calls")):
        function = call.get("function")
        function = function if isinstance(function, Mapping) else call
        yield _Call(call.get("id"), _call_text(function, "arguments"))
    if isinstance(function := message.extra.get("function_call"), Mapping):
        yield _Call(None, _call_text(function, "arguments"))
    for part in _items(message.content):
        if part.get("type") == "tool_use":
            yield _Call(part.get("id"), _call_text(part, "input"))


def _results(message: Message) -> Iterator[_Call]:
    """Yield the results of calls in a message."""
    if message.role in ("tool", "function"):
        text = _text(message.content) or ("" if message.content in ("", None) else _json(message.content))
        yield _Call(message.extra.get("tool_call_id"), text)
        return
    for part in _items(message.content):
        if part.get("type") == "tool_result":
            yield _Call(part.get("tool_use_id"), _text(part.get("content")))


def _call_text(call: Mapping[str, Any], field: str) -> str:
    name, arguments = call.get("name") or "tool", call.get(field)
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            return f"{name}({arguments})"
    if not isinstance(arguments, Mapping):
        return f"{name}({'' if arguments is None else _json(arguments)})"
    if len(arguments) == 1:
        return f"{name}({_json(*arguments.values())})"
    return f"{name}({', '.join(f'{key}={_json(value)}' for key, value in arguments.items())})"


def _text(content: Any) -> str:
    """Return the text of a message's content, which may be a list of parts."""
    if isinstance(content, str):
        return content
    texts = (part.get("text") for part in _items(content))
    return "\n".join(text for text in texts if isinstance(text, str))


def _items(value: Any) -> Iterator[Mapping[str, Any]]:
    """Yield the JSON objects in `value`, if it is a list."""
    if isinstance(value, list | tuple):
        yield from (item for item in value if isinstance(item, Mapping))


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _one_line(text: str, length: int) -> str:
    """Put the beginning of a text on one line: enough to fill `length` characters in nearly all cases."""
    return " ".join(text[: 4 * length].split())


def _fit(line: str, cells: int, ellipsis: str) -> str:
    if len(line) <= cells and line.isascii():
        return line
    from rich.cells import cell_len, set_cell_size

    if cell_len(line) <= cells:
        return line
    return set_cell_size(line, max(cells - len(ellipsis), 0)).rstrip() + ellipsis
