"""`flue chat`: one turn, a turn for every line, or a conversation in the terminal."""

from __future__ import annotations

import gc
import os
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from flue_cli import agents
from flue_cli.agents import Agent, AgentSource
from flue_cli.cancellation import Cancellation
from flue_cli.cli import stdin
from flue_cli.cli.answers import FORMS, Answer, form_of
from flue_cli.cli.commands import App
from flue_cli.cli.options import (
    AgentsOption,
    FormatOption,
    JsonOption,
    LinesOption,
    StoreOption,
    TimeoutOption,
    TurnKeyOption,
    VerboseOption,
    WaitOption,
    load_settings,
    opened,
    repeated,
)
from flue_cli.cli.which import Where, generated, last_used, picked, resumed
from flue_cli.errors import AgentError, SessionExists, UsageError
from flue_cli.log import Log
from flue_cli.names import agent_name, session_name
from flue_cli.render.remarks import Waiting, say_interrupted
from flue_cli.settings import Settings
from flue_cli.stores.records import ABSENT, Ask, Begun
from flue_cli.strict_json import WARN_BYTES
from flue_cli.turn import Listener, Runner, Turn

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store


class How(NamedTuple):
    """How turns are to be asked for and shown.

    `form` is one of FORMS, `repeat` are the options that a resume must give again.
    """

    lines: bool = False
    form: str = "text"
    key: str | None = None
    verbose: bool = False
    repeat: tuple[str, ...] = ()

    def checked(self, prompt: str | None) -> How:
        """What was asked for, if it makes sense with `prompt`; else UsageError."""
        if self.lines and prompt is not None:
            raise UsageError("--lines reads its prompts from standard input: leave out the PROMPT")
        if self.key == "":
            raise UsageError("--turn-key is empty")
        if self.lines and self.key:
            raise UsageError("--turn-key names one turn, and --lines makes many")
        return self


def chat(
    ctx: typer.Context,
    agent: Annotated[
        str | None, typer.Argument(metavar="[AGENT]", show_default=False, help="The agent to talk to.")
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Argument(metavar="[PROMPT]", show_default=False, help="One prompt: answer it and be done."),
    ] = None,
    session: Annotated[
        str | None,
        typer.Option("-s", "--session", metavar="NAME", help="Open the session NAME, or create it."),
    ] = None,
    new: Annotated[bool, typer.Option("--new", help="The session must not exist yet.")] = False,
    resume: Annotated[
        str | None,
        typer.Option("-r", "--resume", metavar="NAME", help="Open the session NAME, which must exist."),
    ] = None,
    pick: Annotated[bool, typer.Option("--pick", help="Choose a session from a list.")] = False,
    latest: Annotated[
        bool, typer.Option("-c", "--continue", help="Open the session that was used last.")
    ] = False,
    no_save: Annotated[bool, typer.Option("--no-save", help="Keep nothing of this conversation.")] = False,
    lines: LinesOption = False,
    as_json: JsonOption = False,
    output_format: FormatOption = "",
    turn_key: TurnKeyOption = None,
    wait: WaitOption = None,
    timeout: TimeoutOption = None,
    verbose: VerboseOption = False,
    store: StoreOption = "",
    agents_dirs: AgentsOption = None,
) -> None:
    """Talk to an agent.

    With a PROMPT, or a prompt on standard input, one turn is answered and the command ends; in a
    terminal without one, a conversation begins. The agent's session is kept: come back to it by name.
    """
    app: App = ctx.obj
    repeat = repeated(store, agents_dirs)
    form = form_of(output_format, as_json=as_json)
    how = How(lines, form, turn_key, verbose, repeat).checked(prompt)
    ways = [
        flag
        for flag, on in (
            ("-s", session is not None),
            ("-r", resume is not None),
            ("--pick", pick),
            ("-c", latest),
        )
        if on
    ]
    if len(ways) > 1:
        raise UsageError(f"{' and '.join(ways)} do not go together: each names a session")
    if new and ways not in ([], ["-s"]):
        raise UsageError(f"--new and {ways[0]} do not go together")
    if no_save and ways not in ([], ["-s"]):
        raise UsageError(f"--no-save and {ways[0]} do not go together: there is nothing to come back to")
    if turn_key and not ways:
        raise UsageError("--turn-key needs a session to look in", hint="name one: -s NAME")
    settings = load_settings("memory:" if no_save else store, agents_dirs, wait=wait, timeout=timeout)
    with opened(settings) as where_kept:
        if latest:
            where = last_used(where_kept, agent, prompt)
        elif pick:
            where = picked(app, where_kept, agent)
        elif resume is not None:
            where = resumed(where_kept, agent, resume)
        elif not (agent := agent or settings.agent):
            raise UsageError("which agent?", hint="flue chat AGENT; see: flue agents list")
        elif session is not None:
            where = Where(agent_name(agent), session_name(session), "new" if new else "any")
        else:
            where = generated(where_kept, agent_name(agent))
        converse(app, settings, where_kept, where, prompt, how)


