"""`flue sessions export`: write sessions to files or standard output."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from flue_cli.agents.description import describe
from flue_cli.agents.discovery import find_agent
from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_files, complete_sessions
from flue_cli.cli.options import (
    AgentOption,
    AtOption,
    LastOption,
    StoreOption,
    load_settings,
    open_run_store,
    resolve_session,
)
from flue_cli.errors import FileExists, FlueError, OutputFailed, UsageError
from flue_cli.files import make_private_folder, write_whole
from flue_cli.names import check_agent_filter
from flue_cli.stores.records import ABSENT, SessionHead
from flue_cli.text import safe_line
from flue_cli.transcripts import ENDINGS, FORMATS, LAID_OUT, exporter, format_of
from flue_cli.transcripts.export_view import StoreAtTurn, StoreInFormat

if TYPE_CHECKING:
    from flue_cli.settings import Settings
    from flue_cli.stores.contract import Store
    from flue_cli.transcripts.export_view import ExportSource
    from flue_cli.transcripts.redaction import Redaction


_STDOUT = ("", "-", "/dev/stdout")
"""Values of FILE that mean standard output.

A redirection can make /dev/stdout a regular file, which must never be replaced.
"""


class _ExportJob(NamedTuple):
    """Sessions to write, with the format, the range of turns and the redaction."""

    heads: list[SessionHead]
    form: str
    last: int | None
    at: int | None
    redaction: Redaction | None
    settings: Settings


def export(
    ctx: typer.Context,
    sessions: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="SESSION...", autocompletion=complete_sessions, help="Names of sessions, or AGENT/NAME."
        ),
    ] = None,
    file: Annotated[
        str,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            autocompletion=complete_files,
            help="Write to FILE; DIR/ takes a file for every session.",
        ),
    ] = "",
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            autocompletion=lambda: FORMATS,
            help=f"{', '.join(FORMATS)}; FILE's ending tells, else json, or jsonl for several sessions.",
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="All sessions, with their undone forks (NAME~1).")
    ] = False,
    redact: Annotated[
        list[str] | None,
        typer.Option("--redact", metavar="REGEX", help="Write [redacted] for what matches; may be repeated."),
    ] = None,
    last: LastOption = None,
    at: AtOption = None,
    agent: AgentOption = "",
    store_url: StoreOption = "",
) -> None:
    """Export sessions: every turn with its data."""
    app: App = ctx.obj
    names = sessions or []
    file = os.path.expanduser(file)  # which no shell does in --output=~/x
    _check_which(names, at, everything=everything)
    is_folder = file.endswith("/") or (os.path.isdir(file) and (everything or len(names) > 1))
    as_one = is_folder or (len(names) == 1 and not everything)
    if form:
        exporter(form)  # a format that is not there is a mistake even if there is nothing to write
    redaction = _redaction(redact)
    settings = load_settings(store_url)
    with open_run_store(settings) as store:
        _refuse_the_store(store, file)
        form = form or _format_of_file(file, "json" if as_one else "jsonl")
        if not as_one and form != "jsonl":
            raise UsageError(
                f"several sessions cannot be one file of format '{safe_line(form)}'",
                hint="write a file for each: -o DIR/, or all as lines: --format jsonl",
            )
        heads = _all(store, agent) if everything else _resolve_all(store, names, agent, at)
        if not heads:
            app.output.note("there are no sessions to export")
        job = _ExportJob(heads, form, last, at, redaction, settings)
        if is_folder:
            _write_folder(app, store, file, job, force=force)
        elif file not in _STDOUT:
            write_whole(file, _followed(app, _pieces(store, job), len(heads)), force=force)
        else:
            for piece in _followed(app, _pieces(store, job), len(heads)):
                app.output.write(piece)


def _format_of_file(file: str, default: str) -> str:
    """Return the format that FILE's ending asks for; the name of a folder says nothing."""
    try:
        return format_of("" if os.path.isdir(file) else file, default)
    except UsageError as error:
        raise UsageError(error.message, hint=f"{error.hint}; or name the format: --format FORMAT") from error


