"""Dispatch of commands, and the error boundary: errors become lines on stderr and an exit code here."""

from __future__ import annotations

import errno
import os

import typer

from flue_cli.cli.app import App
from flue_cli.cli.command_table import ABOUT_SHELLS, COMMANDS, GROUPS, CommandOSError, root_command
from flue_cli.cli.signals import Signals
from flue_cli.errors import (
    FlueError,
    OutputClosed,
    OutputFailed,
    StoppedBySignal,
    StoreError,
    SystemLimit,
    UsageError,
)
from flue_cli.exception_text import describe_exception, format_traceback
from flue_cli.render.streams import Output
from flue_cli.settings import home_folder, log_file

_CONTEXT = {"help_option_names": ["-h", "--help"]}


def dispatch(argv: list[str]) -> int:
    """Run the command that `argv` names and return its exit code; raise nothing."""
    output, signals = Output(), Signals()
    signals.install()
    try:
        return _invoke(_default_to_help(argv), App(output, signals))
    except (OutputClosed, OutputFailed) as error:
        _silence_stdout()
        if not isinstance(error, OutputClosed):
            output.error(error)
        return error.exit_code
    except FlueError as error:
        output.error(error)
        _write_down(error, argv)
        return error.exit_code
    except typer.Abort:
        return 130
    except StoppedBySignal as stop:
        return 128 + stop.signum
    except CommandOSError as error:
        return _report_unforeseen(output, error.__cause__ or error)
    except Exception as error:  # noqa: BLE001 - a bug of ours, and the user gets a sentence, not a traceback
        return _report_unforeseen(output, error)


def _invoke(argv: list[str], app: App) -> int:
    """Run the command with Typer, and turn Typer's errors, and those of printing help, into FlueErrors."""
    try:
        command = root_command(with_options=not argv or argv[0] not in COMMANDS)
        with command.make_context("flue", argv, obj=app, **_CONTEXT) as context:
            context.command.invoke(context)
    except typer.Exit as done:
        return done.exit_code
    except typer.TyperException as error:
        from flue_cli.cli.usage_errors import usage_error

        raise usage_error(error, argv) from error
    except OSError as error:  # from help, which Typer prints
        if error.errno == errno.EPIPE:
            raise OutputClosed("nobody reads the help") from error
        if error.errno in (errno.ENOSPC, errno.EIO, errno.EBADF):
            raise OutputFailed(f"the help cannot be written: {error.strerror}") from error
        raise
    return 0


def _default_to_help(argv: list[str]) -> list[str]:
    """Add --help to a group without a command, and "" (the current shell) to a bare completion option."""
    if not argv or (len(argv) == 1 and argv[0] in GROUPS):
        return [*argv, "--help"]
    return [*argv, ""] if len(argv) == 1 and argv[0] in ABOUT_SHELLS else [*argv]


def _silence_stdout() -> None:
    """Redirect stdout to /dev/null, so that flushing its buffer at exit raises no further error."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.close(null)


def _write_down(error: FlueError, argv: list[str]) -> None:
    """Log an error that ended the command if the log exists: a mistyped command creates none."""
    from flue_cli.log import Log

    log = Log(_log_file())
    if os.path.exists(log.path):
        command = argv[0] if argv[0] in COMMANDS else None
        # Other messages may repeat parts of a prompt or reply, which the log must not hold.
        words = error.message if isinstance(error, StoreError) else None
        log.write("error", command=command, type=error.type, exit_code=error.exit_code, message=words)


def _report_unforeseen(output: Output, error: BaseException) -> int:
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        limit = SystemLimit(
            f"the system refuses to open more files: {error.strerror}",
            hint="raise the limit (ulimit -n), or end other programs; what was stored is kept",
        )
        output.error(limit)
        return limit.exit_code
    return _report_bug(output, error)


def _report_bug(output: Output, error: BaseException) -> int:
    from flue_cli.log import Log, stack_frames

    log = Log(_log_file())
    output.note(f"error: a bug in Flue: {describe_exception(error)}")
    if log.write("bug", type=type(error).__name__, frames=stack_frames(error)):
        output.note(f"hint: what you had is kept; please report this with the last line of {log.path}")
    else:
        output.note("hint: what you had is kept; please report this with the lines below")
        output.note(format_traceback(error))
    return 70


def _log_file() -> str:
    try:
        return log_file(home_folder(os.environ))
    except UsageError:
        return ""
