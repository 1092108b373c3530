"""Plugin for pytest that collects conversation scripts (`*.flue`), each as one test.

Agents are searched in the folders of the ini option `flue_agents`, in `agents` below the root folder
and below the folder in which pytest was started, then on the search path of `flue`. `config.toml` is
ignored, so that tests are the same for everybody.
"""

# Every pytest run of the environment loads this file, so it imports nothing until there is a script.

from __future__ import annotations

from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from flue_cli.agents.discovery import Agent
    from flue_cli.errors import BadScript
    from flue_cli.script_tests.model import Script
    from flue_cli.script_tests.runner import ScriptResult
    from flue_cli.settings import Settings
    from flue_cli.turns.cancellation import Cancellation


def pytest_addoption(parser: pytest.Parser) -> None:
    """Register the ini option `flue_agents`."""
    parser.addini("flue_agents", "folders in which *.flue files find their agents first", type="paths")


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collect a `*.flue` file."""
    return ScriptFile.from_parent(parent, path=file_path) if file_path.suffix == ".flue" else None


class ScriptFile(pytest.File):
    """A conversation script."""

    def collect(self) -> Iterator[pytest.Item]:
        """Yield the script as one test, which fails if the script is not valid."""
        from flue_cli.errors import BadScript
        from flue_cli.script_tests.parser import read_script

        try:
            script = read_script(str(self.path))
        except BadScript as error:  # no error of collection, which would keep pytest from running the others
            yield BrokenScriptItem.from_parent(self, name=self.path.stem, error=error)
        else:
            yield ScriptItem.from_parent(self, name=self.path.stem, script=script)


class BrokenScriptItem(pytest.Item):
    """The test of a script that cannot be understood."""

    def __init__(self, *, error: BadScript, **settings: Any) -> None:
        super().__init__(**settings)
        self._error = error

    def runtest(self) -> None:
        """Raise the script's error."""
        raise self._error

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Format the error, which has file and line."""
        return _failure_text(self._error)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the file, the line and the title of the test."""
        return self.path, self._error.line - 1, f"script: {self.name}"


class ScriptItem(pytest.Item):
    """The test that a script passes."""

    def __init__(self, *, script: Script, **settings: Any) -> None:
        super().__init__(**settings)
        self._script = script

    def runtest(self) -> None:
        """Play the script."""
        from flue_cli.script_tests.runner import ScriptResult

        played = _play_cancellably(_load_script_agent(self.config, self._script.agent), self._script)
        result = ScriptResult(self._script, tuple(played))
        if not result.passed:
            raise ScriptFailed(result)

    def repr_failure(self, excinfo: pytest.ExceptionInfo[BaseException], style: Any = None) -> Any:
        """Format the failures with their lines, or the error of loading the agent."""
        from flue_cli.errors import AgentError, FlueError

        error = excinfo.value
        if isinstance(error, ScriptFailed):
            from flue_cli.render.script_report import failed_script

            return "".join(text for text, _ in failed_script(error.result, verbose=True)).strip("\n")
        if isinstance(error, FlueError):
            trace = error.traceback if isinstance(error, AgentError) else ""
            return f"{self.path}:{self._script.agent_line}: {_failure_text(error)}\n{trace}".rstrip("\n")
        return super().repr_failure(excinfo, style)

    def reportinfo(self) -> tuple[Path, int, str]:
        """Return the file, the line and the title of the test."""
        return self.path, self._script.agent_line - 1, f"script: {self.name}"


class ScriptFailed(Exception):
    """A script's expectations were not met."""

    def __init__(self, result: ScriptResult) -> None:
        super().__init__(result)
        self.result = result


_LOADED_AGENTS = pytest.StashKey[dict[str, "Agent"]]()


def _load_script_agent(config: pytest.Config, name: str) -> Agent:
    """Load the agent, once in a run; raises AgentNotFound and AgentError."""
    from flue_cli.agents import discovery

    loaded = config.stash.setdefault(_LOADED_AGENTS, {})
    if name not in loaded:
        loaded[name] = discovery.load_agent(discovery.find_agent(_pytest_settings(config), name))
    return loaded[name]


def _pytest_settings(config: pytest.Config) -> Settings:
    import os

    from flue_cli.errors import UsageError
    from flue_cli.settings import Settings

    configured = config.getini("flue_agents")
    for folder in configured:
        if not folder.is_dir():
            raise UsageError(f"flue_agents: there is no folder {folder}")
    default = [folder / "agents" for folder in (config.rootpath, config.invocation_params.dir)]
    folders = [*configured, *(folder for folder in default if folder.is_dir())]
    return Settings.load(os.environ, agents=[str(folder) for folder in dict.fromkeys(folders)], file="")


def _play_cancellably(agent: Agent, script: Script) -> Iterator[Any]:
    """Play the script and yield its turns; KeyboardInterrupt if the user cancels it."""
    from flue_cli.errors import TurnCancelled
    from flue_cli.script_tests.runner import play_script
    from flue_cli.turns.dry_run import AgentRun, DryRunner

    with closing(DryRunner()) as dry_runner:
        try:
            yield from play_script(AgentRun(dry_runner, _cancel_on_interrupt), agent, script)
        except TurnCancelled as error:
            raise KeyboardInterrupt from error


@contextmanager
def _cancel_on_interrupt() -> Iterator[Cancellation]:
    """Make a cancellation that Ctrl-C requests while the turn runs; a second Ctrl-C ends pytest."""
    import signal
    import threading

    from flue_cli.errors import cancelled_by
    from flue_cli.turns.cancellation import Cancellation

    cancellation = Cancellation()
    if threading.current_thread() is not threading.main_thread():
        yield cancellation
        return

    def cancel(signum: int, frame: object) -> None:
        signal.signal(signum, signal.SIG_DFL)
        cancellation.request(cancelled_by(signum))

    before = signal.signal(signal.SIGINT, cancel)
    try:
        yield cancellation
    finally:
        signal.signal(signal.SIGINT, before)


def _failure_text(error: Any) -> str:
    from flue_cli.text import safe_line

    hint = f"\nhint: {safe_line(error.hint)}" if error.hint else ""
    return safe_line(error.sentence()) + hint
