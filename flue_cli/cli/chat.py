"""`flue chat`: one turn, a turn for every line, or a conversation in the terminal."""

# Annotations are not left as text (`from __future__`), which Typer would compile again, one by one.

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from flue_cli.agents import discovery
from flue_cli.agents.discovery import Agent
from flue_cli.agents.search_path import AgentSource, is_agent_path, short_path
from flue_cli.cli import stdin
from flue_cli.cli.agent_run import collect_garbage, prepare_for_agents
from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import complete_agents, complete_sessions
from flue_cli.cli.options import (
    AdoptOption,
    AgentsOption,
    FormatOption,
    JsonOption,
    KeepGoingOption,
    LinesOption,
    NoStdinOption,
    StoreOption,
    TimeoutOption,
    TurnKeyOption,
    VerboseOption,
    WaitOption,
    load_settings,
    log_of,
    open_run_store,
    repeat_flags,
)
from flue_cli.cli.session_choice import (
    SessionFlags,
    SessionTarget,
    choose_session,
    find_session_agent,
    move_to_its_agent,
)
from flue_cli.cli.turn_output import output_format_name
from flue_cli.cli.turn_run import WATCH_NEEDS_CHAT, TurnOptions, TurnRun
from flue_cli.errors import AgentError, FlueError, OtherAgent, SessionExists, UsageError
from flue_cli.render.notices import show_traceback
from flue_cli.settings import Settings
from flue_cli.stores.records import ABSENT
from flue_cli.stores.rules import check_agent_origin
from flue_cli.turns.runner import Runner

if TYPE_CHECKING:
    from flue_cli.repl.agent_file import LoadedAgent
    from flue_cli.stores.contract import Store


def chat(
    ctx: typer.Context,
    agent: Annotated[
        str | None,
        typer.Argument(
            metavar="[AGENT]",
            autocompletion=complete_agents,
            show_default=False,
            help="The agent to talk to: its name, or its file.",
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="[PROMPT]", show_default=False, help="One prompt: print the reply and exit."),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option(
            "-s",
            "--session",
            metavar="NAME",
            autocompletion=complete_sessions,
            help="Open the session NAME, or create it.",
        ),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="Fail if the session exists already.")] = False,
    resume: Annotated[
        str | None,
        typer.Option(
            "-r",
            "--resume",
            metavar="NAME",
            autocompletion=complete_sessions,
            help="Open the session NAME, which must exist.",
        ),
    ] = None,
    pick: Annotated[bool, typer.Option("--pick", help="Choose a session from a list.")] = False,
    latest: Annotated[
        bool, typer.Option("-c", "--continue", help="Open the session that was used last.")
    ] = False,
    no_save: Annotated[bool, typer.Option("--no-save", help="Save nothing of this conversation.")] = False,
    lines: LinesOption = False,
    keep_going: KeepGoingOption = False,
    no_stdin: NoStdinOption = False,
    as_json: JsonOption = False,
    output_format: FormatOption = "",
    turn_key: TurnKeyOption = None,
    wait: WaitOption = None,
    timeout: TimeoutOption = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="In the chat, load the agent again when its file changes.")
    ] = False,
    adopt: AdoptOption = False,
    no_toolbar: Annotated[
        bool, typer.Option("--no-toolbar", help="In the chat, show no toolbar at the bottom.")
    ] = False,
    verbose: VerboseOption = False,
    store_url: StoreOption = "",
    agents_dirs: AgentsOption = None,
) -> None:
    """Talk to an agent.

    With a PROMPT, or a prompt on standard input, one turn is answered and the command ends; in a
    terminal without one, the chat starts. The session is saved: come back to it by name. Without a
    name it gets a new one.
    """
    app: App = ctx.obj
    repeated_flags = repeat_flags(store_url, agents_dirs)
    form = output_format_name(output_format, as_json=as_json)
    options = TurnOptions(
        lines, keep_going, no_stdin, form, turn_key, verbose, repeated_flags, watch, adopt
    ).checked(prompt)
    flags = SessionFlags(session, resume, pick, latest, new).checked(keeps=not no_save, key=turn_key)
    settings = load_settings("memory:" if no_save else store_url, agents_dirs, wait=wait, timeout=timeout)
    style = settings.chat
    settings = settings._replace(chat=style._replace(toolbar=style.toolbar and not no_toolbar))
    if agent and is_agent_path(agent):
        settings, agent, options = _use_agent_file(settings, agent, options)
    with open_run_store(settings) as store:
        target = choose_session(app, store, settings, agent, prompt, flags)
        converse(app, settings, store, target, prompt, options)


def _use_agent_file(settings: Settings, file: str, options: TurnOptions) -> tuple[Settings, str, TurnOptions]:
    """Return settings in which the agent in `file` is found, its name, and options to find it again."""
    with_file, name = discovery.settings_for_agent(settings, file)
    try:
        is_found = discovery.find_agent(settings, name).path == with_file.agent_file
    except FlueError:
        is_found = False
    if not is_found:
        folder = os.path.dirname(with_file.agent_file.removesuffix("/__init__.py"))
        options = options._replace(repeat=(*options.repeat, "--agents", folder))
    return with_file, name, options


