"""`flue backup`: copy the store while it is in use, or restore a copy."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import ExitStack
from typing import Annotated, Self

import typer

from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_files
from flue_cli.cli.options import StoreOption, load_settings, open_run_store
from flue_cli.errors import UsageError
from flue_cli.render.progress_bar import show_progress
from flue_cli.render.streams import Output
from flue_cli.text import format_bytes, safe_line


def backup(
    ctx: typer.Context,
    file: Annotated[
        str, typer.Argument(metavar="FILE", autocompletion=complete_files, help="The file with the backup.")
    ],
    restore: Annotated[
        bool, typer.Option("--restore", help="Put the backup FILE in the place of the store.")
    ] = False,
    force: Annotated[
        bool,
        typer.Option("--force", help="Replace FILE if it exists; with --restore, replace the store."),
    ] = False,
    store_url: StoreOption = "",
) -> None:
    """Copy the store to FILE while it is in use, or restore a copy.

    FILE is the store as of one moment, checked as doctor does; only you can
    read it. --restore puts FILE in the place of the store while nobody uses
    it. With --force it replaces a store, which stays beside it under another
    name.
    """
    app: App = ctx.obj
    if file == "-":
        raise UsageError(
            "a backup is not written to standard output, nor read from standard input",
            hint="name a file: flue backup flue-backup.db",
        )
    file = os.path.expanduser(file)
    with open_run_store(load_settings(store_url)) as store, _Steps(app.output) as advance:
        if restore:
            before = store.restore(os.path.abspath(file), advance, force=force)
        else:
            store.back_up(os.path.abspath(file), advance, force=force)
    place = store.files[0] if store.files else store.url
    if not restore:
        app.output.note(
            f"{safe_line(place)} is copied to {safe_line(file)} ({format_bytes(os.path.getsize(file))})"
        )
        return
    app.output.note(f"{safe_line(file)} is now the store {safe_line(place)}")
    if before:
        app.output.note(f"the store that was there is now {safe_line(before)}")


class _Steps:
    """Progress bars, one for each step of a backup; a step's length is known once it has begun."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._what = ""
        self._stack = ExitStack()
        self._advance: Callable[[int], None] | None = None
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *reason: object) -> None:
        self._stack.close()

    def __call__(self, what: str, done: int, total: int) -> None:
        if self._advance is None or what != self._what:
            self._stack.close()
            self._advance = self._stack.enter_context(show_progress(self._output, what, total))
            self._what, self._done = what, 0
        self._advance(done - self._done)
        self._done = done
