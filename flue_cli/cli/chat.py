"""`flue chat`: one turn, a turn for every line, or a conversation in the terminal."""

# Annotations are not left as text (`from __future__`), which Typer would compile again, one by one.

import gc
import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
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
    log_of,
    opened,
    repeated,
)
from flue_cli.cli.which import Named, Where, chosen
from flue_cli.errors import AgentError, SessionExists, UsageError
from flue_cli.render.remarks import Waiting, say_interrupted, show_traceback
from flue_cli.settings import Settings
from flue_cli.stores.records import ABSENT, Ask, Begun
from flue_cli.strict_json import WARN_BYTES
from flue_cli.text import size
from flue_cli.turn import Listener, Runner, Turn

if TYPE_CHECKING:
    from flue_cli.repl.loading import Loaded
    from flue_cli.stores.contract import Store


_WATCH_TALKS = "--watch is for a conversation in the terminal"


class How(NamedTuple):
    """How turns are to be asked for and shown.

    `form` is one of FORMS, `repeat` are the options that a resume must give again. `watch`: a conversation
    takes the agent's file anew when it changes.
    """

    lines: bool = False
    form: str = "text"
    key: str | None = None
    verbose: bool = False
    repeat: tuple[str, ...] = ()
    watch: bool = False

    def checked(self, prompt: str | None) -> "How":
        """What was asked for, if it makes sense with `prompt`; else UsageError."""
        if self.lines and prompt is not None:
            raise UsageError("--lines reads its prompts from standard input: leave out the PROMPT")
        if self.key == "":
            raise UsageError("--turn-key is empty")
        if self.lines and self.key:
            raise UsageError("--turn-key names one turn, and --lines makes many")
        if self.watch and (self.lines or prompt is not None):
            raise UsageError(_WATCH_TALKS)
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
    watch: Annotated[
        bool, typer.Option("--watch", help="In a conversation, load the agent again when its file changes.")
    ] = False,
    no_toolbar: Annotated[
        bool, typer.Option("--no-toolbar", help="In a conversation, show no toolbar at the bottom.")
    ] = False,
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
    how = How(lines, form, turn_key, verbose, repeat, watch).checked(prompt)
    named = Named(session, resume, pick, latest, new).checked(keeps=not no_save, key=turn_key)
    settings = load_settings("memory:" if no_save else store, agents_dirs, wait=wait, timeout=timeout)
    style = settings.chat
    settings = settings._replace(chat=style._replace(toolbar=style.toolbar and not no_toolbar))
    with opened(settings) as where_kept:
        where = chosen(app, where_kept, settings, agent, prompt, named)
        converse(app, settings, where_kept, where, prompt, how)


def converse(
    app: App, settings: Settings, store: "Store", where: Where, prompt: str | None, how: How
) -> None:
    """Answer one prompt, a prompt for every line, or talk in the terminal, as the options say."""
    # Agents do make garbage: from here on it is looked for, but not among what start-up left.
    gc.freeze()
    gc.enable()
    source = agents.find(settings, where.agent)
    if prompt is None and not how.lines and stdin.is_terminal():
        _talk(app, settings, store, where, source, how)
        return
    if how.watch:
        raise UsageError(_WATCH_TALKS)
    app.output.keep_from_agents()
    source_of_prompts = stdin.keep_from_agents()
    with _traceback_shown(app, how):
        agent = agents.load(source)
    with closing(Runner(store, log_of(settings, store))) as runner:
        if how.lines:
            for line in stdin.read_lines(source_of_prompts):
                where = _one_turn(app, settings, runner, agent, where, line, how)
            return
        text = stdin.read_prompt(prompt, source_of_prompts, app.output)
        _one_turn(app, settings, runner, agent, where, text, how)
    if where.expect == "new" and app.output.remarks_on_terminal:
        app.output.note(f"session: {where.name}")


def _talk(app: App, settings: Settings, store: "Store", where: Where, source: AgentSource, how: How) -> None:
    _check_conversation(app, how)
    from flue_cli.repl import chat as repl_chat
    from flue_cli.repl.conversation import Conversation
    from flue_cli.repl.loading import Agents
    from flue_cli.repl.manners import Manners
    from flue_cli.repl.terminal import quiet_keyboard

    if where.expect == "new" and store.head(where.agent, where.name).uid != ABSENT:
        raise SessionExists(f"session '{where.name}' exists already", hint="resume it with -r")
    keeps = not store.is_ephemeral
    manners = Manners(settings.wait, settings.timeout, keeps, how.verbose, how.repeat, settings.drafts)
    reach = Agents(
        lambda name: _loaded(agents.find(settings, name)), lambda: agents.found(settings), watches=how.watch
    )
    app.output.keep_from_agents()
    with quiet_keyboard(), _traceback_shown(app, how):  # what is typed meanwhile is the first prompt
        agent = _loaded(source)
    with closing(Runner(store, log_of(settings, store))) as runner:
        conversation = Conversation(runner, agent, where.name, where.expect, manners, reach)
        repl_chat(
            conversation,
            app.output,
            app.signals.cancelling,
            history_of=settings.input_history if keeps else lambda agent: "",
            style=settings.chat,
        )


def _check_conversation(app: App, how: How) -> None:
    """UsageError unless one can talk here, with these options."""
    if not app.output.is_terminal:
        raise UsageError("standard output is not a terminal", hint="give a PROMPT, or pipe one in")
    if how.form != "text" or how.key:
        option = (
            "--turn-key" if how.key else "--json" if how.form == "json" else f"--output-format {how.form}"
        )
        raise UsageError(f"{option} needs a PROMPT, or one on standard input")


def _loaded(source: AgentSource) -> "Loaded":
    """The agent for a conversation, with what there is to say of it."""
    from flue_cli.repl.loading import loaded

    remark = f"using {_short(source.path)}" if agents.shadowed_sample(source) else ""
    return loaded(source)._replace(remark=remark)


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
            f"warning: the session's data has grown to {size(len(turn.data))}; every turn reads it"
        )
    show_traceback(turn.error, app.output, verbose=how.verbose)


@contextmanager
def _traceback_shown(app: App, how: How) -> Iterator[None]:
    """With --verbose, an agent's error while it is loaded comes with its traceback."""
    try:
        yield
    except AgentError as error:
        show_traceback(error, app.output, verbose=how.verbose)
        raise


def _short(path: str) -> str:
    """A path as a person would name it from here."""
    below = os.path.relpath(path)
    return path if below.startswith("..") else os.path.join(".", below)
