"""`flue sessions export`: sessions as files to keep, to read, to hand on."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from flue_cli.cli.commands import App
from flue_cli.cli.options import (
    AgentOption,
    AtOption,
    LastOption,
    StoreOption,
    load_settings,
    one_session,
    opened,
)
from flue_cli.errors import FileExists, OutputFailed, UsageError
from flue_cli.files import make_private_folder, write_whole
from flue_cli.names import agent_name
from flue_cli.stores.records import ABSENT, Head
from flue_cli.text import safe_line
from flue_cli.transcripts import ENDINGS, FORMATS, exporter, format_of
from flue_cli.transcripts.export_view import StoreAtTurn

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store
    from flue_cli.transcripts.export_view import Readable
    from flue_cli.transcripts.redaction import Redaction


_STDOUT = ("", "-", "/dev/stdout")
"""What FILE may be called that is no file; where a shell has made one of the last, nothing may replace it."""


class _What(NamedTuple):
    """What is to be written: which sessions, which turns of them, in which format, without what."""

    heads: list[Head]
    form: str
    last: int | None
    at: int | None
    redaction: Redaction | None


def export(
    ctx: typer.Context,
    sessions: Annotated[
        list[str] | None, typer.Argument(metavar="SESSION...", help="Names of sessions, or AGENT/NAME.")
    ] = None,
    file: Annotated[
        str,
        typer.Option(
            "-o", "--output", metavar="FILE", help="Write to FILE; DIR/ takes a file for every session."
        ),
    ] = "",
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            help=f"{', '.join(FORMATS)}; FILE's ending tells, else json, or jsonl for several sessions.",
        ),
    ] = "",
    force: Annotated[bool, typer.Option("--force", help="Replace files that exist.")] = False,
    everything: Annotated[
        bool, typer.Option("--all", help="All sessions, and the forks that undoing kept.")
    ] = False,
    redact: Annotated[
        list[str] | None,
        typer.Option("--redact", metavar="REGEX", help="Write [redacted] for what matches; may be repeated."),
    ] = None,
    last: LastOption = None,
    at: AtOption = None,
    agent: AgentOption = "",
    store: StoreOption = "",
) -> None:
    """Write sessions out, whole: every turn with its data."""
    app: App = ctx.obj
    names = sessions or []
    _check_which(names, at, everything=everything)
    is_folder = file.endswith("/") or (os.path.isdir(file) and (everything or len(names) > 1))
    as_one = is_folder or (len(names) == 1 and not everything)
    form = form or (format_of(file) if as_one else format_of(file, "jsonl"))
    exporter(form)  # a format that is not there is a mistake even if there is nothing to write
    if not as_one and form != "jsonl":
        raise UsageError(
            f"several sessions cannot be one file of format '{safe_line(form)}'",
            hint="write a file for each: -o DIR/, or all as lines: --format jsonl",
        )
    redaction = _redaction(redact)
    with opened(load_settings(store)) as kept:
        _refuse_the_store(kept, file)
        heads = _all(kept, agent) if everything else _named(kept, names, agent, at)
        if not heads:
            app.output.note("there are no sessions to export")
        what = _What(heads, form, last, at, redaction)
        if is_folder:
            _write_folder(app, kept, file, what, force=force)
        elif file not in _STDOUT:
            write_whole(file, _followed(app, _pieces(kept, what), len(heads)), force=force)
        else:
            for piece in _followed(app, _pieces(kept, what), len(heads)):
                app.output.piece(piece)


def _refuse_the_store(store: Store, file: str) -> None:
    """Raise UsageError if `file` is the store or a part of it: --force would lose every session."""
    path = store.url.removeprefix("sqlite:///")
    parts = {os.path.realpath(f"{path}{ending}") for ending in ("", "-wal", "-shm", "-journal")}
    if file and store.url.startswith("sqlite:") and os.path.realpath(file) in parts:
        raise UsageError(f"{file} is the store itself", hint="write to another file")


def _check_which(names: list[str], at: int | None, *, everything: bool) -> None:
    if everything and names:
        raise UsageError("--all is all sessions: name none, or leave it out")
    if not everything and not names:
        raise UsageError("which session?", hint="name one or more, or take --all; see: flue sessions list")
    if at is not None and (everything or len(names) > 1):
        raise UsageError("--at is a turn of one session")


def _named(store: Store, names: list[str], agent: str, at: int | None) -> list[Head]:
    return list(dict.fromkeys(one_session(store, name, agent, at=at) for name in names))


def _all(store: Store, agent: str) -> list[Head]:
    """Every session, last used last: imported in this order, they are listed as they are here."""
    found = store.sessions(agent=agent_name(agent) if agent else "", kept=True)
    heads = [store.head(summary.agent, summary.name) for summary in reversed(found)]
    return [head for head in heads if head.uid != ABSENT]  # deleted meanwhile


def _redaction(patterns: list[str] | None) -> Redaction | None:
    if not patterns:
        return None
    from flue_cli.transcripts.redaction import Redaction

    return Redaction(patterns)


def _pieces(store: Store, what: _What) -> Iterator[tuple[str, bool]]:
    """The text of all sessions; with the last piece of each, True."""
    for head in what.heads:
        for piece in _session(store, what, head):
            yield piece, False
        yield "", True


def _session(store: Store, what: _What, head: Head) -> Iterator[str]:
    first = max(1, head.turn - what.last + 1) if what.last else 1
    source: Readable = store if what.at is None else StoreAtTurn(store)
    if what.redaction:
        from flue_cli.transcripts.redaction import Redacted

        source, head = Redacted(source, what.redaction), what.redaction.head(head)
    return exporter(what.form)(source, head, first)


def _followed(app: App, pieces: Iterable[tuple[str, bool]], total: int) -> Iterator[str]:
    """The text, with a bar on the terminal where there is more than one session to wait for."""
    from flue_cli.render.progress_bar import progress

    is_seen = app.output.is_terminal  # then the text itself shows how far it is
    with nullcontext() if is_seen or total == 1 else progress(app.output, "exporting", total) as advance:
        for piece, is_end in pieces:
            yield piece
            if is_end and advance:
                advance(1)


def _write_folder(app: App, store: Store, folder: str, what: _What, *, force: bool) -> None:
    """A file for every session; none at all if one of them is in the way."""
    from flue_cli.render.progress_bar import progress
    from flue_cli.transcripts.file_names import file_names

    heads = [what.redaction.head(head) for head in what.heads] if what.redaction else what.heads
    paths = [os.path.join(folder, name) for name in file_names(heads, ENDINGS.get(what.form, what.form))]
    try:
        make_private_folder(os.path.abspath(folder))
    except OSError as error:
        raise OutputFailed(f"the folder {folder} cannot be made: {error.strerror}") from error
    for path in paths:
        if not force and os.path.lexists(path):
            raise FileExists(f"{path} exists already", hint="replace what is there with --force")
    with progress(app.output, "exporting", len(paths)) as advance:
        for head, path in zip(what.heads, paths, strict=True):
            write_whole(path, _session(store, what, head), force=force)
            advance(1)
    app.output.note(f"{len(paths)} {'session' if len(paths) == 1 else 'sessions'} written to {folder}")
