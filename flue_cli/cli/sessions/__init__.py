"""`flue sessions`: the table of its commands, and show, resume, rename, move and delete."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_agents, complete_sessions
from flue_cli.cli.options import (
    AdoptOption,
    AgentOption,
    AgentsOption,
    AtOption,
    FormatOption,
    JsonOption,
    KeepGoingOption,
    LastOption,
    LinesOption,
    NoStdinOption,
    SessionArgument,
    StoreOption,
    TimeoutOption,
    TurnKeyOption,
    VerboseOption,
    WaitOption,
    load_settings,
    open_run_store,
    repeat_flags,
    resolve_session,
)
from flue_cli.cli.session_change import rename_session
from flue_cli.cli.stdin import confirm
from flue_cli.errors import UsageError
from flue_cli.names import bare_name, check_agent_name, check_session_name
from flue_cli.render import machine_output
from flue_cli.render.notices import describe_session
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, SessionHead
from flue_cli.text import safe_line, session_label
from flue_cli.transcripts import exporter
from flue_cli.transcripts.export_view import ExportSource, StoreAtTurn

SessionsArgument = Annotated[
    list[str],
    typer.Argument(
        metavar="SESSION...", autocompletion=complete_sessions, help="Names of sessions, or AGENT/NAME."
    ),
]


def show(
    ctx: typer.Context,
    session: SessionArgument,
    last: LastOption = None,
    at: AtOption = None,
    agent: AgentOption = "",
    as_json: JsonOption = False,
    store_url: StoreOption = "",
) -> None:
    """Show a session's conversation; failed turns are marked."""
    app: App = ctx.obj
    with open_run_store(load_settings(store_url)) as store:
        head = resolve_session(store, session, agent, at=at)
        first = max(1, head.turn - last + 1) if last else 1
        if as_json:
            _write_transcript(app, store if at is None else StoreAtTurn(store), head, "json", first)
            return
        running = _running(store, head) if at is None else []
        turns = [*store.entries(head, first, head.turn), *running]
        if app.output.is_terminal:
            from flue_cli.render.tables import show_paged_text, transcript_text

            show_paged_text(app.output, transcript_text(turns, has_unicode=app.output.has_unicode))
        else:
            for number, entry in enumerate(turns):
                app.output.write(("\n" if number else "") + machine_output.plain_turn(entry))


def resume(
    ctx: typer.Context,
    session: SessionArgument,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="[PROMPT]", show_default=False, help="One prompt: answer it and be done."),
    ] = None,
    agent: Annotated[
        str,
        typer.Option(
            "--agent",
            metavar="AGENT",
            help="Go on with this agent; a session of another agent is given to it first.",
            autocompletion=complete_agents,
        ),
    ] = "",
    lines: LinesOption = False,
    keep_going: KeepGoingOption = False,
    no_stdin: NoStdinOption = False,
    as_json: JsonOption = False,
    output_format: FormatOption = "",
    turn_key: TurnKeyOption = None,
    wait: WaitOption = None,
    timeout: TimeoutOption = None,
    adopt: AdoptOption = False,
    verbose: VerboseOption = False,
    store_url: StoreOption = "",
    agents_dirs: AgentsOption = None,
) -> None:
    """Continue a session, like flue chat AGENT -r NAME.

    With --agent, also a session of another agent.
    """
    from flue_cli.cli.chat import converse
    from flue_cli.cli.session_choice import resumed_session
    from flue_cli.cli.turn_output import output_format_name
    from flue_cli.cli.turn_run import TurnOptions

    app: App = ctx.obj
    repeat = repeat_flags(store_url, agents_dirs)
    form = output_format_name(output_format, as_json=as_json)
    options = TurnOptions(lines, keep_going, no_stdin, form, turn_key, verbose, repeat, adopts=adopt).checked(
        prompt
    )
    settings = load_settings(store_url, agents_dirs, wait=wait, timeout=timeout)
    with open_run_store(settings) as store:
        converse(app, settings, store, resumed_session(store, session, agent), prompt, options)


