"""Place of a fault in an agent's own code, from the traceback of an exception."""

from __future__ import annotations

from types import TracebackType
from typing import Any

from flue_cli.errors import CodePlace
from flue_cli.exception_text import first_exceptions

MODULE_PREFIX = "flue_cli.agents.loaded."
"""Beginning of the names of modules that were loaded from an agent's file."""


def failed_place(error: BaseException, module: str = "") -> CodePlace | None:
    """Find the innermost line of an agent's own code in the traceback of `error`.

    Own code is a file that was loaded as an agent, the modules beside it, and the package of `module`, for an
    agent that is imported. None if the traceback has no such line.
    """
    package = "" if module.startswith(MODULE_PREFIX) else module.partition(".")[0]
    for exception in reversed(list(first_exceptions(error))):
        place = _own_place(exception.__traceback__, package)
        if place:
            return place
    return None


def defined_place(function: Any) -> CodePlace | None:
    """Return the line on which a function is defined, None for a callable of another kind."""
    code = getattr(function, "__code__", None)
    return CodePlace(code.co_filename, code.co_firstlineno) if code else None


def _own_place(traceback: TracebackType | None, package: str) -> CodePlace | None:
    place = None
    while traceback:
        frame = traceback.tb_frame
        name = str(frame.f_globals.get("__name__", ""))
        if name.startswith(MODULE_PREFIX) or (package and name.partition(".")[0] == package):
            place = CodePlace(frame.f_code.co_filename, traceback.tb_lineno)
        traceback = traceback.tb_next
    return place