def converse(
    app: App,
    settings: Settings,
    store: "Store",
    target: SessionTarget,
    prompt: str | None,
    options: TurnOptions,
) -> None:
    """Answer one prompt, a prompt for every line, or talk in the terminal, as the options say."""
    source = find_session_agent(settings, target)
    if prompt is None and not options.lines and stdin.is_terminal():
        _run_conversation(app, settings, store, target, source, options)
        return
    if options.watch:
        raise UsageError(WATCH_NEEDS_CHAT)
    app.output.dim_notices()
    source_of_prompts = prepare_for_agents(app)
    with _show_load_traceback(app, options):
        agent = discovery.load_agent(source)
    move_to_its_agent(app, settings, store, target)
    options = _ask_to_adopt(app, store, target, agent, options)
    with closing(Runner(store, log_of(settings, store))) as runner:
        turns = TurnRun(app, settings, runner, agent, target, options)
        if options.lines:
            from flue_cli.cli.line_turns import LineTurns

            lines = LineTurns(app, source_of_prompts, keeps_going=options.keeps_going)
            lines.run(lambda line: turns.run(line, on_stuck=lines.tell_stop))
            return
        turns.run(stdin.read_prompt(prompt, source_of_prompts, app.output, no_stdin=options.no_stdin))
    if target.expect == "new" and app.output.notices_on_terminal:
        app.output.note(f"session: {target.name}")


def _run_conversation(
    app: App,
    settings: Settings,
    store: "Store",
    target: SessionTarget,
    source: AgentSource,
    options: TurnOptions,
) -> None:
    _check_conversation(app, options)
    from flue_cli.repl.terminal import take_keyboard

    with take_keyboard() as typed_early:  # before the imports below, which take a while
        _talk(app, settings, store, target, source, options, typed_early)


def _talk(
    app: App,
    settings: Settings,
    store: "Store",
    target: SessionTarget,
    source: AgentSource,
    options: TurnOptions,
    typed_early: bytes,
) -> None:
    from flue_cli.repl.agent_file import AgentLoader
    from flue_cli.repl.conversation import Conversation
    from flue_cli.repl.loop import run_chat as repl_chat
    from flue_cli.repl.options import ChatOptions
    from flue_cli.repl.terminal import silent_keyboard

    if target.expect == "new" and store.head(target.agent, target.name).uid != ABSENT:
        raise SessionExists(f"session '{target.name}' exists already", hint="resume it with -r")
    keeps = not store.is_ephemeral
    chat_options = ChatOptions(
        settings.wait, settings.timeout, keeps, options.verbose, options.repeat, settings.drafts
    )
    agent_loader = AgentLoader(
        lambda name: _load_agent_with_notice(discovery.find_agent(settings, name)),
        lambda: discovery.list_agents(settings),
        reloads_on_change=options.watch,
    )
    collect_garbage()
    app.output.keep_from_agents()
    with silent_keyboard(), _show_load_traceback(app, options):  # what is typed meanwhile is the first prompt
        agent = _load_agent_with_notice(source)
    move_to_its_agent(app, settings, store, target)
    options = _ask_to_adopt(app, store, target, agent.agent, options)
    with closing(Runner(store, log_of(settings, store))) as runner:
        conversation = Conversation(
            runner,
            agent,
            target.name,
            target.expect,
            chat_options,
            agent_loader,
            adopts=options.adopts,
        )
        repl_chat(
            conversation,
            app.output,
            app.signals.cancelling,
            history_path=settings.input_history if keeps else lambda agent: "",
            style=settings.chat,
            typed_early=typed_early,
        )


def _ask_to_adopt(
    app: App, store: "Store", target: SessionTarget, agent: Agent, options: TurnOptions
) -> TurnOptions:
    """Ask on a terminal if a session of another project's agent is meant; raise OtherAgent if it is not.

    Elsewhere nothing is asked: the store refuses the prompt.
    """
    try:
        if not options.adopts:
            origins = store.agent_origins(store.head(target.agent, target.name))
            check_agent_origin(target.agent, target.name, origins, agent.origin)
    except OtherAgent as error:
        if not (stdin.is_terminal() and app.output.notices_on_terminal):
            return options
        app.output.note(error.message)
        if not stdin.agrees("Go on with this session and the agent here?"):
            raise
        return options._replace(adopts=True)
    return options


def _check_conversation(app: App, options: TurnOptions) -> None:
    """Raise UsageError unless a conversation is possible here, with these options."""
    if not app.output.is_terminal:
        raise UsageError("standard output is not a terminal", hint="give a PROMPT, or pipe one in")
    if options.form != "text" or options.key:
        option = (
            "--turn-key"
            if options.key
            else "--json"
            if options.form == "json"
            else f"--output-format {options.form}"
        )
        raise UsageError(f"{option} needs a PROMPT, or one on standard input")


def _load_agent_with_notice(source: AgentSource) -> "LoadedAgent":
    """Load the agent for a conversation, with a notice if it hides a sample agent."""
    from flue_cli.repl.agent_file import load_agent_file

    remark = f"using {short_path(source.path, source.origin)}" if discovery.hides_sample(source) else ""
    return load_agent_file(source)._replace(notice=remark)


@contextmanager
def _show_load_traceback(app: App, options: TurnOptions) -> Iterator[None]:
    """Show the traceback of an agent that fails to load, with --verbose."""
    try:
        yield
    except AgentError as error:
        show_traceback(error, app.output, verbose=options.verbose)
        raise
