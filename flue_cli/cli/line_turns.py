"""`--lines`: a turn for every line of standard input, and what becomes of a line that fails."""

from collections.abc import Callable

import typer

from flue_cli.cli.app import App
from flue_cli.cli.stdin import LineInput
from flue_cli.errors import (
    AgentError,
    FlueError,
    OutputClosed,
    OutputFailed,
    SessionBusy,
    TurnCancelled,
    TurnTimeout,
    UsageError,
)
from flue_cli.text import pluralize

_OF_ONE_LINE = (AgentError, TurnTimeout, SessionBusy, UsageError)
"""Errors after which the next line may do better; a full disk or a deleted session stays as it is."""


class LineTurns:
    """A turn for every line of the descriptor `source`; with `keeps_going` also after a line that failed."""

    def __init__(self, app: App, source: int, *, keeps_going: bool) -> None:
        self._output = app.output
        self._keeps_going = keeps_going
        self._lines = LineInput(source)
        self._number = self._total = self._failed = 0

    def run(self, run_line: Callable[[str], None]) -> None:
        """Call `run_line` with each line.

        Raises the error of the line that failed; with `keeps_going` it is shown, and typer.Exit(1) is raised
        at the end.
        """
        for line in self._lines:
            self._number = line.number
            self._total += 1
            try:
                run_line(line.text())
            except (OutputClosed, OutputFailed):
                raise
            except FlueError as error:
                if not (self._keeps_going and isinstance(error, _OF_ONE_LINE)):
                    self.tell_stop(error)
                    raise
                self._failed += 1
                self._name_line(error)
                self._output.error(error)
        if self._failed:
            self._output.note(f"{self._failed} of {pluralize(self._total, 'line')} failed")
            raise typer.Exit(1)

    def tell_stop(self, error: FlueError) -> None:
        """Name the line in the message of `error`, and say that the lines after it are not run."""
        self._name_line(error)
        rest = self._lines.count_rest()
        if rest == 0:
            return
        verb = "was" if rest == 1 else "were"
        what = "what follows was not run" if rest is None else f"{pluralize(rest, 'line')} {verb} not run"
        may_go_on = isinstance(error, _OF_ONE_LINE) and not self._keeps_going
        hint = "; --keep-going goes on after a line that fails" if may_go_on else ""
        self._output.note(f"stopped at line {self._number}: {what}{hint}")

    def _name_line(self, error: FlueError) -> None:
        if not isinstance(error, TurnCancelled):  # which may have come after the line's turn was saved
            error.message = f"line {self._number}: {error.message}"
