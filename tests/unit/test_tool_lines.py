"""Lines that show tool messages."""

from __future__ import annotations

from typing import Any

import pytest

from flue_cli.agents.api import Message
from flue_cli.render.tool_lines import tool_lines


def call(arguments: Any, name: str = "search", call_id: Any = "1") -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


def asked(*calls: Any, content: Any = None) -> Message:
    return Message("assistant", content, {"tool_calls": list(calls)})


def result(content: Any, call_id: Any = "1") -> Message:
    return Message("tool", content, {"tool_call_id": call_id})


@pytest.mark.parametrize(
    ("messages", "lines"),
    [
        ([], []),
        ([asked(call('{"q": "flue"}')), result("3 results")], ['⚙ search("flue") -> 3 results']),
        ([asked(call('{"q": "a", "limit": 2}')), result("")], ['⚙ search(q="a", limit=2) -> (empty)']),
        ([asked(call("{}", "today"))], ["⚙ today()"]),
        ([asked(call("not JSON"))], ["⚙ search(not JSON)"]),
        ([asked(call({"q": ["ü"]})), result(["a", 1])], ['⚙ search(["ü"]) -> ["a", 1]']),
        (
            [
                asked(call('{"n": 1}', call_id="a"), call('{"n": 2}', call_id="b")),
                result("two", "b"),
                result("one", "a"),
            ],
            ["⚙ search(1) -> one", "⚙ search(2) -> two"],
        ),
        ([result("lost\nand found")], ["⚙ -> lost and found"]),
        ([Message("tool", "x", {"name": "lookup"})], ["⚙ lookup -> x"]),
        ([asked(call("{}", "today"), content="Let me see.")], ["assistant: Let me see.", "⚙ today()"]),
        ([Message("system", "Be brief.")], ["system: Be brief."]),
        ([result([{"type": "text", "text": "42"}])], ["⚙ -> 42"]),
        (
            [
                Message(
                    "assistant", [{"type": "tool_use", "id": "t", "name": "add", "input": {"a": 1, "b": 2}}]
                ),
                Message("user", [{"type": "tool_result", "tool_use_id": "t", "content": "3"}]),
            ],
            ["⚙ add(a=1, b=2) -> 3"],
        ),
        ([Message("assistant", None, {"function_call": {"name": "f", "arguments": "{}"}})], ["⚙ f()"]),
        ([asked({"id": ["odd"], "args": {}}, "odd", None)], ["⚙ tool()"]),
        ([Message("assistant", None, {"tool_calls": "odd"})], ["assistant: null"]),
        ([result("\x1b[2Jgone", {})], ["⚙ -> ^[[2Jgone"]),
    ],
)
def test_a_tool_message_is_one_line(messages: list[Message], lines: list[str]) -> None:
    """Each call is a line with its arguments and its result, whatever form the messages have."""
    assert tool_lines(messages) == lines


@pytest.mark.parametrize(
    ("text", "cells", "has_unicode", "line"),
    [
        ("abcdefghij", 12, True, "⚙ -> abcdef…"),
        ("abcdefg", 12, True, "⚙ -> abcdefg"),
        ("abcdefghij", 12, False, "* -> abcd..."),
        ("日本語日本語", 12, True, "⚙ -> 日本語…"),
        ("x" * 10_000_000, 10, True, "⚙ -> xxxx…"),
    ],
)
def test_a_line_is_cut_to_the_width(text: str, cells: int, has_unicode: bool, line: str) -> None:
    """A long result ends in an ellipsis at the edge of the screen, in ASCII where nothing else is known."""
    assert tool_lines([result(text)], cells, has_unicode=has_unicode) == [line]
