"""`flue replay`: a session's prompts, said again to today's agent."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Annotated

import typer

from flue_cli import agents
from flue_cli.agents import Agent, AgentSource
from flue_cli.cancellation import Cancellation
from flue_cli.cli.commands import App
from flue_cli.cli.options import (
    AgentOption,
    AgentsOption,
    JsonOption,
    StoreOption,
    TimeoutOption,
    VerboseOption,
    load_settings,
    one_session,
    opened,
)
from flue_cli.cli.replay_report import Report, report_of
from flue_cli.errors import AgentError, AgentNotFound, TurnCancelled
from flue_cli.names import session_name
from flue_cli.rehearsal import Rehearser
from flue_cli.render.remarks import show_traceback
from flue_cli.replay import Compared, Stage, replayed, run_through
from flue_cli.settings import Settings
from flue_cli.stores.contract import Store
from flue_cli.stores.contract_errors import session_exists_error
from flue_cli.stores.records import ABSENT, Entry, Head, Origin
from flue_cli.text import safe_line


def replay(
    ctx: typer.Context,
    session: Annotated[str, typer.Argument(metavar="SESSION", help="A session's name, or AGENT/NAME.")],
    at: Annotated[
        int | None, typer.Option("--at", metavar="N", min=0, help="Only the turns up to turn N.")
    ] = None,
    agent_file: Annotated[
        str, typer.Option("--agent-file", metavar="FILE", help="The agent is in FILE, wherever that is.")
    ] = "",
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept",
            metavar="NEW",
            help="Let each turn start from what came now, and keep that as the session NEW.",
        ),
    ] = None,
    agent: AgentOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = None,
    verbose: VerboseOption = False,
    store: StoreOption = "",
    agents_dirs: AgentsOption = None,
) -> None:
    """Say a session's prompts again to today's agent, and compare.

    Every turn starts from its recorded data, history, clock and seed, and calls of context.record are
    answered as recorded. Nothing is kept. Exit code 1 if a reply or the data differ.
    """
    app: App = ctx.obj
    settings = load_settings(store, agents_dirs, timeout=timeout)
    new = session_name(accept) if accept is not None else ""
    with opened(settings) as kept, closing(Rehearser()) as rehearser:
        head = one_session(kept, session, agent)
        head = head if at is None else kept.at(head, at)
        if new and kept.head(head.agent, new).uid != ABSENT:
            raise session_exists_error(head.agent, new)
        report = report_of(app, head, as_json=as_json, verbose=verbose)
        stage = Stage(
            rehearser,
            _loaded(app, settings, head, agent_file, verbose=verbose),
            lambda: _cancelling(app),
            settings.timeout,
            lambda turn: _give_up(app, report, turn),
        )
        if new:
            _accept(app, kept, head, stage, report, new)
            return
        report.show(replayed(kept, head, stage))
    if report.differing:
        raise typer.Exit(1)


def _accept(app: App, store: Store, head: Head, stage: Stage, report: Report, new: str) -> None:
    """Run through, and keep what comes of it as the session `new`, forked from the empty start."""
    from flue_cli.spool import Spool

    with closing(Spool[Entry]()) as spool:
        report.show(run_through(store, head, stage, spool.add))
        store.bring(head.agent, new, spool, Origin(head.uid, head.name, 0))
    app.output.note(f"kept as {head.agent}/{safe_line(new)}")


def _loaded(app: App, settings: Settings, head: Head, file: str, *, verbose: bool) -> Agent:
    """Today's agent of the session; from here on nothing but results reaches stdout."""
    source = _in_file(head.agent, file) if file else agents.find(settings, head.agent)
    gc.freeze()
    gc.enable()
    app.output.keep_from_agents()
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # what an agent says must not depend on who sits at the terminal
    try:
        return agents.load(source)
    except AgentError as error:
        show_traceback(error, app.output, verbose=verbose)
        raise


def _in_file(name: str, file: str) -> AgentSource:
    path = os.path.abspath(os.path.join(file, "__init__.py") if os.path.isdir(file) else file)
    if not os.path.isfile(path):
        raise AgentNotFound(f"there is no file {path}")
    return AgentSource(name, path, "--agent-file")


@contextmanager
def _cancelling(app: App) -> Iterator[Cancellation]:
    """The cancellation of one turn, which a signal requests."""
    cancellation = Cancellation(wake_by=next(iter(app.signals.installed), 0))
    with app.signals.cancelling(cancellation):
        yield cancellation


def _give_up(app: App, report: Report, turn: Compared) -> None:
    """End the command although the agent holds the main thread and will not let go."""
    error = turn.now.error
    try:
        if error and not isinstance(error, TurnCancelled):
            report.add(turn)
            report.end()
        if error:
            app.output.error(error)
    finally:
        os._exit(error.exit_code if error else 70)
