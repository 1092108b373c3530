"""Running agents from a command: preparing the process, cancelling by signals, ending it."""

import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

from flue_cli.cli import stdin
from flue_cli.cli.app import App
from flue_cli.errors import FlueError
from flue_cli.turns.cancellation import Cancellation


def prepare_for_agents(app: App) -> int:
    """Prepare the process for agents' code, and return the descriptor to read prompts from.

    From here on only results reach stdout, and agents find an empty standard input, unless it is a terminal.
    """
    collect_garbage()
    app.output.keep_from_agents()
    return stdin.keep_from_agents()


def collect_garbage() -> None:
    """Turn the garbage collector on, which start-up left off: agents do make garbage."""
    gc.freeze()  # what start-up left needs no looking through
    gc.enable()


@contextmanager
def turn_cancellation(app: App) -> Iterator[Cancellation]:
    """Give the cancellation of one turn, which a signal requests while inside."""
    cancellation = Cancellation(wake_by=next(iter(app.signals.installed), 0))
    with app.signals.cancelling(cancellation):
        yield cancellation


def end_with_stuck_agent(app: App, error: FlueError | None, show: Callable[[], None]) -> NoReturn:
    """Call `show`, print `error`, and end the process although an agent does not stop."""
    try:
        show()
        if error:
            app.output.error(error)
    finally:
        # The agent holds the main thread and will not let go: nothing but this ends the process.
        os._exit(error.exit_code if error else 70)
