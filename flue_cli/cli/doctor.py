"""`flue doctor`: check the installation, settings, agents and store, and advise on problems."""

from __future__ import annotations

import locale
import os
import platform
import shlex
import shutil
import stat
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version

import typer

import flue_cli
from flue_cli.agents import discovery
from flue_cli.agents.description import describe
from flue_cli.cli.app import App
from flue_cli.cli.options import AgentsOption, JsonOption, StoreOption
from flue_cli.errors import FlueError, UsageError
from flue_cli.installation import install_command
from flue_cli.render import machine_output
from flue_cli.settings import Settings, config_path
from flue_cli.stores import open_store
from flue_cli.stores.records import HealthFinding
from flue_cli.text import pluralize

_LIBRARIES = ("typer", "rich", "prompt-toolkit", "sqlite-utils", "platformdirs")


def doctor(
    ctx: typer.Context, as_json: JsonOption = False, store: StoreOption = "", agents_dirs: AgentsOption = None
) -> None:
    """Check versions, settings, folders, terminal, agents and store.

    Every problem comes with advice, and the exit code is 1 if there is one. Nothing is changed.
    """
    app: App = ctx.obj
    found = [(topic, finding) for topic, findings in _look(store, agents_dirs or []) for finding in findings]
    if as_json:
        documents = [
            {"topic": topic, "level": finding.level, "what": finding.message, "advice": finding.advice}
            for topic, finding in found
        ]
        app.output.result(machine_output.as_json(documents, indent=2))
    elif app.output.is_terminal:
        from flue_cli.render.tables import checkup_text, show_paged_renderable

        show_paged_renderable(app.output, checkup_text(found))
    else:
        lines = [(finding.level, topic, finding.message, finding.advice) for topic, finding in found]
        app.output.write(machine_output.tab_separated(lines))
    if any(finding.level == "problem" for _, finding in found):
        raise typer.Exit(1)


def _look(store: str, agents_dirs: list[str]) -> Iterator[tuple[str, Iterator[HealthFinding]]]:
    yield "versions", _versions()
    yield "terminal", _terminal()
    try:
        settings = Settings.load(os.environ, store=store, agents=agents_dirs)
        yield "settings", iter([HealthFinding("ok", f"{config_path()} {_there(config_path())}")])
    except UsageError as error:
        yield "settings", iter([HealthFinding("problem", error.message, error.hint or "flue config edit")])
        settings = Settings.load(os.environ, store=store, agents=agents_dirs, file="")
    yield "folders", _folders(settings)
    yield "agents", _agents(settings)
    yield "store", _store(settings)


def _versions() -> Iterator[HealthFinding]:
    yield HealthFinding(
        "ok", f"flue {flue_cli.__version__}, Python {platform.python_version()}, {platform.platform()}"
    )
    for name in _LIBRARIES:
        try:
            yield HealthFinding("ok", f"{name} {version(name)}")
        except PackageNotFoundError:
            yield HealthFinding("problem", f"{name} is not installed", install_command(name))


def _terminal() -> Iterator[HealthFinding]:
    size = shutil.get_terminal_size()
    yield HealthFinding("ok", f"TERM={os.environ.get('TERM', '')}, {size.columns} x {size.lines}")
    if os.environ.get("TERM", "") in ("", "dumb", "unknown"):
        yield HealthFinding(
            "note", "this terminal cannot move its cursor", "the chat works, without editing of lines"
        )
    encoding = locale.getencoding()
    if encoding.lower().replace("-", "") != "utf8":
        yield HealthFinding(
            "note",
            f"the locale's encoding is {encoding}, and Flue reads and writes UTF-8",
            "export LANG=C.UTF-8",
        )


def _folders(settings: Settings) -> Iterator[HealthFinding]:
    yield _home(settings.home)
    for path, forbidden, right in (
        (settings.home, 0o022, "700"),
        (os.path.join(settings.home, "history"), 0o077, "700"),
        (settings.drafts, 0o077, "700"),
        (os.path.dirname(settings.log_file), 0o077, "700"),
    ):
        if os.path.exists(path) and stat.S_IMODE(os.stat(path).st_mode) & forbidden:
            yield HealthFinding("problem", f"{path} is open to others", f"chmod {right} {shlex.quote(path)}")
    if os.path.exists(settings.home) and not os.access(settings.home, os.W_OK | os.X_OK):
        yield HealthFinding(
            "problem", f"{settings.home} cannot be written to", f"chmod 700 {shlex.quote(settings.home)}"
        )
    if os.path.exists(settings.log_file):
        yield HealthFinding("ok", f"log {settings.log_file}")


def _home(home: str) -> HealthFinding:
    """Report if the home folder exists or can be created."""
    if os.path.exists(home):
        return HealthFinding("ok", f"home {home} is there")
    above = os.path.dirname(os.path.abspath(home))
    while not os.path.lexists(above):
        above = os.path.dirname(above)
    if os.path.isdir(above) and os.access(above, os.W_OK | os.X_OK):
        return HealthFinding("ok", f"home {home} is not there yet")
    what = "cannot be written to" if os.path.isdir(above) else "is not a folder"
    advice = "name another folder with FLUE_HOME"
    return HealthFinding("problem", f"home {home} cannot be made: {above} {what}", advice)


def _agents(settings: Settings) -> Iterator[HealthFinding]:
    try:
        found = discovery.list_agents(settings)
    except FlueError as error:
        yield HealthFinding("problem", error.message, error.hint or "name folders that are there")
        return
    yield HealthFinding(
        "ok",
        f"{pluralize(len(found), 'agent')} found, not loaded: {', '.join(source.name for source in found)}",
        "to load them: flue agents check",
    )
    for source in found:
        problem = describe(source).problem
        if problem:
            yield HealthFinding(
                "problem", f"{source.path}: {problem}", f"mend it, then: flue agents check {source.name}"
            )
    for folder in (*settings.agent_path, *settings.config_agents):
        if not os.path.isdir(folder):
            yield HealthFinding("note", f"{folder}, where agents are looked for, is not there")


def _store(settings: Settings) -> Iterator[HealthFinding]:
    try:
        store = open_store(settings.store)
    except FlueError as error:
        yield HealthFinding("problem", error.message, error.hint)
        return
    yield HealthFinding("ok", store.url)
    try:
        yield from store.health()
    finally:
        store.close()


def _there(path: str) -> str:
    return "is there" if os.path.exists(path) else "is not there yet"
