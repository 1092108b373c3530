"""`flue test`: run conversation tests against the current agents."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeVar

import typer

from flue_cli.agents import discovery
from flue_cli.agents.discovery import Agent, AgentSource
from flue_cli.cli.agent_run import end_with_stuck_agent, prepare_for_agents, turn_cancellation
from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_files
from flue_cli.cli.options import AgentsOption, TimeoutOption, VerboseOption, load_settings
from flue_cli.errors import AgentError, AgentNotFound, FlueError, StoppedBySignal, TurnCancelled
from flue_cli.render import script_report
from flue_cli.script_tests.discovery import find_scripts
from flue_cli.script_tests.model import Script
from flue_cli.script_tests.parser import read_script
from flue_cli.script_tests.runner import PlayedTurn, ScriptResult, play_script
from flue_cli.script_tests.updater import rewrite_script, update_script, would_pass_after_update
from flue_cli.settings import Settings
from flue_cli.turns.dry_run import AgentRun, DryRunner

Result = TypeVar("Result")


class TestOptions(NamedTuple):
    """Options for the results of the scripts."""

    update: bool
    junit: str
    verbose: bool


def check_scripts(
    ctx: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|FOLDER]...",
            autocompletion=complete_files,
            show_default=False,
            help="Scripts, and folders with *.flue files in them; without: this folder.",
        ),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Rewrite what the scripts expect, to what they find.")
    ] = False,
    junit: Annotated[
        str,
        typer.Option(
            "--junit",
            metavar="FILE",
            autocompletion=complete_files,
            help="Write a report in JUnit's XML form, too.",
        ),
    ] = "",
    timeout: TimeoutOption = None,
    verbose: VerboseOption = False,
    agents_dirs: AgentsOption = None,
) -> None:
    """Run conversation tests: scripts of prompts with the expected replies and data.

    Nothing is saved. The exit code is 1 if anything is not as expected. A script is a text file:

    \b
        agent: greeting
        > my name is Ada
          Nice to meet you, Ada! How can I help?
        data: {"userName": "Ada"}

    "flue sessions export SESSION -o NAME.flue" writes one from a session.
    """  # noqa: D301 - Typer's mark for a paragraph to be left as it is
    app: App = ctx.obj
    settings = load_settings(agents=agents_dirs, timeout=timeout)
    scripts = _all_of(app, read_script, find_scripts(paths or ["."]))
    sources = dict(
        zip(
            (script.agent for script in scripts),
            _all_of(app, partial(_source, settings), scripts),
            strict=True,
        )
    )
    prepare_for_agents(app)
    with closing(DryRunner()) as dry_runner:
        run = _Run(app, TestOptions(update, junit, verbose), dry_runner, settings.timeout)
        run.play(scripts, sources)
    if not all(result.passed for result in run.results):
        raise typer.Exit(1)


class _Run:
    """A run of scripts that shows each turn as it ends, and a summary at the end."""

    def __init__(self, app: App, options: TestOptions, dry_runner: DryRunner, timeout: float | None) -> None:
        self.results: list[ScriptResult] = []
        self._app, self._how = app, options
        self._agent_run = AgentRun(dry_runner, lambda: turn_cancellation(app), timeout, self._stuck)
        self._loaded: dict[str, Agent | AgentError] = {}
        self._began = time.monotonic()
        self._updated = 0

    def play(self, scripts: Sequence[Script], sources: dict[str, AgentSource]) -> None:
        """Run all scripts. Raises TurnCancelled or StoppedBySignal, after showing the results so far."""
        try:
            for script in scripts:
                self._play(script, sources[script.agent])
        except (TurnCancelled, StoppedBySignal):
            self._app.output.write("\n")
            self._end()
            raise
        self._end()

    def _play(self, script: Script, source: AgentSource) -> None:
        output = self._app.output
        script_report.show_pieces(output, script_report.script_heading(script.path))
        result = ScriptResult(script)
        self.results.append(result)
        agent = self._agent(source)
        if isinstance(agent, AgentError):
            self.results[-1] = result._replace(error=agent)
            script_report.show_pieces(output, [("E\n", "bold red")])
            return
        for turn in play_script(self._agent_run, agent, script):
            result = self._add(turn)
            script_report.show_pieces(
                output,
                script_report.turn_mark(turn, updated=self._how.update and would_pass_after_update(turn)),
            )
        script_report.show_pieces(output, [("\n", "")])
        if self._how.update:
            self._update(result)

    def _add(self, turn: PlayedTurn) -> ScriptResult:
        result = self.results[-1]
        self.results[-1] = result._replace(turns=(*result.turns, turn))
        return self.results[-1]

    def _agent(self, source: AgentSource) -> Agent | AgentError:
        """Load the agent once a run; return the error if that fails."""
        if source.name not in self._loaded:
            try:
                self._loaded[source.name] = discovery.load_agent(source)
            except AgentError as error:
                self._loaded[source.name] = error
        return self._loaded[source.name]

    def _update(self, result: ScriptResult) -> None:
        update = update_script(result.script, result.turns)
        if update.text != result.script.text:
            rewrite_script(result.script.path, result.script.text, update.text)
        self._updated += update.mended_count
        self.results[-1] = result._replace(turns=update.turns)

    def _end(self) -> None:
        output, options = self._app.output, self._how
        for result in self.results:
            script_report.show_pieces(output, script_report.failed_script(result, verbose=options.verbose))
        if not all(result.passed for result in self.results):
            script_report.show_pieces(output, [("\n", "")])
        seconds = time.monotonic() - self._began
        script_report.show_pieces(
            output, script_report.run_summary(self.results, updated=self._updated, seconds=seconds)
        )
        if options.junit:
            from flue_cli.script_tests import junit

            junit.write_junit_report(options.junit, self.results)

    def _stuck(self, turn: PlayedTurn) -> None:
        error = turn.outcome.error

        def show() -> None:
            if not isinstance(error, TurnCancelled):
                self._add(turn)
                script_report.show_pieces(self._app.output, script_report.turn_mark(turn))
            script_report.show_pieces(self._app.output, [("\n", "")])
            self._end()

        end_with_stuck_agent(self._app, error, show)


def _all_of(app: App, read_one: Callable[[Any], Result], found: Iterable[Any]) -> list[Result]:
    """Apply `read_one` to each; show all errors, and raise the last one."""
    results: list[Result] = []
    mistakes: list[FlueError] = []
    for one in found:
        try:
            results.append(read_one(one))
        except FlueError as error:
            mistakes.append(error)
    for mistake in mistakes[:-1]:
        app.output.error(mistake)
    if mistakes:
        raise mistakes[-1]
    return results


def _source(settings: Settings, script: Script) -> AgentSource:
    """Find the script's agent without running it; the error names the script."""
    try:
        return discovery.find_agent(settings, script.agent)
    except AgentNotFound as error:
        raise AgentNotFound(f"{script.path}:{script.agent_line}: {error.message}", hint=error.hint) from error
