"""Output of `flue replay`: the turns that differ, for a pipe or a terminal, or all turns as JSON."""

from __future__ import annotations

from collections.abc import Iterable

from flue_cli.cli.app import App
from flue_cli.render.notices import show_traceback
from flue_cli.render.replay_diff import difference_lines, difference_view, replay_summary, replayed_fields
from flue_cli.stores.records import SessionHead
from flue_cli.transcripts.entry_json import object_of
from flue_cli.turns.replay import SkippedTurn, TurnComparison


class Report:
    """Lines for the turns that differ, as they come, and a summary on stderr at the end."""

    def __init__(self, app: App, head: SessionHead, *, verbose: bool) -> None:
        self.differing: list[int] = []
        self.skipped: list[int] = []
        self._app = app
        self._head = head
        self._verbose = verbose
        self._count = 0
        self._begun = False

    def show(self, turns: Iterable[TurnComparison | SkippedTurn]) -> None:
        """Show all of them; raises as Output.result."""
        for turn in turns:
            self.add(turn)
        self.end()

    def add(self, turn: TurnComparison | SkippedTurn) -> None:
        """Show a turn if it differs."""
        if isinstance(turn, SkippedTurn):
            self.skipped.append(turn.turn)
            return
        self._count += 1
        if turn.differing_parts:
            self.differing.append(turn.turn)
        self._write(turn)
        show_traceback(turn.now.error, self._app.output, verbose=self._verbose)

    def end(self) -> None:
        """Write the summary."""
        self._app.output.note(replay_summary(self._count, self.differing, self.skipped))

    def _write(self, turn: TurnComparison) -> None:
        """Write the turn, if it differs, as lines with a blank one between turns."""
        if turn.differing_parts:
            blank = "\n" if len(self.differing) > 1 else ""
            self._app.output.write(blank + "".join(map(str, difference_lines(turn))))


class TerminalReport(Report):
    """A report for a terminal: recorded and new turns side by side."""

    def _write(self, turn: TurnComparison) -> None:
        if turn.differing_parts:
            from flue_cli.render.tables import show_paged_renderable

            show_paged_renderable(self._app.output, difference_view(turn), pager=False)


class JsonReport(Report):
    """One JSON document of all turns, written as they come, a turn a line."""

    def end(self) -> None:
        self._begin()
        rest = object_of({"differ": self.differing, "skipped": self.skipped}).removeprefix("{")
        self._app.output.write(f"\n], {rest}\n")
        super().end()

    def _write(self, turn: TurnComparison) -> None:
        self._begin()
        self._app.output.write((",\n" if self._count > 1 else "\n") + object_of(replayed_fields(turn)))

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            fields = object_of({"agent": self._head.agent, "session": self._head.name})
            self._app.output.write(fields.removesuffix("}") + ', "turns": [')


def create_report(app: App, head: SessionHead, *, as_json: bool, verbose: bool) -> Report:
    """Create the report for the options and the kind of output."""
    kind = JsonReport if as_json else TerminalReport if app.output.is_terminal else Report
    return kind(app, head, verbose=verbose)