def converse(app: App, settings: Settings, store: Store, where: Where, prompt: str | None, how: How) -> None:
    """Answer one prompt, a prompt for every line, or talk in the terminal, as the options say."""
    # Agents do make garbage: from here on it is looked for, but not among what start-up left.
    gc.freeze()
    gc.enable()
    source = agents.find(settings, where.agent)
    if prompt is None and not how.lines and stdin.is_terminal():
        _talk(app, settings, store, where, source, how)
        return
    app.output.keep_from_agents()
    source_of_prompts = stdin.keep_from_agents()
    agent = _load(app, source, how)
    with closing(Runner(store, Log(settings.log_file))) as runner:
        if how.lines:
            for line in stdin.read_lines(source_of_prompts):
                where = _one_turn(app, settings, runner, agent, where, line, how)
            return
        text = stdin.read_prompt(prompt, source_of_prompts, app.output)
        _one_turn(app, settings, runner, agent, where, text, how)
    if where.expect == "new" and app.output.remarks_on_terminal:
        app.output.note(f"session: {where.name}")


def _talk(app: App, settings: Settings, store: Store, where: Where, source: AgentSource, how: How) -> None:
    if not app.output.is_terminal:
        raise UsageError("standard output is not a terminal", hint="give a PROMPT, or pipe one in")
    if how.form != "text" or how.key:
        option = (
            "--turn-key" if how.key else "--json" if how.form == "json" else f"--output-format {how.form}"
        )
        raise UsageError(f"{option} needs a PROMPT, or one on standard input")
    from flue_cli.repl import chat as repl_chat
    from flue_cli.repl.conversation import Conversation, Manners
    from flue_cli.repl.terminal import quiet_keyboard

    if where.expect == "new" and store.head(where.agent, where.name).uid != ABSENT:
        raise SessionExists(f"session '{where.name}' exists already", hint="resume it with -r")
    keeps = store.url != "memory:"
    manners = Manners(settings.wait, settings.timeout, keeps, how.verbose, how.repeat, settings.drafts)
    remark = f"using {_short(source.path)}" if agents.shadowed_sample(source) else ""
    history = settings.input_history(source.name) if keeps else ""
    app.output.keep_from_agents()
    with quiet_keyboard():  # what is typed while a slow agent loads is the first prompt
        agent = _load(app, source, how)
    with closing(Runner(store, Log(settings.log_file))) as runner:
        conversation = Conversation(runner, agent, where.name, where.expect, manners, remark)
        repl_chat(conversation, app.output, app.signals.cancelling, history_file=history, style=settings.chat)


def _one_turn(
    app: App, settings: Settings, runner: Runner, agent: Agent, where: Where, prompt: str, how: How
) -> Where:
    """Run one turn and show it; raises the turn's error after showing what there is."""
    cancellation = Cancellation(wake_by=next(iter(app.signals.installed), 0))
    answer = FORMS[how.form](app.output)

    def begun(found: Begun) -> None:
        say_interrupted(app.output, found)
        answer.begun(found)

    def stuck(turn: Turn) -> None:
        # The agent holds the main thread and will not let go: nothing but this ends the process.
        try:
            _show(app, answer, turn, how)
            if turn.error:
                app.output.error(turn.error)
        finally:
            os._exit(turn.error.exit_code if turn.error else 70)

    ask = Ask(where.agent, where.name, prompt, key=how.key, expect=where.expect, wait=settings.wait)
    with app.signals.cancelling(cancellation):
        turn = runner.run(
            agent,
            ask,
            Listener(waiting=Waiting(app.output), begun=begun, piece=answer.piece, stuck=stuck),
            cancellation=cancellation,
            timeout=settings.timeout,
        )
    _show(app, answer, turn, how)
    if turn.error:
        raise turn.error
    if how.lines:
        cancellation.check()  # a signal that came while the turn was being saved
    return where._replace(expect="existing")


def _show(app: App, answer: Answer, turn: Turn, how: How) -> None:
    answer.end(turn)
    if len(turn.data) > WARN_BYTES and not turn.error:
        app.output.note(
            f"warning: the session's data has grown to {len(turn.data) / 2**20:.1f} MiB; every turn reads it"
        )
    if how.verbose and isinstance(turn.error, AgentError) and turn.error.traceback:
        app.output.note(turn.error.traceback.rstrip("\n"))


def _load(app: App, source: AgentSource, how: How) -> Agent:
    try:
        return agents.load(source)
    except AgentError as error:
        if how.verbose and error.traceback:
            app.output.note(error.traceback.rstrip("\n"))
        raise


def _short(path: str) -> str:
    """A path as a person would name it from here."""
    below = os.path.relpath(path)
    return path if below.startswith("..") else os.path.join(".", below)
