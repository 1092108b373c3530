"""Turns that a command runs one by one, without a chat, and shows."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

from flue_cli.agents.discovery import Agent
from flue_cli.cli.agent_run import end_with_stuck_agent, turn_cancellation
from flue_cli.cli.app import App
from flue_cli.cli.session_choice import SessionTarget
from flue_cli.cli.turn_output import FORMS, TurnOutput
from flue_cli.errors import FlueError, UsageError
from flue_cli.jsondata.strict import WARN_BYTES
from flue_cli.render.notices import note_begun_turn, show_traceback
from flue_cli.render.status_line import StatusLine
from flue_cli.render.streams import Output
from flue_cli.settings import Settings
from flue_cli.stores.records import BegunTurn, TurnRequest
from flue_cli.text import format_bytes
from flue_cli.turns.runner import Listener, Runner, Turn

WATCH_NEEDS_CHAT = "--watch is for a conversation in the terminal"


class TurnOptions(NamedTuple):
    """Options for asking and showing turns.

    `lines`: every line of standard input is a turn; `keeps_going`: also after one that fails. `no_stdin`:
    leave standard input alone. `form` is one of FORMS, `repeat` are the options that a resume must give
    again. `watch`: a conversation takes the agent's file anew when it changes. `adopts`: go on with a
    session of another project's agent.
    """

    lines: bool = False
    keeps_going: bool = False
    no_stdin: bool = False
    form: str = "text"
    key: str | None = None
    verbose: bool = False
    repeat: tuple[str, ...] = ()
    watch: bool = False
    adopts: bool = False

    def checked(self, prompt: str | None) -> "TurnOptions":
        """Return the options; raise UsageError if they do not go together, or with `prompt`."""
        if self.lines and prompt is not None:
            raise UsageError("--lines reads its prompts from standard input: leave out the PROMPT")
        if self.lines and self.no_stdin:
            raise UsageError("--lines reads standard input, and --no-stdin leaves it alone: use one of them")
        if self.lines and self.key:
            raise UsageError("--turn-key names one turn, and --lines makes many")
        if self.keeps_going and not self.lines:
            raise UsageError("--keep-going needs --lines", hint="add it, or leave --keep-going out")
        if self.no_stdin and prompt is None:
            raise UsageError("--no-stdin leaves standard input alone: give a PROMPT as an argument")
        if self.watch and (self.lines or prompt is not None):
            raise UsageError(WATCH_NEEDS_CHAT)
        return self


class TurnRun:
    """Turns of one session that a command runs with one agent, and shows as its options say."""

    def __init__(
        self,
        app: App,
        settings: Settings,
        runner: Runner,
        agent: Agent,
        target: SessionTarget,
        options: TurnOptions,
    ) -> None:
        self.target = target
        self._app, self._settings = app, settings
        self._runner, self._agent = runner, agent
        self._options = options

    def run(self, prompt: str, on_stuck: Callable[[FlueError], None] | None = None) -> None:
        """Run one turn and show it; raises the turn's error after showing what there is.

        If the agent does not stop, `on_stuck` is called with the error, from another thread, and the process
        ends.
        """
        output = self._app.output
        answer = FORMS[self._options.form](output)

        def begun(found: BegunTurn) -> None:
            status_line.begun()
            note_begun_turn(output, found)
            answer.begun(found)

        def piece(text: str) -> None:
            status_line.hide()
            answer.piece(text)

        def stuck(turn: Turn) -> None:
            def show() -> None:
                self._show_turn(answer, turn)
                if on_stuck and turn.error:
                    on_stuck(turn.error)

            status_line.hide()
            end_with_stuck_agent(self._app, turn.error, show)

        with turn_cancellation(self._app) as cancellation:
            status_line = StatusLine(output, cancellation, self._settings.wait)
            with _shown_in_terminal(output, status_line):
                turn = self._runner.run(
                    self._agent,
                    self._request(prompt),
                    Listener(on_wait=status_line.waiting, on_begin=begun, on_piece=piece, on_stuck=stuck),
                    cancellation=cancellation,
                    timeout=self._settings.timeout,
                )
        self.target = self.target._replace(expect="existing")
        self._show_turn(answer, turn)
        if turn.error:
            raise turn.error
        if self._options.lines:
            cancellation.check()  # a signal that came while the turn was being saved

    def _request(self, prompt: str) -> TurnRequest:
        return TurnRequest(
            self.target.agent,
            self.target.name,
            prompt,
            key=self._options.key,
            expect=self.target.expect,
            wait=self._settings.wait,
            adopts=self._options.adopts,
        )

    def _show_turn(self, answer: TurnOutput, turn: Turn) -> None:
        answer.end(turn)
        if len(turn.data) > WARN_BYTES and not turn.error:
            size = format_bytes(len(turn.data))
            self._app.output.note(f"warning: the session's data has grown to {size}; every turn reads it")
        show_traceback(turn.error, self._app.output, verbose=self._options.verbose)


@contextmanager
def _shown_in_terminal(output: Output, status_line: StatusLine) -> Iterator[None]:
    """Show the status line to a person who waits for the reply at this terminal."""
    if not (output.is_terminal and output.can_draw):
        yield
        return
    from flue_cli.repl.terminal import clear_on_suspend

    with status_line.shown_by_thread(), clear_on_suspend(output):
        yield
