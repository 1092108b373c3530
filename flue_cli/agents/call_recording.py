"""Recording of an agent's calls to a model or a web service, and replay from the records.

A call's record is a JSON object. It has a `name`, and one of: `result` (of a function), `awaited` (result of
a coroutine), `pieces` (items read from an iterator), `awaited_pieces` (items read from an async iterator).
`error` is the exception (see recorded_errors.py), instead of a result or after the pieces. `more` marks an
iterator that was not read to its end. `unanswered` marks a coroutine that the agent gave up, with the seconds
that it had waited.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, Protocol

from flue_cli.agents.recorded_errors import error_from_json, error_to_json
from flue_cli.errors import AgentError, DataError
from flue_cli.jsondata.strict import MAX_BYTES, dumps, loads
from flue_cli.times import monotonic

Call = dict[str, Any]
"""The record of a call."""

ANSWER_SHAPES = ("result", "awaited", "pieces", "awaited_pieces", "unanswered")
"""The shapes that a call's answer may have."""

_STREAM_SHAPES = ("pieces", "awaited_pieces")
_ERROR_KEYS = ("type", "message")
_MAX_MISSING_CALLS = 100
"""Missing calls that are named at most: an agent may try for ever."""
_REPLAY_MARGIN = 0.5
"""Seconds that a replay waits longer for a call that the agent gave up."""


class CallSource(Protocol):
    """Source of the answers that `context.record` gives."""

    def record(self, name: str, function: Callable[[], Any]) -> Any:
        """Return the result of `function()`, made now or recorded."""

    def as_meta(self) -> dict[str, Any]:
        """Return the calls for the turn's meta: `{"calls": […]}`, or nothing without calls."""


class CallRecorder:
    """Makes calls and records their results, in the order in which they began."""

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self._size = 0

    def record(self, name: str, function: Callable[[], Any]) -> Any:
        """Call `function` and return a copy of its result, made from its JSON as in a replay.

        A coroutine is recorded when the caller awaits it, an iterator as the caller reads it. Raises
        AgentError for a result that JSON cannot hold and for more than 16 MiB, and the call's own exception.
        """
        call: Call = {"name": _check_call_name(name)}
        self.calls.append(call)
        with _record_errors(call):
            result = function()
            # The record has its shape at once, since the result may never be awaited or read.
            if hasattr(result, "__await__"):
                call["unanswered"] = 0.0
                return self._record_awaited(call, result)
            if hasattr(result, "__anext__"):
                call.update(awaited_pieces=[], more=True)
                return self._record_async_stream(call, result)
            if hasattr(result, "__next__"):
                call.update(pieces=[], more=True)
                return self._record_stream(call, result)
            call["result"], copy = self._copy_twice(call, result)
            return copy

    def as_meta(self) -> dict[str, Any]:
        """Return the calls for the turn's meta: `{"calls": […]}`, or nothing without calls."""
        # Copied, since a thread that the agent left behind may still be reading.
        calls = [
            {key: list(value) if key in _STREAM_SHAPES else value for key, value in dict(call).items()}
            for call in list(self.calls)
        ]
        return {"calls": calls} if calls else {}

    async def _record_awaited(self, call: Call, result: Awaitable[Any]) -> Any:
        began_at = monotonic()
        try:
            with _record_errors(call):
                value = await result
                recorded, copy = self._copy_twice(call, value)
        finally:
            if "unanswered" in call:
                call["unanswered"] = _seconds_since(began_at)
        del call["unanswered"]
        call["awaited"] = recorded
        return copy

    def _record_stream(self, call: Call, result: Iterator[Any]) -> Iterator[Any]:
        try:
            while True:
                with _record_errors(call):
                    try:
                        piece = next(result)
                    except StopIteration:
                        del call["more"]
                        return
                    recorded, copy = self._copy_twice(call, piece)
                call["pieces"].append(recorded)
                yield copy
        finally:
            close = getattr(result, "close", None)
            if close:
                close()

    async def _record_async_stream(self, call: Call, result: AsyncIterator[Any]) -> AsyncIterator[Any]:
        try:
            while True:
                began_at = monotonic()
                with _record_errors(call):
                    try:
                        piece = await anext(result)
                    except StopAsyncIteration:
                        del call["more"]
                        return
                    except BaseException as error:
                        if _is_abandoned_by_agent(error):
                            call["unanswered"] = _seconds_since(began_at)
                        raise
                    recorded, copy = self._copy_twice(call, piece)
                call["awaited_pieces"].append(recorded)
                yield copy
        finally:
            close = getattr(result, "aclose", None)
            if close:
                await close()

    def _copy_twice(self, call: Call, value: Any) -> tuple[Any, Any]:
        """Copy the result of a call twice: for the record, and for the agent, which may change it."""
        try:
            text = dumps(value, root="result")
        except DataError as error:
            raise AgentError(
                f"the result of the call '{call['name']}' cannot be kept: {error}",
                type="bad_call",
                hint="have it return what JSON holds: dict, list, str, int, float, bool, None",
            ) from error
        self._size += len(text)
        if self._size > MAX_BYTES:
            raise AgentError(
                f"the results of this turn's calls cannot be kept: more than {MAX_BYTES // 2**20} MiB",
                type="bad_call",
                hint="have them return no more than the agent needs",
            )
        return loads(text), loads(text)


