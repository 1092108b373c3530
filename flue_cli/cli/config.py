"""`flue config`: show the user's defaults with their sources, and edit them."""

from __future__ import annotations

import os

import typer

from flue_cli import config_file
from flue_cli.cli.app import App
from flue_cli.cli.options import AgentsOption, JsonOption, StoreOption, load_settings
from flue_cli.editor import run_editor
from flue_cli.errors import UsageError
from flue_cli.files import make_private_folder, write_whole
from flue_cli.render import machine_output
from flue_cli.settings import config_path


def show(
    ctx: typer.Context, as_json: JsonOption = False, store: StoreOption = "", agents_dirs: AgentsOption = None
) -> None:
    """Show every setting, its value and its source."""
    app: App = ctx.obj
    settings = load_settings(store, agents_dirs)
    values: dict[str, object] = {
        "home": settings.home,
        "store": settings.store,
        "agents": [*settings.agent_dirs, *settings.agent_path, *settings.config_agents],
        "agent": settings.agent or None,
        "wait": settings.wait,
        "timeout": settings.timeout,
        **settings.chat._asdict(),
    }
    if as_json:
        documents = {
            name: {"value": value, "origin": settings.origins[name]} for name, value in values.items()
        }
        app.output.result(machine_output.as_json(documents, indent=2))
        return
    lines = [(name, _words(value), settings.origins[name]) for name, value in values.items()]
    if app.output.is_terminal:
        from flue_cli.render.tables import setting_table, show_paged_renderable

        show_paged_renderable(app.output, setting_table(lines))
    else:
        app.output.write(machine_output.tab_separated(lines))


def path(ctx: typer.Context) -> None:
    """Print the path of the configuration file, which need not exist."""
    app: App = ctx.obj
    app.output.result(_file())


def edit(ctx: typer.Context) -> None:
    """Edit the configuration file; it is saved only if it is valid.

    The editor is VISUAL, EDITOR, or vi.
    """
    app: App = ctx.obj
    file = os.path.realpath(_file())  # it may be a link into somebody's dotfiles, and stays one
    draft = f"{file}.edit"
    before = _read_config(file)
    try:
        make_private_folder(os.path.dirname(file))
        start = config_file.config_template().encode() if before is None else before
        if _read_config(draft) is None:
            write_whole(draft, [start.decode()], force=False)
        else:
            app.output.note("going on with the text that could not be saved last time")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be edited: {error}") from error
    try:
        run_editor(draft)
    except UsageError as error:
        error.hint = error.hint or f"your text is in {draft}"
        raise
    after = _read_config(draft) or b""
    if after == start:
        os.unlink(draft)
        app.output.note("nothing was changed")
        return
    try:
        config_file.parse_config(after, draft)
    except UsageError as error:
        why = f"{error.message} ({error.hint})" if error.hint else error.message
        raise UsageError(
            f"nothing was saved: {why}", hint="your text is kept there; go on with: flue config edit"
        ) from error
    write_whole(file, [after.decode()], force=True)
    os.unlink(draft)
    app.output.note(f"saved {file}")


COMMANDS = {"show": show, "path": path, "edit": edit}
"""Subcommands of `flue config`."""


def _file() -> str:
    file = config_path()
    if not file:
        raise UsageError("there is no home folder to keep a configuration in", hint="set HOME")
    return file


def _read_config(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}") from error


def _words(value: object) -> str:
    if isinstance(value, list):
        return os.pathsep.join(value)
    if isinstance(value, dict):
        return ", ".join(f"{name} = {text}" for name, text in value.items())
    if isinstance(value, bool):
        return "true" if value else "false"
    return "" if value is None else f"{value:g}" if isinstance(value, float) else str(value)
