"""`flue test`: conversation scripts, played against today's agents."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from typing import Annotated, Any, NamedTuple, TypeVar

import typer

from flue_cli import agents
from flue_cli.agents import Agent, AgentSource
from flue_cli.cancellation import Cancellation
from flue_cli.cli import stdin
from flue_cli.cli.commands import App
from flue_cli.cli.options import AgentsOption, TimeoutOption, VerboseOption, load_settings
from flue_cli.errors import AgentError, AgentNotFound, FlueError, Stop, TurnCancelled
from flue_cli.rehearsal import Rehearser
from flue_cli.render import script_report
from flue_cli.scripts.finding import scripts_in
from flue_cli.scripts.playing import Played, ScriptResult, Stage, play
from flue_cli.scripts.reading import read
from flue_cli.scripts.script import Script
from flue_cli.scripts.updating import is_mended, rewrite, updated
from flue_cli.settings import Settings

Result = TypeVar("Result")


class How(NamedTuple):
    """What is to be done with what comes of the scripts."""

    update: bool
    junit: str
    verbose: bool


def check_scripts(
    ctx: typer.Context,
    paths: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[FILE|FOLDER]...",
            show_default=False,
            help="Scripts, and folders with *.flue files in them; without: this folder.",
        ),
    ] = None,
    update: Annotated[
        bool, typer.Option("--update", help="Rewrite what the scripts expect, to what they find.")
    ] = False,
    junit: Annotated[
        str, typer.Option("--junit", metavar="FILE", help="Write a report in JUnit's XML form, too.")
    ] = "",
    timeout: TimeoutOption = None,
    verbose: VerboseOption = False,
    agents_dirs: AgentsOption = None,
) -> None:
    """Play conversation scripts, and compare replies and data with what they expect.

    Nothing of it is kept. The exit code is 1 if anything is not as expected. A script is a text file:

    \b
        agent: greeting
        > my name is Ada
          Nice to meet you, Ada! How can I help?
        data: {"userName": "Ada"}

    "flue sessions export SESSION -o NAME.flue" makes one of a session.
    """  # noqa: D301 - Typer's mark for a paragraph to be left as it is
    app: App = ctx.obj
    settings = load_settings(agents=agents_dirs, timeout=timeout)
    scripts = _all_of(app, read, scripts_in(paths or ["."]))
    sources = dict(
        zip(
            (script.agent for script in scripts),
            _all_of(app, partial(_source, settings), scripts),
            strict=True,
        )
    )
    # Agents do make garbage: from here on it is looked for, but not among what start-up left.
    gc.freeze()
    gc.enable()
    app.output.keep_from_agents()
    stdin.keep_from_agents()
    with closing(Rehearser()) as rehearser:
        run = _Run(app, How(update, junit, verbose), rehearser, settings.timeout)
        run.play(scripts, sources)
    if not all(result.passed for result in run.results):
        raise typer.Exit(1)


class _Run:
    """One run of scripts: it shows each turn as it ends, and the whole when all have ended."""

    def __init__(self, app: App, how: How, rehearser: Rehearser, timeout: float | None) -> None:
        self.results: list[ScriptResult] = []
        self._app, self._how = app, how
        self._stage = Stage(rehearser, self._cancellable, timeout, self._stuck)
        self._loaded: dict[str, Agent | AgentError] = {}
        self._began = time.monotonic()
        self._updated = 0

    def play(self, scripts: Sequence[Script], sources: dict[str, AgentSource]) -> None:
        """Play all of them; raises TurnCancelled or Stop when a person ends it, after telling of the rest."""
        try:
            for script in scripts:
                self._play(script, sources[script.agent])
        except (TurnCancelled, Stop):
            self._app.output.piece("\n")
            self._end()
            raise
        self._end()

    def _play(self, script: Script, source: AgentSource) -> None:
        output = self._app.output
        script_report.show(output, script_report.heading(script.path))
        result = ScriptResult(script)
        self.results.append(result)
        agent = self._agent(source)
        if isinstance(agent, AgentError):
            self.results[-1] = result._replace(error=agent)
            script_report.show(output, [("E\n", "bold red")])
            return
        for turn in play(self._stage, agent, script):
            result = self._add(turn)
            script_report.show(output, script_report.mark(turn, updated=self._how.update and is_mended(turn)))
        script_report.show(output, [("\n", "")])
        if self._how.update:
            self._update(result)

    def _add(self, turn: Played) -> ScriptResult:
        result = self.results[-1]
        self.results[-1] = result._replace(turns=(*result.turns, turn))
        return self.results[-1]

    def _agent(self, source: AgentSource) -> Agent | AgentError:
        """The agent, loaded once a run; or why it cannot be."""
        if source.name not in self._loaded:
            try:
                self._loaded[source.name] = agents.load(source)
            except AgentError as error:
                self._loaded[source.name] = error
        return self._loaded[source.name]

    def _update(self, result: ScriptResult) -> None:
        update = updated(result.script, result.turns)
        if update.text != result.script.text:
            rewrite(result.script.path, result.script.text, update.text)
        self._updated += update.mended
        self.results[-1] = result._replace(turns=update.turns)

    def _end(self) -> None:
        output, how = self._app.output, self._how
        for result in self.results:
            script_report.show(output, script_report.failed_script(result, verbose=how.verbose))
        if not all(result.passed for result in self.results):
            script_report.show(output, [("\n", "")])
        seconds = time.monotonic() - self._began
        script_report.show(
            output, script_report.summary(self.results, updated=self._updated, seconds=seconds)
        )
        if how.junit:
            from flue_cli.scripts import junit

            junit.write(how.junit, self.results)

    @contextmanager
    def _cancellable(self) -> Iterator[Cancellation]:
        signals = self._app.signals
        cancellation = Cancellation(wake_by=next(iter(signals.installed), 0))
        with signals.cancelling(cancellation):
            yield cancellation

    def _stuck(self, turn: Played) -> None:
        # The agent holds the main thread and will not let go: nothing but this ends the process.
        error = turn.outcome.error
        try:
            if not isinstance(error, TurnCancelled):
                self._add(turn)
                script_report.show(self._app.output, script_report.mark(turn))
            script_report.show(self._app.output, [("\n", "")])
            self._end()
            if error:
                self._app.output.error(error)
        finally:
            os._exit(error.exit_code if error else 70)


def _all_of(app: App, read_one: Callable[[Any], Result], found: Iterable[Any]) -> list[Result]:
    """What `read_one` gives for each; every mistake is told, and the last one raised."""
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
    """The script's agent, found and not run; the error says which script wants it."""
    try:
        return agents.find(settings, script.agent)
    except AgentNotFound as error:
        raise AgentNotFound(f"{script.path}:{script.agent_line}: {error.message}", hint=error.hint) from error