def rename(
    ctx: typer.Context,
    session: SessionArgument,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new name, without AGENT/.")],
    agent: AgentOption = "",
    wait: WaitOption = None,
    store_url: StoreOption = "",
) -> None:
    """Rename a session."""
    app: App = ctx.obj
    settings = load_settings(store_url, wait=wait)
    with open_run_store(settings) as store:
        head = resolve_session(store, session, agent)
        rename_session(app, store, head, bare_name(new, head.agent), wait=settings.wait)


def move(
    ctx: typer.Context,
    session: SessionArgument,
    new: Annotated[
        str,
        typer.Argument(metavar="AGENT/NAME", help="The agent that gets it, and the session's name there."),
    ],
    agent: AgentOption = "",
    wait: WaitOption = None,
    store_url: StoreOption = "",
) -> None:
    """Give a session to another agent, which goes on with it.

    Its turns, data and undone forks stay as they are.
    """
    app: App = ctx.obj
    settings = load_settings(store_url, wait=wait)
    with open_run_store(settings) as store:
        head = resolve_session(store, session, agent)
        owner, slash, name = new.partition("/")
        if not (slash and owner):
            raise UsageError(
                f"'{safe_line(new)}' does not say which agent gets the session and how it is called there",
                hint=f"AGENT/NAME, such as {safe_line(new.strip('/') or 'greeting')}/{safe_line(head.name)}",
            )
        owner = check_agent_name(owner)
        rename_session(app, store, head, check_session_name(name), agent=owner, wait=settings.wait)


def delete(
    ctx: typer.Context,
    sessions: SessionsArgument,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    agent: AgentOption = "",
    store_url: StoreOption = "",
) -> None:
    """Delete sessions for good, after asking."""
    app: App = ctx.obj
    settings = load_settings(store_url)
    with open_run_store(settings) as store:
        named = dict.fromkeys(resolve_session(store, session, agent) for session in sessions)
        forks = {head: store.undone_forks(head) for head in named}
        going = {
            head: below for head, below in forks.items() if not any(head in more for more in forks.values())
        }
        heads = [one for head, below in going.items() for one in (head, *below)]
        if not yes and not confirm(
            f"Delete {', '.join(describe_session(store, head) for head in heads)} for good?"
        ):
            app.output.note("nothing was deleted")
            return
        for head, below in going.items():
            store.delete(head)
            for one in (head, *below):
                app.output.note(f"deleted {session_label(one)}")
    if any(os.path.exists(settings.input_history(head.agent)) for head in heads):
        app.output.note("note: the chat's input history still has the prompts that were typed")


COMMANDS = {
    "list": "flue_cli.cli.sessions.list:list_sessions",
    "show": show,
    "resume": resume,
    "rename": rename,
    "move": move,
    "undo": "flue_cli.cli.sessions.timeline:undo",
    "redo": "flue_cli.cli.sessions.timeline:redo",
    "rewind": "flue_cli.cli.sessions.timeline:rewind",
    "fork": "flue_cli.cli.sessions.timeline:fork",
    "data": "flue_cli.cli.sessions.data:data",
    "set": "flue_cli.cli.sessions.data:set_",
    "unset": "flue_cli.cli.sessions.data:unset",
    "edit": "flue_cli.cli.sessions.data:edit",
    "diff": "flue_cli.cli.sessions.diff:diff",
    "search": "flue_cli.cli.sessions.search:search",
    "query": "flue_cli.cli.sessions.query:query",
    "export": "flue_cli.cli.sessions.export:export",
    "import": "flue_cli.cli.sessions.import_:import_",
    "delete": delete,
    "prune": "flue_cli.cli.sessions.prune:prune",
    "stats": "flue_cli.cli.sessions.stats:stats",
    "watch": "flue_cli.cli.sessions.watch:watch",
}
"""Subcommands of `flue sessions`: functions, or their `module:function`."""


def _write_transcript(app: App, store: ExportSource, head: SessionHead, form: str, first: int) -> None:
    for piece in exporter(form)(store, head, first):
        app.output.write(piece)


def _running(store: Store, head: SessionHead) -> list[Entry]:
    running = store.unsettled_prompt(head)
    return [running] if running else []
