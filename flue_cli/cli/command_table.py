"""Tables of the commands; only the invoked command is imported and built."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from typing import Annotated, Any, cast

import typer
from typer.core import TyperCommand, TyperGroup

from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_shells
from flue_cli.errors import UsageError

COMMANDS = {
    "chat": ("flue_cli.cli.chat:chat", "Talk to an agent, in the terminal or through a pipe."),
    "agents": ("flue_cli.cli.agents:COMMANDS", "List, show, check and create agents."),
    "sessions": (
        "flue_cli.cli.sessions:COMMANDS",
        "List, show, search, undo, fork, edit, export, import, delete.",
    ),
    "test": ("flue_cli.cli.test:check_scripts", "Run conversation tests."),
    "replay": ("flue_cli.cli.replay:replay", "Re-run a recorded session against the current agent."),
    "serve": ("flue_cli.cli.serve:serve", "Serve the same agents and sessions over HTTP."),
    "doctor": ("flue_cli.cli.doctor:doctor", "Check the installation, settings, agents and store."),
    "backup": (
        "flue_cli.cli.backup:backup",
        "Copy the store while it is in use, or restore a copy.",
    ),
    "config": ("flue_cli.cli.config:COMMANDS", "Show and edit your defaults."),
    "help": ("flue_cli.cli.help:help_", "Show the manual, topic by topic."),
}
"""Command to target and line of help. The target is `module:function`, or `module:table` for a group.

A group's table has functions, or `module:function` for those that live elsewhere.
"""

ABOUT_SHELLS = ("--install-completion", "--show-completion")
"""Options that mean the current shell unless they name another."""

GROUPS = tuple(name for name, (target, _) in COMMANDS.items() if target.endswith(":COMMANDS"))


def root_command(*, with_options: bool = True) -> Any:
    """Build the `flue` command; without its own options it is built faster, and can run every subcommand."""
    app = _typer(_Root)
    app.callback(help=_lost_help(flue) or flue.__doc__)(flue if with_options else _nothing)
    return typer.main.get_command(app)


def subcommands(group: str) -> dict[str, Any]:
    """Return the commands of a group, by name."""
    commands: dict[str, Any] = _load_target(COMMANDS[group][0])
    return commands


def flue(
    version: Annotated[
        bool,
        typer.Option(
            "--version",
            is_eager=True,
            callback=lambda ctx, value: _show_version(ctx, value=value),
            help="Show the version and exit.",
        ),
    ] = False,
    install_completion: Annotated[
        str | None,
        typer.Option(
            ABOUT_SHELLS[0],
            metavar="[SHELL]",
            autocompletion=complete_shells,
            is_eager=True,
            callback=lambda ctx, value: _install_completion(ctx, shell=value),
            help="Set up bash, zsh or fish to complete commands, agents and sessions.",
        ),
    ] = None,
    show_completion: Annotated[
        str | None,
        typer.Option(
            ABOUT_SHELLS[1],
            metavar="[SHELL]",
            autocompletion=complete_shells,
            is_eager=True,
            callback=lambda ctx, value: _show_completion(ctx, shell=value),
            help="Print the completion script.",
        ),
    ] = None,
) -> None:
    """Stateful agents in your terminal: Python functions that remember."""


class CommandOSError(Exception):
    """An OSError from a command's own work, as opposed to one from printing help."""


MAY_BE_EMPTY = ("prompt", "path", "value", "query", "jsonpath")
"""Arguments of which "" has a meaning, or an error with a hint of its own."""


class _Command(TyperCommand):
    """A command that refuses empty values, and wraps its own OSError.

    An OSError is wrapped so that it differs from one raised by printing help.
    """

    def invoke(self, ctx: Any) -> Any:
        _refuse_empty_values(ctx)
        try:
            return super().invoke(ctx)
        except OSError as error:
            raise CommandOSError from error


