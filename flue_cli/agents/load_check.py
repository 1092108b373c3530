"""Check that an agent can be loaded, in a child process.

A module may do anything while it is imported: end its process, never return, change global state. So each is
loaded in a child, which sends the result through a pipe.
"""

from __future__ import annotations

import inspect
import json
import os
import signal
import sys
from collections.abc import Iterable
from typing import NamedTuple

from flue_cli.agents.discovery import SIGNATURE_HINT, load_agent
from flue_cli.agents.search_path import AgentSource
from flue_cli.errors import AgentError


class LoadCheck(NamedTuple):
    """Problem of loading an agent, "" if it loads; `traceback` is that of its exception, if it raised one."""

    problem: str
    traceback: str = ""


def check_agent(source: AgentSource) -> LoadCheck:
    """Load the agent in a child process, and check that it takes the three arguments of an agent."""
    read_end, write_end = os.pipe()
    # Signals wait until the child's number is known: the handler of one ends the child.
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
    child = os.fork()
    if not child:
        _load_in_child(source, write_end, mask)
    try:
        os.close(write_end)
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        with open(read_end, "rb") as pipe:
            answer = pipe.read()
    except BaseException:  # raised again: the child must not outlive a signal either
        os.kill(child, signal.SIGKILL)
        raise
    finally:
        _, status = os.waitpid(child, 0)
    if answer:
        return LoadCheck(*json.loads(answer))
    code = os.waitstatus_to_exitcode(status)
    end = f"is ended by {signal.Signals(-code).name}" if code < 0 else f"ends with {code}"
    return LoadCheck(f"its process {end} while it is loaded")


def _load_in_child(source: AgentSource, write_end: int, mask: Iterable[int]) -> None:
    """Load the agent in the child, write the result to the pipe, and end."""
    try:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        answer = json.dumps(_try_to_load(source)).encode()
        sys.stderr.flush()
        with open(write_end, "wb") as pipe:
            pipe.write(answer)
    finally:
        os._exit(1)  # the parent reads this code only if no answer was written


def _try_to_load(source: AgentSource) -> LoadCheck:
    try:
        function = load_agent(source).function
    except AgentError as error:
        # Without a place the hint only repeats the path.
        advice = f"; {error.hint}" if error.place and error.hint else ""
        return LoadCheck(error.sentence() + advice, error.traceback)
    try:
        inspect.signature(function).bind("prompt", "session", "context")
    except TypeError as error:
        return LoadCheck(f"its '{source.attribute}' does not take three arguments: {error}; {SIGNATURE_HINT}")
    except ValueError:
        pass  # a built-in function without a signature
    return LoadCheck("")
