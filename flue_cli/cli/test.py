"""`flue test`: run conversation tests against the current agents."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from contextlib import closing
from typing import Annotated, NamedTuple

import typer

from flue_cli.agents import discovery
from flue_cli.agents.discovery import Agent
from flue_cli.agents.search_path import AgentSource
from flue_cli.cli.agent_run import end_with_stuck_agent, prepare_for_agents, turn_cancellation
from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_files
from flue_cli.cli.options import AgentsOption, TimeoutOption, VerboseOption, load_settings
from flue_cli.errors import AgentError, AgentNotFound, BadScript, FlueError, StoppedBySignal, TurnCancelled
from flue_cli.render import script_report
from flue_cli.script_tests.discovery import find_scripts
from flue_cli.script_tests.parser import read_script
from flue_cli.script_tests.runner import PlayedTurn, ScriptResult, broken_script, play_script
from flue_cli.script_tests.updater import rewrite_script, update_script, would_pass_after_update
from flue_cli.settings import Settings
from flue_cli.turns.dry_run import AgentRun, DryRunner

_Sources = dict[str, AgentSource | AgentNotFound]


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
    scripts = [_read(path) for path in find_scripts(map(os.path.expanduser, paths or ["."]))]
    sources = _find_sources(settings, scripts)
    prepare_for_agents(app)
    with closing(DryRunner()) as dry_runner:
        run = _Run(app, TestOptions(update, os.path.expanduser(junit), verbose), dry_runner, settings.timeout)
        run.play(scripts, sources)
    if not all(result.passed for result in run.results):
        raise typer.Exit(1)


class _Run:
    """A run of scripts that shows each turn as it ends, and a summary at the end."""

    def __init__(self, app: App, options: TestOptions, dry_runner: DryRunner, timeout: float | None) -> None:
        self.results: list[ScriptResult] = []
        self._app, self._how = app, options
        self._agent_run = AgentRun(dry_runner, lambda: turn_cancellation(app), timeout, self._stuck)
        self._loaded: dict[str, Agent | FlueError] = {}
        self._began = time.monotonic()
        self._updated = 0

    def play(self, scripts: Sequence[ScriptResult], sources: _Sources) -> None:
        """Run all scripts. Raises TurnCancelled or StoppedBySignal, after showing the results so far."""
        try:
            for script in scripts:
                self._play(script, sources)
        except (TurnCancelled, StoppedBySignal):
            self._app.output.write("\n")
            self._end()
            raise
        self._end()

    def _play(self, result: ScriptResult, sources: _Sources) -> None:
        output, script = self._app.output, result.script
        script_report.show_pieces(output, script_report.script_heading(script.path))
        self.results.append(result)
        agent = result.error or self._agent(sources[script.agent])
        if isinstance(agent, FlueError):
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

    def _agent(self, source: AgentSource | AgentNotFound) -> Agent | FlueError:
        """Load the agent once a run; return the error if that fails, or there is no such agent."""
        if isinstance(source, AgentNotFound):
            return source
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


def _read(path: str) -> ScriptResult:
    """Read a script, of which no turn is played yet; it has an error if it cannot be understood."""
    try:
        return ScriptResult(read_script(path))
    except BadScript as error:
        return broken_script(error)


def _find_sources(settings: Settings, scripts: Iterable[ScriptResult]) -> _Sources:
    """Find the scripts' agents, by name, without running them; the error where there is none."""
    sources: _Sources = {}
    for name in {result.script.agent: None for result in scripts if not result.error}:
        try:
            sources[name] = discovery.find_agent(settings, name)
        except AgentNotFound as error:
            sources[name] = error
    return sources
