"""Output of a turn: the reply itself, a JSON document, or one event a line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flue_cli.errors import UsageError
from flue_cli.render import machine_output
from flue_cli.render.streams import Output
from flue_cli.stores.records import BegunTurn
from flue_cli.text import safe_line
from flue_cli.turns.runner import Turn


class TurnOutput:
    """Output of a turn while it runs; every method raises the errors of Output.result."""

    def __init__(self, output: Output) -> None:
        self.output = output

    def begun(self, begun: BegunTurn) -> None:
        """Handle the start of the turn."""

    def piece(self, text: str) -> None:
        """Show the next piece of a streamed reply."""

    def end(self, turn: Turn) -> None:
        """Show the end of the turn."""


class TextOutput(TurnOutput):
    """The reply as the agent gave it, piece by piece if it is streamed."""

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._streamed = False

    def piece(self, text: str) -> None:
        self._streamed = True
        self.output.write(text)

    def end(self, turn: Turn) -> None:
        if self._streamed:
            self.output.end_line()
        elif turn.reply is not None:
            self.output.result(turn.reply)


class JsonOutput(TurnOutput):
    """One JSON document at the end of the turn."""

    def end(self, turn: Turn) -> None:
        self.output.result(machine_output.as_json(machine_output.turn_document(turn)))


class EventOutput(TurnOutput):
    """A line of JSON for each event as it happens.

    The deltas together are the whole reply, streamed or not.
    """

    def __init__(self, output: Output) -> None:
        super().__init__(output)
        self._began = self._streamed = False

    def begun(self, begun: BegunTurn) -> None:
        self._began = True
        self._write(machine_output.started_event(begun.lease.head.agent, begun.lease.head.name, begun.lease))

    def piece(self, text: str) -> None:
        self._streamed = True
        self._write(machine_output.delta_event(text))

    def end(self, turn: Turn) -> None:
        if not self._began:  # answered from what was kept
            self._write(machine_output.started_event(turn.agent, turn.session, turn))
        if turn.reply and not self._streamed:
            self._write(machine_output.delta_event(turn.reply))
        self._write(machine_output.ended_event(turn))

    def _write(self, event: dict[str, Any]) -> None:
        self.output.result(machine_output.as_json(event))


FORMS: Mapping[str, type[TurnOutput]] = {"text": TextOutput, "json": JsonOutput, "stream-json": EventOutput}
"""Values of `--output-format`; an output is created for every turn."""


def output_format_name(name: str, *, as_json: bool) -> str:
    """Return the format that `--output-format` and `--json` select. Raises UsageError if it is unknown."""
    if name and name not in FORMS:
        raise UsageError(
            f"there is no output format '{safe_line(name)}'", hint=f"there are: {', '.join(FORMS)}"
        )
    if as_json and name not in ("", "json"):
        raise UsageError(f"--json prints another format than --output-format {name}", hint="use one of them")
    return "json" if as_json else name or "text"