def _refuse_empty_values(ctx: Any) -> None:
    """Raise UsageError for an option or argument that is given as ""."""
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name)
        given = value if isinstance(value, list | tuple) else (value,)
        if "" not in given or parameter.name in MAY_BE_EMPTY:
            continue
        if ctx.get_parameter_source(parameter.name).name == "COMMANDLINE":
            # Taken for "not given", `--redact "$UNSET"` would export what was to be left out.
            is_option = parameter.param_type_name == "option"
            name = "/".join(parameter.opts) if is_option else parameter.make_metavar(ctx).strip("[].")
            hint = "give it a value or leave it out; in a script, look if a variable is not set"
            raise UsageError(f"{name} is empty", hint=hint)


class _Group(TyperGroup):
    """A group that builds a command only when it is used."""

    table: dict[str, Any]

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.commands = cast("Any", dict.fromkeys(self.table))  # the names: suggestions look there

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if cmd_name in self.table:
            return self.build(cmd_name)
        # To a shell that completes the line, an unknown command is one without arguments.
        return TyperCommand(cmd_name) if ctx.resilient_parsing else None

    def shell_complete(self, ctx: Any, incomplete: str) -> list[Any]:
        from typer._click.shell_completion import CompletionItem

        # Typer's own method builds, and so imports, every command to list them.
        items = [
            CompletionItem(name, help=self.help_line(name))
            for name in self.table
            if name.startswith(incomplete)
        ]
        return [*items, *super(TyperGroup, self).shell_complete(ctx, incomplete)]

    def help_line(self, name: str) -> str:
        """Return the line of help of the command `name`, if known before the command is built."""
        return ""

    def build(self, name: str) -> Any:
        """Build the command `name`."""
        return _command(name, _load_target(self.table[name]))


class _Root(_Group):
    table = COMMANDS

    def build(self, name: str) -> Any:
        target, help_line = COMMANDS[name]
        found = _load_target(target)
        if callable(found):
            return _command(name, found)
        app = _typer(type("_Commands", (_Group,), {"table": found}))
        app.callback(help=help_line)(_nothing)
        group = typer.main.get_command(app)
        group.name = name
        return group

    def help_line(self, name: str) -> str:
        return COMMANDS[name][1]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


def _load_target(target: str | Callable[..., None]) -> Any:
    """Import the attribute that `module:attribute` names; return a function as it is."""
    if callable(target):
        return target
    module, _, attribute = target.partition(":")
    return getattr(import_module(module), attribute)


def _command(name: str, function: Callable[..., None]) -> Any:
    app = _typer(None)
    app.command(name, cls=_Command, help=_lost_help(function))(function)
    return typer.main.get_command(app)


def _lost_help(function: Callable[..., None]) -> str | None:
    """Return the docstring that `python -OO` has removed; None if Typer can take it from the function."""
    if sys.flags.optimize < 2:
        return None
    from flue_cli.docstrings import docstring

    return docstring(function)


def _typer(cls: type[TyperGroup] | None) -> typer.Typer:
    # Rich help would double the time of every --help; cli/main.py handles exceptions.
    return typer.Typer(cls=cls, add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)


def _nothing() -> None:
    """Do nothing: the callback of a group."""


def _show_version(ctx: typer.Context, *, value: bool) -> None:
    if value and not ctx.resilient_parsing:  # not while a shell completes the line
        from flue_cli import __version__

        typer.echo(f"flue {__version__}")
        raise typer.Exit


def _install_completion(ctx: typer.Context, *, shell: str | None) -> None:
    if shell is not None and not ctx.resilient_parsing:
        from flue_cli.cli.completion.shell_scripts import install

        app: App = ctx.obj
        name, path, is_new = install(shell)
        app.output.result(path)
        app.output.note(
            f"{name} completes flue in every new terminal" if is_new else f"{name} had this already"
        )
        raise typer.Exit


def _show_completion(ctx: typer.Context, *, shell: str | None) -> None:
    if shell is not None and not ctx.resilient_parsing:
        from flue_cli.cli.completion.shell_scripts import script

        ctx.obj.output.result(script(shell))
        raise typer.Exit