def _refuse_the_store(store: Store, file: str) -> None:
    """Raise UsageError if `file` is the store or a part of it: --force would lose every session."""
    if file and os.path.realpath(file) in map(os.path.realpath, store.files):
        raise UsageError(f"{file} is the store itself", hint="write to another file")


def _check_which(names: list[str], at: int | None, *, everything: bool) -> None:
    if everything and names:
        raise UsageError(
            "--all exports all sessions, and some are named", hint="leave out the names, or --all"
        )
    if not everything and not names:
        raise UsageError(
            "no session is named", hint="name one or more, or take --all; see: flue sessions list"
        )
    if at is not None and (everything or len(names) > 1):
        raise UsageError("--at is a turn of one session, and this exports several", hint="name one session")


def _resolve_all(store: Store, names: list[str], agent: str, at: int | None) -> list[SessionHead]:
    return list(dict.fromkeys(resolve_session(store, name, agent, at=at) for name in names))


def _all(store: Store, agent: str) -> list[SessionHead]:
    """List every session, last used last: imported in this order, they are listed as they are here."""
    found = store.sessions(agent=check_agent_filter(agent), with_undone_forks=True)
    heads = [store.head(summary.agent, summary.name) for summary in reversed(found)]
    return [head for head in heads if head.uid != ABSENT]  # deleted meanwhile


def _redaction(patterns: list[str] | None) -> Redaction | None:
    if not patterns:
        return None
    from flue_cli.transcripts.redaction import Redaction

    return Redaction(patterns)


def _pieces(store: Store, job: _ExportJob) -> Iterator[tuple[str, bool]]:
    """Yield the text of all sessions in pieces; the last piece of each comes with True."""
    for head in job.heads:
        for piece in _session(store, job, head):
            yield piece, False
        yield "", True


def _session(store: Store, job: _ExportJob, head: SessionHead) -> Iterator[str]:
    first = max(1, head.turn - job.last + 1) if job.last else 1
    source: ExportSource = store if job.at is None else StoreAtTurn(store)
    if job.form in LAID_OUT and _declared_format(job.settings, head.agent) == "markdown":
        source = StoreInFormat(source, "markdown")
    if job.redaction:
        from flue_cli.transcripts.redaction import Redacted

        source, head = Redacted(source, job.redaction), job.redaction.head(head)
    return exporter(job.form)(source, head, first)


def _declared_format(settings: Settings, agent: str) -> str:
    """Return the `reply_format` in the agent's file, which is not executed; "text" if it cannot be found.

    For turns that do not say theirs: those of older Flues, and imported ones.
    """
    try:
        return describe(find_agent(settings, agent)).reply_format
    except FlueError:
        return "text"


def _followed(app: App, pieces: Iterable[tuple[str, bool]], total: int) -> Iterator[str]:
    """Yield the text, with a progress bar on the terminal for more than one session."""
    from flue_cli.render.progress_bar import show_progress

    is_seen = app.output.is_terminal  # then the text itself shows how far it is
    with nullcontext() if is_seen or total == 1 else show_progress(app.output, "exporting", total) as advance:
        for piece, is_end in pieces:
            yield piece
            if is_end and advance:
                advance(1)


def _write_folder(app: App, store: Store, folder: str, job: _ExportJob, *, force: bool) -> None:
    """Write a file for every session; write none if one of the files exists."""
    from flue_cli.render.progress_bar import show_progress
    from flue_cli.transcripts.file_names import file_names

    heads = [job.redaction.head(head) for head in job.heads] if job.redaction else job.heads
    paths = [os.path.join(folder, name) for name in file_names(heads, ENDINGS.get(job.form, job.form))]
    try:
        make_private_folder(os.path.abspath(folder))
    except OSError as error:
        raise OutputFailed(f"the folder {folder} cannot be made: {error.strerror}") from error
    for path in paths:
        if not force and os.path.lexists(path):
            raise FileExists(f"{path} exists already", hint="replace what is there with --force")
    with show_progress(app.output, "exporting", len(paths)) as advance:
        for head, path in zip(job.heads, paths, strict=True):
            write_whole(path, _session(store, job, head), force=force)
            advance(1)
    app.output.note(f"{len(paths)} {'session' if len(paths) == 1 else 'sessions'} written to {folder}")