class CallReplayer:
    """Answers calls from their records, by name and in order; nothing is called.

    `missing_calls` has the names of calls without a record. Each raises AgentError in the agent, which may
    catch it.
    """

    def __init__(self, calls: Sequence[Mapping[str, Any]]) -> None:
        """`calls` are the records; ValueError names the first invalid one."""
        self.missing_calls: list[str] = []
        self._calls = calls
        self._unused_calls: dict[str, deque[Mapping[str, Any]]] = {}
        for number, call in enumerate(calls):
            if problem := _call_problem(call):
                raise ValueError(f"calls[{number}]{problem}")
            self._unused_calls.setdefault(call["name"], deque()).append(call)

    def record(self, name: str, function: Callable[[], Any]) -> Any:
        """Return the recorded result, in the shape of the original one."""
        try:
            call = self._unused_calls[_check_call_name(name)].popleft()
        except (KeyError, IndexError):
            raise self._missing_call_error(name) from None
        if "pieces" in call:
            return self._replay_stream(call)
        if "awaited_pieces" in call:
            return self._replay_async_stream(call)
        if "awaited" in call or "unanswered" in call:
            return self._replay_awaited(call)
        _raise_recorded_error(call)
        return _copy_json(call["result"])

    def as_meta(self) -> dict[str, Any]:
        """Return the recorded calls for the turn's meta: `{"calls": […]}`, or nothing without calls."""
        return {"calls": list(self._calls)} if self._calls else {}

    async def _replay_awaited(self, call: Mapping[str, Any]) -> Any:
        await self._outwait_agent(call)
        _raise_recorded_error(call)
        return _copy_json(call["awaited"])

    def _replay_stream(self, call: Mapping[str, Any]) -> Iterator[Any]:
        yield from map(_copy_json, call["pieces"])
        _raise_recorded_error(call)
        if "more" in call:
            raise self._missing_call_error(call["name"])

    async def _replay_async_stream(self, call: Mapping[str, Any]) -> AsyncIterator[Any]:
        for piece in call["awaited_pieces"]:
            yield _copy_json(piece)
        await self._outwait_agent(call)
        _raise_recorded_error(call)
        if "more" in call:
            raise self._missing_call_error(call["name"])

    async def _outwait_agent(self, call: Mapping[str, Any]) -> None:
        """Sleep twice as long as the recorded call had waited when the agent gave it up."""
        if "unanswered" in call:
            from asyncio import sleep

            await sleep(2 * call["unanswered"] + _REPLAY_MARGIN)
            raise self._missing_call_error(call["name"])

    def _missing_call_error(self, name: str) -> AgentError:
        if len(self.missing_calls) < _MAX_MISSING_CALLS:
            self.missing_calls.append(name)
        return AgentError(f"the call '{name}' was not recorded, and is not made", type="not_recorded")


def _check_call_name(name: object) -> str:
    if not isinstance(name, str):
        raise AgentError(f"the name of a call is {type(name).__name__}, not str", type="bad_call")
    try:
        name.encode()
    except UnicodeEncodeError:
        raise AgentError("the name of a call has a lone surrogate", type="bad_call") from None
    return name


def _call_problem(call: Any) -> str:
    """Describe the first fault of a call's record; "" if it is valid."""
    if not isinstance(call, Mapping) or not isinstance(call.get("name"), str):
        return " is not an object with a name"
    if "error" in call:
        error = call["error"]
        if not isinstance(error, Mapping) or not all(isinstance(error.get(key), str) for key in _ERROR_KEYS):
            return f".error needs {' and '.join(_ERROR_KEYS)}"
    elif not any(shape in call for shape in ANSWER_SHAPES):
        return f" needs one of {', '.join(ANSWER_SHAPES)}, error"
    for shape in _STREAM_SHAPES:
        if not isinstance(call.get(shape, []), list):
            return f".{shape} is not a list"
    return "" if isinstance(call.get("unanswered", 0), int | float) else ".unanswered is not a number"


def _copy_json(value: Any) -> Any:
    return loads(dumps(value))


def _seconds_since(began_at: float) -> float:
    return round(monotonic() - began_at, 3)


@contextmanager
def _record_errors(call: Call) -> Iterator[None]:
    """Record an exception raised inside, unless the agent itself gave up the call."""
    try:
        yield
    except BaseException as error:
        if not (call.keys() & {"unanswered", "more"} and _is_abandoned_by_agent(error)):
            call.pop("more", None)
            if call.pop("unanswered", None) is not None:
                call["awaited"] = None
            call["error"] = error_to_json(error)
        raise


def _is_abandoned_by_agent(error: BaseException) -> bool:
    if "asyncio" in sys.modules:
        from asyncio import CancelledError, current_task

        if isinstance(error, CancelledError):  # of this task, or of the awaited call?
            with suppress(RuntimeError):  # no event loop runs in this thread
                task = current_task()
                return task is not None and task.cancelling() > 0
    return isinstance(error, GeneratorExit)


def _raise_recorded_error(call: Mapping[str, Any]) -> None:
    if "error" in call:
        raise error_from_json(call["error"])
