"""Descriptions of exceptions, of any class and however broken, for errors and logs."""

from __future__ import annotations

from collections.abc import Iterator


def describe_exception(error: BaseException) -> str:
    """Describe an exception in one phrase, `ValueError: no such colour`, even if its `__str__` fails."""
    name = type(error).__name__
    try:
        message = str(error)
    except BaseException:  # noqa: BLE001 - an agent's exception may raise anything in its __str__
        message = ""
    return f"{name}: {message}" if message else name


def describe_with_cause(error: BaseException) -> str:
    """Describe an exception and the one that it comes from: the first of a group, or the last `from`.

    `ExceptionGroup: unhandled errors in a TaskGroup (1 sub-exception): TimeoutError: no answer`, or
    `RuntimeError: no weather, caused by TimeoutError: no answer`.
    """
    words = describe_exception(error)
    if isinstance(error, BaseExceptionGroup):
        *_, first = first_exceptions(error)
        return f"{words}: {describe_with_cause(first)}"
    cause = error
    for _ in range(_MAX_CAUSES):
        if cause.__cause__ is None:
            break
        *_, cause = first_exceptions(cause.__cause__)
    reason = describe_exception(cause)
    return words if cause is error or reason in words else f"{words}, caused by {reason}"


def first_exceptions(error: BaseException) -> Iterator[BaseException]:
    """Yield `error`; if it is a group also the first exception of it, and so on."""
    yield error
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
        yield error


_MAX_CAUSES = 100
"""Causes that are followed at most: an exception may be its own cause."""


def format_traceback(error: BaseException) -> str:
    """Format an exception's traceback as Python prints it; "" if that fails."""
    from traceback import format_exception

    try:
        return "".join(format_exception(error))
    except BaseException:  # noqa: BLE001 - for the same reason
        return ""
