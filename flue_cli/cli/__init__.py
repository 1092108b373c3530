"""The `flue` command. This file answers `--version` and imports nothing more for it."""

from __future__ import annotations

import sys


def run() -> None:
    """The console script: run the command, then end as a shell expects, by signal if by signal."""
    code = main(sys.argv[1:])
    if code > 128:
        from flue_cli.cli.signals import die_by

        die_by(code - 128)
    sys.exit(code)


def main(argv: list[str]) -> int:
    """Run one command; its exit code."""
    if argv == ["--version"]:
        from flue_cli import __version__

        try:
            print(f"flue {__version__}", flush=True)  # noqa: T201 - before anything else is imported
        except OSError:
            return 74
        return 0
    import gc

    gc.disable()  # imports make no garbage worth looking for: a third of an interpreter's start
    from flue_cli.cli.edge import dispatch

    return dispatch(argv)
