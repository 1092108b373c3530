"""The result of script tests in words: a line of progress, the differences, a summary."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from flue_cli.errors import AgentError, FlueError
from flue_cli.render.notices import add_traceback_hint
from flue_cli.render.streams import Output
from flue_cli.text import safe_line, safe_text

if TYPE_CHECKING:
    from flue_cli.script_tests.checks import FailedCheck
    from flue_cli.script_tests.runner import PlayedTurn, ScriptResult

StyledPiece = tuple[str, str]
"""Text that was made safe, and the style that it has on a terminal."""

_DIFF = {"-": "red", "+": "green", "@": "cyan"}


def show_pieces(output: Output, pieces: Iterable[StyledPiece]) -> None:
    """Write the pieces to stdout, on a terminal in their styles; raises as Output.result."""
    if output.is_terminal:
        from flue_cli.render.tables import style_pieces

        output.write_raw(style_pieces(pieces))
    else:
        output.write("".join(text for text, _ in pieces))


def script_heading(path: str) -> Iterator[StyledPiece]:
    """The beginning of a script's line of progress."""
    yield safe_line(path) + " ", ""


def turn_mark(turn: PlayedTurn, *, updated: bool = False) -> Iterator[StyledPiece]:
    """A turn in the line of progress."""
    yield ("U", "yellow") if updated else ("F", "bold red") if turn.failures else (".", "green")


def failed_script(result: ScriptResult, *, verbose: bool) -> Iterator[StyledPiece]:
    """Everything of a script that is not as expected, each with its place."""
    path = safe_line(result.script.path)
    if result.error:
        yield f"\n{path}:{result.script.agent_line}: {safe_line(result.problem)}\n", "bold red"
        yield from _hint_pieces(result.error, verbose=verbose)
    for turn in result.turns:
        for failure in turn.failures:
            yield f"\n{path}:{failure.line}: {safe_line(failure.problem)}\n", "bold red"
            yield from _prompt_pieces(turn)
            yield from _failure_pieces(failure)
        if turn.failures and turn.outcome.error:
            yield from _hint_pieces(turn.outcome.error, verbose=verbose)


def run_summary(results: Sequence[ScriptResult], *, updated: int, seconds: float) -> Iterator[StyledPiece]:
    """The last line: how many turns passed and failed, and in what time."""
    turns = [turn for result in results for turn in result.turns]
    failed = sum(bool(turn.failures) for turn in turns)
    errors = sum(result.error is not None for result in results)
    counts = (
        (len(turns) - failed - updated, "passed", "green"),
        (failed, "failed", "bold red"),
        (updated, "updated", "yellow"),
        (errors, "error" if errors == 1 else "errors", "bold red"),
    )
    said = [(f"{count} {word}", style) for count, word, style in counts if count] or [("nothing to play", "")]
    for number, piece in enumerate(said):
        yield ", " if number else "", ""
        yield piece
    yield f" in {seconds:.2f} s\n", ""


def _prompt_pieces(turn: PlayedTurn) -> Iterator[StyledPiece]:
    for line in safe_text(turn.step.prompt or "").split("\n"):
        yield f"> {line}\n", "dim"


def _failure_pieces(failure: FailedCheck) -> Iterator[StyledPiece]:
    for line in failure.details:
        yield f"{line}\n", _DIFF.get(line[:1], "")


def _hint_pieces(error: FlueError, *, verbose: bool) -> Iterator[StyledPiece]:
    if not verbose:
        add_traceback_hint(error, "--verbose")
    if error.hint:
        yield f"hint: {safe_line(error.hint)}\n", ""
    if verbose and isinstance(error, AgentError) and error.traceback:
        yield safe_text(error.traceback), "dim"
