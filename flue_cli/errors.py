"""What can go wrong, in words a person can act on.

Every error below `cli.main` is a `FlueError`: a sentence, perhaps a hint, the exit code that
scripts see and the `type` that JSON carries. Only the command line's edge turns one into output.
"""

from __future__ import annotations


class FlueError(Exception):
    """A mistake or misfortune that Flue can name.

    `exit_code` is what the process ends with, `type` the same thing for JSON and HTTP, `hint` what
    the person could do about it.
    """

    exit_code = 70
    type = "bug"

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(FlueError):
    """The command, an option or the input cannot be used as it stands."""

    exit_code = 2
    type = "usage"


class BadName(UsageError):
    """A session or agent name breaks the rules for names."""

    type = "bad_name"


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
    """There are not so many turns to undo or to redo."""

    type = "nothing_to_move"


class Conflict(FlueError):
    """Somebody else got there first."""

    exit_code = 4
    type = "conflict"


class SessionExists(Conflict):
    """A session of this name exists already."""

    type = "session_exists"


class SessionBusy(Conflict):
    """Another turn holds the session, and held it for as long as we were willing to wait."""

    type = "session_busy"


class SessionChanged(Conflict):
    """The session was deleted, renamed or made anew since the caller last saw it."""

    type = "session_changed"


class AmbiguousName(Conflict):
    """A name fits several sessions."""

    type = "ambiguous_name"


class KeyConflict(Conflict):
    """The turn key was used for another prompt."""

    type = "key_conflict"


class FileExists(Conflict):
    """A file is in the way."""

    type = "file_exists"


class LeaseLost(Conflict):
    """Another turn took the session over before this one could commit."""

    type = "lease_lost"


class StoreError(FlueError):
    """The store cannot be opened, read or written."""

    exit_code = 5
    type = "store"


class StoreLocked(StoreError):
    """Another program writes to the store and does not stop."""

    type = "store_locked"


class StoreDamaged(StoreError):
    """What the store holds is not what was written."""

    type = "store_damaged"


class StoreNewer(StoreError):
    """The store was made by a newer Flue."""

    type = "store_newer"


class AgentError(FlueError):
    """The agent failed: it raised, gave back something unusable, or cannot be loaded.

    `type` says how; `traceback` is the agent's own, for `--verbose`, empty where there is none.
    """

    exit_code = 1

    def __init__(self, message: str, *, type: str, hint: str = "", traceback: str = "") -> None:  # noqa: A002 - the field's name in JSON
        super().__init__(message, hint=hint)
        self.type = type
        self.traceback = traceback


def describe_exception(error: BaseException) -> str:
    """An exception as one phrase, `ValueError: no such colour`, whatever its own `__str__` does."""
    name = type(error).__name__
    try:
        words = str(error)
    except BaseException:  # noqa: BLE001 - agents raise what they like, and it may not know its own words
        words = ""
    return f"{name}: {words}" if words else name


def format_traceback(error: BaseException) -> str:
    """An exception's traceback as Python prints it, "" if even that fails."""
    from traceback import format_exception

    try:
        return "".join(format_exception(error))
    except BaseException:  # noqa: BLE001 - for the same reason
        return ""


class DataError(ValueError):
    """A value that JSON cannot hold; `path` says where (`data.tasks[3]`), `problem` says what."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


class TurnTimeout(FlueError):
    """The agent took longer than it was given."""

    exit_code = 124
    type = "timeout"


class TurnCancelled(FlueError):
    """The turn was cancelled; the exit code is 128 + the signal that did it."""

    type = "cancelled"

    def __init__(self, message: str, *, signum: int = 2) -> None:
        super().__init__(message)
        self.signum = signum
        self.exit_code = 128 + signum


def cancelled_by(signum: int) -> TurnCancelled:
    """The reason of a turn that a signal ended."""
    return TurnCancelled("cancelled", signum=signum)


class OutputClosed(FlueError):
    """Whoever read our output went away (`| head -1`): we end quietly."""

    exit_code = 141
    type = "output_closed"


class OutputFailed(FlueError):
    """The result cannot be written (a full disk behind `> file`)."""

    exit_code = 74
    type = "output_failed"


class StoppedBySignal(BaseException):
    """A signal arrived while no turn was running: leave with 128 + `signum`."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum
