"""Errors. Each has a sentence for the person, perhaps a hint, an exit code and a `type` for JSON.

Code below `cli/main.py` raises them; only `cli/main.py` turns one into output and an exit code.
"""

from __future__ import annotations

import os
from typing import NamedTuple


class FlueError(Exception):
    """Base of all errors that Flue foresees.

    `exit_code` is the exit code of the process, `type` names the error in JSON and HTTP, and `hint` says
    what the person can do.
    """

    exit_code = 70
    type = "bug"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def sentence(self) -> str:
        """Return the message for the person at a terminal, with more than is stored or sent elsewhere."""
        return self.message


class UsageError(FlueError):
    """The command, an option or the input cannot be used."""

    exit_code = 2
    type = "usage"


class BadName(UsageError):
    """A session or agent name breaks the rules for names."""

    type = "bad_name"


class BadScript(UsageError):
    """A conversation test cannot be read or understood; `problem` is the message without the place."""

    type = "bad_script"

    def __init__(self, path: str, line: int, problem: str, *, hint: str = "") -> None:
        super().__init__(f"{path}:{line}: {problem}", hint=hint)
        self.path = path
        self.line = line
        self.problem = problem


class NotFound(FlueError):
    """No such agent, session or turn."""

    exit_code = 3
    type = "not_found"


class AgentNotFound(NotFound):
    """No folder, sample or installed package has an agent of this name."""

    type = "agent_not_found"


class SessionNotFound(NotFound):
    """The store has no such session."""

    type = "session_not_found"


class TurnNotFound(NotFound):
    """The session has no such turn."""

    type = "turn_not_found"


class NothingToMove(NotFound):
    """There are not enough turns to undo or redo."""

    type = "nothing_to_move"


class Conflict(FlueError):
    """Another process or an existing thing is in the way."""

    exit_code = 4
    type = "conflict"


class SessionExists(Conflict):
    """A session of this name exists already."""

    type = "session_exists"


class SessionBusy(Conflict):
    """Another turn held the session for the whole wait."""

    type = "session_busy"


class SessionChanged(Conflict):
    """The session was deleted, renamed or replaced since the caller last saw it."""

    type = "session_changed"


class OtherAgent(Conflict):
    """The session belongs to an agent of the same name that comes from another place."""

    type = "other_agent"


class AmbiguousName(Conflict):
    """Several sessions have the given name."""

    type = "ambiguous_name"


class KeyConflict(Conflict):
    """The turn key was used for another prompt."""

    type = "key_conflict"


class FileExists(Conflict):
    """The file to write exists already."""

    type = "file_exists"


class LeaseLost(Conflict):
    """Another turn took the session over before this one could commit."""

    type = "lease_lost"


class StoreError(FlueError):
    """The store cannot be opened, read or written."""

    exit_code = 5
    type = "store"


class StoreLocked(StoreError):
    """Another program locks the store for too long."""

    type = "store_locked"


class StoreDamaged(StoreError):
    """The store's file is damaged."""

    type = "store_damaged"


class StoreNewer(StoreError):
    """The store was made by a newer Flue."""

    type = "store_newer"


class CodePlace(NamedTuple):
    """A line of a file of Python code; `line` is 0 if it is unknown."""

    path: str
    line: int

    def __str__(self) -> str:
        """Write it as `agents/weather.py:12`, relative to the current folder if it is below it."""
        try:
            below = os.path.relpath(self.path)
        except (OSError, ValueError):  # the current folder is gone; a path with NUL
            below = ".."
        path = self.path if below.startswith("..") else below
        return f"{path}:{self.line}" if self.line else path


class AgentError(FlueError):
    """The agent raised an exception, returned an invalid reply, or cannot be loaded.

    `type` tells these apart; `traceback` is the agent's own, for `--verbose`, "" if there is none. `place` is
    the line of the agent's code that failed, if it is known.
    """

    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        type: str,  # noqa: A002 - the field's name in JSON
        hint: str = "",
        traceback: str = "",
        place: CodePlace | None = None,
    ) -> None:
        super().__init__(message, hint=hint)
        self.type = type
        self.traceback = traceback
        self.place = place

    def sentence(self) -> str:
        """Return the message with the place, which is nobody's business but the agent's author's."""
        return f"{self.message} ({self.place})" if self.place else self.message


class DataError(ValueError):
    """A value that JSON cannot represent; `path` is its place (`data.tasks[3]`), `problem` the reason."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class TurnTimeout(FlueError):
    """The agent took longer than the timeout."""

    exit_code = 124
    type = "timeout"


class TurnCancelled(FlueError):
    """The turn was cancelled; the exit code is 128 + the number of the signal."""

    type = "cancelled"

    def __init__(self, message: str, *, signum: int = 2) -> None:
        super().__init__(message)
        self.signum = signum
        self.exit_code = 128 + signum


def cancelled_by(signum: int) -> TurnCancelled:
    """Make the error of a turn that a signal cancelled."""
    return TurnCancelled("cancelled", signum=signum)


class OutputClosed(FlueError):
    """The reader of stdout is gone (`| head -1`): the command ends without a message."""

    exit_code = 141
    type = "output_closed"


class OutputFailed(FlueError):
    """The result cannot be written (a full disk behind `> file`)."""

    exit_code = 74
    type = "output_failed"


class SystemLimit(FlueError):
    """The system refuses what every command needs: it has too many open files."""

    exit_code = 71
    type = "system_limit"


class StoppedBySignal(BaseException):
    """A signal arrived while no turn was running: leave with 128 + `signum`."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
