"""Calls that leave an agent (a model, a web service): kept as they are made, answered from what was kept.

A call's record is a JSON object: `name`, and `result` (what it returned), `awaited` (the same, by a
coroutine), `pieces` (what an iterator gave, as far as it was read) or `awaited_pieces`; `error`
(`type`, `message`) where it raised.
"""

from __future__ import annotations

import builtins
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from flue_cli.errors import AgentError, DataError, words_of
from flue_cli.strict_json import dumps, loads

Call = dict[str, Any]
"""The record of a call."""


class Recording(Protocol):
    """What answers `context.record`."""

    def record(self, name: str, function: Callable[[], Any]) -> Any:
        """What `function()` gives, or gave when it was recorded."""


class Recorder:
    """Makes calls and keeps what they give, in the order in which they began."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def record(self, name: str, function: Callable[[], Any]) -> Any:
        """What `function()` gives, as a copy that holds no more than JSON does: so will a replay's.

        A coroutine is awaited by the caller, an iterator read by the caller, and then kept. Raises
        AgentError for what JSON cannot hold, and whatever the call raises.
        """
        call: Call = {"name": _checked_name(name)}
        self.calls.append(call)
        with _kept_errors(call):
            result = function()
        if hasattr(result, "__await__"):
            return _await(call, result)
        if hasattr(result, "__anext__"):
            return _read_async(call, result)
        if hasattr(result, "__next__"):
            return _read(call, result)
        call["result"] = _copied(name, result)
        return _copied(name, result)

    def as_meta(self) -> dict[str, Any]:
        """What a turn keeps of it: `{"calls": […]}`, or nothing where nothing was called."""
        return {"calls": self.calls} if self.calls else {}


class Player:
    """Answers calls from their records, by name and in order; nothing is called.

    `missing` has the names of calls of which there is no record: each raises AgentError in the agent,
    which may swallow it.
    """

    def __init__(self, calls: Sequence[Mapping[str, Any]]) -> None:
        self.missing: list[str] = []
        self._left: dict[str, list[Mapping[str, Any]]] = {}
        for call in reversed(calls):
            self._left.setdefault(call["name"], []).append(call)

    def record(self, name: str, function: Callable[[], Any]) -> Any:
        """What the call gave when it was recorded, in the same shape."""
        left = self._left.get(_checked_name(name))
        if not left:
            self.missing.append(name)
            raise AgentError(f"the call '{name}' was not recorded, and is not made", type="not_recorded")
        call = left.pop()
        if "awaited" in call:
            return _awaited(call)
        if "awaited_pieces" in call:
            return _async_pieces(call)
        if "pieces" in call:
            return _pieces(call)
        _raise_kept(call)
        return _copied(name, call["result"])


def _checked_name(name: object) -> str:
    if not isinstance(name, str):
        raise AgentError(f"the name of a call is {type(name).__name__}, not str", type="bad_call")
    return name


def _copied(name: str, value: Any) -> Any:
    try:
        return loads(dumps(value, root="result"))
    except DataError as error:
        raise AgentError(
            f"what the call '{name}' gave cannot be kept: {error}",
            type="bad_call",
            hint="have it return what JSON holds: dict, list, str, int, float, bool, None",
        ) from error


@contextmanager
def _kept_errors(call: Call) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        name, _, message = words_of(error).partition(": ")
        call["error"] = {"type": name, "message": message.encode("utf-8", "backslashreplace").decode()}
        raise


def _raise_kept(call: Mapping[str, Any]) -> None:
    """What the call raised: one of Python's own exceptions as itself, any other as a RuntimeError."""
    if "error" not in call:
        return
    name, message = call["error"]["type"], call["error"]["message"]
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception):
        try:
            error = kind(message)
        except TypeError:  # one that wants more than its words
            error = RuntimeError(f"{name}: {message}")
        raise error
    raise RuntimeError(f"{name}: {message}")


async def _await(call: Call, result: Awaitable[Any]) -> Any:
    call["awaited"] = None
    with _kept_errors(call):
        value = await result
    call["awaited"] = _copied(call["name"], value)
    return _copied(call["name"], value)


def _read(call: Call, result: Iterator[Any]) -> Iterator[Any]:
    pieces = call["pieces"] = []
    try:
        while True:
            with _kept_errors(call):
                try:
                    piece = next(result)
                except StopIteration:
                    return
            pieces.append(_copied(call["name"], piece))
            yield _copied(call["name"], piece)
    finally:
        close = getattr(result, "close", None)
        if close:
            close()


async def _read_async(call: Call, result: AsyncIterator[Any]) -> AsyncIterator[Any]:
    pieces = call["awaited_pieces"] = []
    try:
        while True:
            with _kept_errors(call):
                try:
                    piece = await anext(result)
                except StopAsyncIteration:
                    return
            pieces.append(_copied(call["name"], piece))
            yield _copied(call["name"], piece)
    finally:
        close = getattr(result, "aclose", None)
        if close:
            await close()


async def _awaited(call: Mapping[str, Any]) -> Any:
    _raise_kept(call)
    return _copied(call["name"], call["awaited"])


def _pieces(call: Mapping[str, Any]) -> Iterator[Any]:
    for piece in call["pieces"]:
        yield _copied(call["name"], piece)
    _raise_kept(call)


async def _async_pieces(call: Mapping[str, Any]) -> AsyncIterator[Any]:
    for piece in call["awaited_pieces"]:
        yield _copied(call["name"], piece)
    _raise_kept(call)
