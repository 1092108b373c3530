"""`flue sessions import`: read sessions from files of Flue and other programs."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_agents, complete_files
from flue_cli.cli.options import StoreOption, load_settings, open_run_store
from flue_cli.errors import Conflict, FlueError, SessionExists, UsageError
from flue_cli.render.progress_bar import show_progress
from flue_cli.text import format_turns, safe_line, session_label
from flue_cli.transcripts import READERS, reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from flue_cli.stores.contract import Store
    from flue_cli.stores.records import Entry
    from flue_cli.transcripts.import_session import NameAssigner
    from flue_cli.transcripts.import_source import ImportedSession, Source


def import_(
    ctx: typer.Context,
    file: Annotated[
        str,
        typer.Argument(
            metavar="FILE", autocompletion=complete_files, help="The file to read; - is standard input."
        ),
    ],
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="FORMAT",
            autocompletion=lambda: READERS,
            help=f"{', '.join(READERS)}; what is in FILE tells.",
            show_default=False,
        ),
    ] = "",
    session: Annotated[
        str, typer.Option("--session", metavar="NAME", help="Name of the session, if FILE has only one.")
    ] = "",
    agent: Annotated[
        str,
        typer.Option(
            "--agent",
            metavar="AGENT",
            autocompletion=complete_agents,
            help="The agent of the imported sessions.",
        ),
    ] = "",
    again: Annotated[
        bool, typer.Option("--again", help="If a session of that name exists, use another: NAME-2.")
    ] = False,
    store_url: StoreOption = "",
) -> None:
    """Import sessions of Flue and of other programs.

    Those are ChatGPT, Claude.ai, ShareGPT, llm and openai-agents, and lists of messages. Sessions that are
    here already, with the same content, are left alone.
    """
    from flue_cli.transcripts.detect_format import kind_of
    from flue_cli.transcripts.import_session import NameAssigner
    from flue_cli.transcripts.import_source import Source

    app: App = ctx.obj
    names = NameAssigner(agent, session, "openai")
    if form:
        reader(form)
    with Source(os.path.expanduser(file)) as source:
        tally = _Tally(app)
        found = reader(form or kind_of(source))(source, tally.skipped)
        with (
            open_run_store(load_settings(store_url)) as store,
            show_progress(app.output, "importing", None) as advance,
        ):
            counted = (one._replace(entries=_counted(one.entries, advance, tally)) for one in found)
            _bring_all(store, _only_one(counted, source) if session else counted, names, tally, again=again)
        tally.close(source)


_PLACES = ("line ", "thread ", "conversation ")
"""Prefixes of messages that already name the place."""


class _Tally:
    """Reports each imported, skipped or failed session, and counts them.

    `unanswered` is the number of prompts without a reply in the session that is being imported.
    """

    def __init__(self, app: App) -> None:
        self._output = app.output
        self._imported = self._there = self._left_out = 0
        self._problems: list[tuple[str, FlueError]] = []
        self.unanswered = 0

    def skipped(self, what: str) -> None:
        self._left_out += 1
        self._output.note(f"skipped: {safe_line(what)}")

    def brought(self, called: str, count: int, *, was_there: bool) -> None:
        if was_there:
            self._there += 1
            self._output.note(f"{called} is here already, with the same content")
        else:
            self._imported += 1
            self._output.note(f"imported {called} ({format_turns(count)})")
            if self.unanswered:
                have = "prompt has" if self.unanswered == 1 else "prompts have"
                self._output.note(
                    f"note: {self.unanswered} {have} no answer in it: marked interrupted, not in the history"
                )

    def failed(self, called: str, error: FlueError) -> None:
        self._problems.append((called, error))

    def close(self, source: Source) -> None:
        """Write the counts; raise one error for all sessions that were not imported."""
        failed = len(self._problems)
        found = self._imported + self._there + failed
        if found + self._left_out > 1:
            counts = {"imported": self._imported, "here already": self._there}
            counts |= {"skipped": self._left_out, "not imported": failed}
            self._output.note(", ".join(f"{count} {what}" for what, count in counts.items() if count))
        if not found:
            raise UsageError(f"there is no session in {source.called}")
        if failed == 1:
            called, error = self._problems[0]
            raise _import_label(called, error) if found + self._left_out > 1 else error
        if failed:
            raise self._all_problems()

    def tell_problems(self) -> None:
        """Write a line for every session that was not imported."""
        for called, error in self._problems:
            self._output.note(f"not imported: {safe_line(_import_label(called, error).message)}")

    def _all_problems(self) -> FlueError:
        """Write a line for each problem, and return one error: unreadable sessions outweigh existing ones."""
        self.tell_problems()
        unusable = [error for _, error in self._problems if not isinstance(error, Conflict)]
        sentence = f"{len(self._problems)} sessions were not imported"
        return UsageError(sentence) if unusable else SessionExists(sentence, hint=self._problems[0][1].hint)


def _bring_all(
    store: Store, found: Iterator[ImportedSession], names: NameAssigner, tally: _Tally, *, again: bool
) -> None:
    """Import session after session; go on after one that fails."""
    from flue_cli.transcripts.import_session import bring, valid_name

    brought: dict[tuple[str, str], str] = {}  # the names that sessions were given, for those forked from them
    while one := _next(found, tally):
        try:
            agent, name = names.of(one)
            if one.origin:
                origin, turn = one.origin
                one = one._replace(origin=(brought.get((agent, origin)) or valid_name(origin), turn))
            head, was_there = bring(store, one, agent, name, again=again)
            brought[agent, one.name] = head.name
        except (Conflict, UsageError) as error:
            tally.failed(one.name, error)
        except FlueError:
            tally.tell_problems()
            raise
        else:
            tally.brought(session_label(head), head.turn, was_there=was_there)


def _next(found: Iterator[ImportedSession], tally: _Tally) -> ImportedSession | None:
    """Return the next session; None at the end, or if the rest of the source cannot be read."""
    try:
        return next(found, None)
    except UsageError as error:
        tally.failed("", error)
        return None


def _import_label(called: str, error: FlueError) -> FlueError:
    """Return the error of one of several sessions, with the session or line it is about."""
    if not called or isinstance(error, Conflict) or error.message.startswith((called, *_PLACES)):
        return error
    return type(error)(f"{called}: {error.message}", hint=error.hint)


def _counted(entries: Iterable[Entry], advance: Callable[[int], None], tally: _Tally) -> Iterator[Entry]:
    from flue_cli.transcripts.foreign.turns import UNANSWERED

    tally.unanswered = 0
    for entry in entries:
        advance(1)
        tally.unanswered += entry.error == UNANSWERED
        yield entry


def _only_one(found: Iterator[ImportedSession], source: Source) -> Iterator[ImportedSession]:
    """Yield the only session; its entries end in a UsageError if the source has more."""

    def followed_by_none(entries: Iterable[Entry]) -> Iterator[Entry]:
        yield from entries
        if next(found, None):  # said before the end, so that nothing of the first one is kept
            raise UsageError(
                f"--session is for one session, and {source.called} has several", hint="leave it out"
            )

    for one in found:
        yield one._replace(entries=followed_by_none(one.entries))
        return
