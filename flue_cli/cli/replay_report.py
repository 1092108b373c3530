"""What `flue replay` shows: the turns that differ, for a pipe, for a person, or all turns as JSON."""

from __future__ import annotations

from collections.abc import Iterable

from flue_cli.cli.commands import App
from flue_cli.render.remarks import show_traceback
from flue_cli.render.replay_diff import difference_lines, difference_view, replay_summary, replayed_fields
from flue_cli.replay import Compared, Skipped
from flue_cli.stores.records import Head
from flue_cli.transcripts.entry_json import object_of


class Report:
    """Shows the turns that differ, as they come, and at the end on stderr how many did."""

    def __init__(self, app: App, head: Head, *, verbose: bool) -> None:
        self.differing: list[int] = []
        self.skipped: list[int] = []
        self._app = app
        self._head = head
        self._verbose = verbose
        self._count = 0
        self._begun = False

    def show(self, turns: Iterable[Compared | Skipped]) -> None:
        """Show all of them; raises as Output.result."""
        for turn in turns:
            self.add(turn)
        self.end()

    def add(self, turn: Compared | Skipped) -> None:
        """Show one, if there is something to see."""
        if isinstance(turn, Skipped):
            self.skipped.append(turn.turn)
            return
        self._count += 1
        if turn.what:
            self.differing.append(turn.turn)
        self._write(turn)
        show_traceback(turn.now.error, self._app.output, verbose=self._verbose)

    def end(self) -> None:
        """Say what it came to."""
        self._app.output.note(replay_summary(self._count, self.differing, self.skipped))

    def _write(self, turn: Compared) -> None:
        """Write the turn, if it differs, as lines with a blank one between turns."""
        if turn.what:
            blank = "\n" if len(self.differing) > 1 else ""
            self._app.output.piece(blank + "".join(map(str, difference_lines(turn))))


class TerminalReport(Report):
    """The same for a person's eyes: recorded and now, side by side."""

    def _write(self, turn: Compared) -> None:
        if turn.what:
            from flue_cli.render.terminal import page

            page(self._app.output, difference_view(turn), pager=False)


class Document(Report):
    """All of it as one JSON document, written as it comes, a turn a line."""

    def end(self) -> None:
        self._begin()
        rest = object_of({"differ": self.differing, "skipped": self.skipped}).removeprefix("{")
        self._app.output.piece(f"\n], {rest}\n")
        super().end()

    def _write(self, turn: Compared) -> None:
        self._begin()
        self._app.output.piece((",\n" if self._count > 1 else "\n") + object_of(replayed_fields(turn)))

    def _begin(self) -> None:
        if not self._begun:
            self._begun = True
            fields = object_of({"agent": self._head.agent, "session": self._head.name})
            self._app.output.piece(fields.removesuffix("}") + ', "turns": [')


def report_of(app: App, head: Head, *, as_json: bool, verbose: bool) -> Report:
    """The report that suits the options and whoever reads it."""
    kind = Document if as_json else TerminalReport if app.output.is_terminal else Report
    return kind(app, head, verbose=verbose)
