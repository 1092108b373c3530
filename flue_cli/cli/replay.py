"""`flue replay`: re-run a recorded session against the current agent."""

from __future__ import annotations

import os
from contextlib import closing
from typing import Annotated

import typer

from flue_cli.agents import discovery
from flue_cli.agents.discovery import Agent
from flue_cli.agents.search_path import AgentSource
from flue_cli.cli.agent_run import end_with_stuck_agent, prepare_for_agents, turn_cancellation
from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_files, complete_sessions
from flue_cli.cli.options import (
    AgentOption,
    AgentsOption,
    JsonOption,
    StoreOption,
    TimeoutOption,
    VerboseOption,
    load_settings,
    open_run_store,
    resolve_session,
)
from flue_cli.cli.replay_output import Report, create_report
from flue_cli.errors import AgentError, AgentNotFound, TurnCancelled
from flue_cli.names import bare_name
from flue_cli.render.notices import show_traceback
from flue_cli.settings import Settings
from flue_cli.stores.contract import Store
from flue_cli.stores.contract_errors import session_exists_error
from flue_cli.stores.records import ABSENT, Entry, ForkOrigin, SessionHead
from flue_cli.text import safe_line
from flue_cli.turns.dry_run import AgentRun, DryRunner
from flue_cli.turns.replay import RecordBuffer, TurnComparison, replay_in_sequence, replay_turns


def replay(
    ctx: typer.Context,
    session: Annotated[
        str,
        typer.Argument(
            metavar="SESSION", help="A session's name, or AGENT/NAME.", autocompletion=complete_sessions
        ),
    ],
    at: Annotated[
        int | None, typer.Option("--at", metavar="N", min=0, help="Only the turns up to turn N.")
    ] = None,
    agent_file: Annotated[
        str,
        typer.Option(
            "--agent-file",
            metavar="FILE",
            autocompletion=complete_files,
            help="The agent is in FILE, wherever that is.",
        ),
    ] = "",
    accept: Annotated[
        str | None,
        typer.Option(
            "--accept",
            metavar="NEW",
            help="Start each turn from the new data and history, and save the result as session NEW.",
        ),
    ] = None,
    agent: AgentOption = "",
    as_json: JsonOption = False,
    timeout: TimeoutOption = None,
    verbose: VerboseOption = False,
    store_url: StoreOption = "",
    agents_dirs: AgentsOption = None,
) -> None:
    """Re-run a recorded session against the current agent.

    Every turn starts from its recorded data, history, clock and seed, and calls of context.record are
    answered as recorded. Nothing is saved. Exit code 1 if a reply or the data differ.
    """
    app: App = ctx.obj
    settings = load_settings(store_url, agents_dirs, timeout=timeout)
    with open_run_store(settings) as store, closing(DryRunner()) as dry_runner:
        head = resolve_session(store, session, agent)
        head = head if at is None else store.head_at(head, at)
        new = bare_name(accept, head.agent) if accept is not None else ""
        new = bare_name(accept, head.agent) if accept is not None else ""
        if new and store.head(head.agent, new).uid != ABSENT:
            raise session_exists_error(head.agent, new)
        report = create_report(app, head, as_json=as_json, verbose=verbose)
        todays = _load_current_agent(app, settings, head, agent_file, verbose=verbose)
        run = AgentRun[TurnComparison](
            dry_runner,
            lambda: turn_cancellation(app),
            settings.timeout,
            lambda turn: _give_up(app, report, turn),
        )
        if new:
            _accept(app, store, head, todays, run, report, new)
            return
        report.show(replay_turns(store, head, todays, run))
    if report.differing:
        raise typer.Exit(1)


def _accept(
    app: App,
    store: Store,
    head: SessionHead,
    agent: Agent,
    run: AgentRun[TurnComparison],
    report: Report,
    new: str,
) -> None:
    """Re-run the session, and save the result as the session `new`, forked from the empty start."""
    with closing(RecordBuffer[Entry]()) as buffer:
        report.show(replay_in_sequence(store, head, agent, run, buffer.add))
        store.import_session(head.agent, new, buffer, ForkOrigin(head.uid, head.name, 0))
    app.output.note(f"kept as {head.agent}/{safe_line(new)}")


def _load_current_agent(
    app: App, settings: Settings, head: SessionHead, file: str, *, verbose: bool
) -> Agent:
    """Load the session's current agent; from here on only results reach stdout."""
    source = _in_file(head.agent, file) if file else discovery.find_agent(settings, head.agent)
    prepare_for_agents(app)
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)  # what an agent says must not depend on who sits at the terminal
    try:
        return discovery.load_agent(source)
    except AgentError as error:
        show_traceback(error, app.output, verbose=verbose)
        raise


def _in_file(name: str, file: str) -> AgentSource:
    file = os.path.expanduser(file)
    path = os.path.abspath(os.path.join(file, "__init__.py") if os.path.isdir(file) else file)
    if not os.path.isfile(path):
        raise AgentNotFound(f"there is no file {path}")
    return AgentSource(name, path, "--agent-file")


def _give_up(app: App, report: Report, turn: TurnComparison) -> None:
    """End the process, because the agent blocks the main thread."""
    error = turn.now.error

    def show() -> None:
        if error and not isinstance(error, TurnCancelled):
            report.add(turn)
            report.end()

    end_with_stuck_agent(app, error, show)
