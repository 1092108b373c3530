"""Errors as HTTP tells them: the same types as on the command line, each with a status.

What an agent, the store or a bug of ours says may repeat what is nobody else's business. Over HTTP it is
said only that something failed, with a reference under which the log has more.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from starlette.responses import Response

from flue_cli.errors import (
    AgentError,
    Conflict,
    FlueError,
    NotFound,
    StoreError,
    StoreLocked,
    TurnCancelled,
    TurnTimeout,
    UsageError,
)
from flue_cli.exception_text import describe_exception
from flue_cli.log import Log, stack_frames
from flue_cli.render import machine_output
from flue_cli.stores.records import Failure

RETRY_SECONDS = 1
"""Value of `Retry-After`: a queue of turns has mostly moved by then."""


class TooLarge(UsageError):
    """The prompt is larger than a prompt may be."""

    type = "too_large"


class Overloaded(FlueError):
    """More is waiting than the server wants to hold."""

    type = "overloaded"


class ServerStopping(Overloaded):
    """The server is about to end, and takes no more prompts."""

    type = "stopping"


_STATUS: Mapping[type[BaseException], int] = {
    TooLarge: 413,
    UsageError: 400,
    NotFound: 404,
    Conflict: 409,
    Overloaded: 503,
    StoreLocked: 503,
    TurnCancelled: 503,
    TurnTimeout: 504,
    FlueError: 500,
}

_KEPT_BACK: Mapping[str, str] = {
    "bug": "something went wrong in Flue",
    "store": "the store failed",
    "store_locked": "the store is locked by another program",
    "store_damaged": "the store is damaged",
    "store_newer": "the store was made by a newer Flue",
}
_AGENT_FAILED = "the agent failed"

Report = Callable[[str, FlueError], object]
"""Called, from any thread, with a reference and the error whose words were kept back under it."""


def document(
    status: int,
    type: str,  # noqa: A002 - the field's name in JSON
    message: str,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """The answer `{"error": {"type", "message"}}`; 503 says when to try again."""
    return json_answer({"error": {"type": type, "message": message}}, status, headers)


def json_answer(value: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`value` as JSON in ASCII, and a newline for whoever reads it in a terminal."""
    again = {"Retry-After": str(RETRY_SECONDS)} if status == 503 else {}
    return Response(
        machine_output.as_json(value) + "\n", status, {**again, **(headers or {})}, "application/json"
    )


def status_of(error: FlueError) -> int:
    """The HTTP status that says of what kind an error is."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def redact_failure(failure: Failure) -> Failure:
    """A kept turn's failure without the words of agents, the store and exceptions."""
    if failure.type in _KEPT_BACK:
        return Failure(failure.type, _KEPT_BACK[failure.type])
    if failure.type in ("cancelled", "timeout", "interrupted", "lease_lost"):
        return failure
    return Failure(failure.type, _AGENT_FAILED)


class FailureReporter:
    """Public words for errors; the words that are kept back go into the log."""

    def __init__(self, log: Log, report: Report | None = None) -> None:
        self._log = log
        self._report = report or (lambda *_: None)

    def public_failure(self, error: FlueError, **about: object) -> Failure:
        """Give the failure as the client hears it; `about` (agent, session, turn) goes into the log too."""
        failure = Failure(error.type, error.message)
        if not isinstance(error, StoreError) and status_of(error) != 500:
            return failure
        words = _AGENT_FAILED if isinstance(error, AgentError) else redact_failure(failure).message
        return Failure(error.type, f"{words} (reference {self._write_down(error, about)})")

    def answer(self, error: FlueError, headers: Mapping[str, str] | None = None, **about: object) -> Response:
        """The document of an error."""
        return document(status_of(error), *self.public_failure(error, **about), headers)

    def _write_down(self, error: FlueError, about: Mapping[str, object]) -> str:
        reference = os.urandom(4).hex()
        cause = error.__cause__ or error
        self._log.write(
            "failure",
            reference=reference,
            type=error.type,
            exception=type(cause).__name__,
            **about,
            # Only the store's own words: all others may repeat what was said.
            message=error.message if isinstance(error, StoreError) else None,
            frames=stack_frames(cause),
        )
        self._report(reference, error)
        return reference


def as_flue_error(error: BaseException) -> FlueError:
    """An exception as an error of ours: what nobody foresaw is a bug."""
    if isinstance(error, FlueError):
        return error
    bug = FlueError(describe_exception(error))
    bug.__cause__ = error
    return bug
