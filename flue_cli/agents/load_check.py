"""Check that an agent can be loaded, in a process of its own.

A module may do anything while it is imported: end its process, never come back, spoil what others
share. So each is loaded in a child, which tells its parent by a pipe.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
from collections.abc import Iterable
from typing import NamedTuple

from flue_cli.agents.discovery import SIGNATURE_HINT, AgentSource, load_agent
from flue_cli.errors import AgentError


class LoadCheck(NamedTuple):
    """Problem of an agent, "" if it loads; `traceback` is the agent's, if it raised."""

    problem: str
    traceback: str = ""


def check_agent(source: AgentSource) -> LoadCheck:
    """Load the agent in a child process, and see whether it can be called as Flue will call it."""
    reading, writing = os.pipe()
    # A signal must find us ready to end the child.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if not child:
        _load_in_child(source, writing, mask)
    try:
        os.close(writing)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with open(reading, "rb") as pipe:
            told = pipe.read()
    except BaseException:  # raised again: the child must not outlive a signal either
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if told:
        return LoadCheck(*json.loads(told))
    code = os.waitstatus_to_exitcode(status)
    how = f"is ended by {signal.Signals(-code).name}" if code < 0 else f"ends with {code}"
    return LoadCheck(f"its process {how} while it is loaded")


def _load_in_child(source: AgentSource, writing: int, mask: Iterable[int]) -> None:
    """Load the agent in the child, write the result to the pipe, and end."""
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        told = json.dumps(_try_to_load(source)).encode()
        sys.stderr.flush()
        with open(writing, "wb") as pipe:
            pipe.write(told)
    finally:
        os._exit(1)  # only reached without a word if a signal came


def _try_to_load(source: AgentSource) -> LoadCheck:
    try:
        function = load_agent(source).function
    except AgentError as error:
        return LoadCheck(error.message, error.traceback)
    try:
        inspect.signature(function).bind("prompt", "session", "context")
    except TypeError as error:
        return LoadCheck(f"its '{source.attribute}' does not take three arguments: {error}; {SIGNATURE_HINT}")
    except ValueError:
        pass  # something built in that does not tell its parameters
    return LoadCheck("")
