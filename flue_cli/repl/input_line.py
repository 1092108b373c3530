"""Asking for the next prompt: the input line, and what becomes of what is entered there."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TextIO

from prompt_toolkit import PromptSession
from prompt_toolkit.output import create_output
from prompt_toolkit.styles import BaseStyle
from prompt_toolkit.utils import is_dumb_terminal

from flue_cli.errors import UsageError
from flue_cli.render.streams import Output
from flue_cli.repl.completion import ChatCompleter
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.exit_signals import until_left
from flue_cli.repl.file_mentions import said, with_files
from flue_cli.repl.history import Earlier, HistoryFiles, Typed
from flue_cli.repl.key_bindings import Interrupts, bindings, edit_as
from flue_cli.repl.keymap import Keystrokes, keymap
from flue_cli.repl.paste_folding import Pastes, Visible
from flue_cli.repl.slash.command_context import is_command, parts
from flue_cli.repl.theme import style_of
from flue_cli.repl.toolbar import Toolbar
from flue_cli.settings import ChatStyle
from flue_cli.turns.cancellation import Cancelling

_ATTACHING = ("/try",)
"""Commands whose argument is sent as a prompt, with the files that it names."""


def prompts(
    conversation: Conversation,
    output: Output,
    cancelling: Cancelling,
    *,
    history_of: HistoryFiles,
    before: Callable[[], str],
    style: ChatStyle,
) -> Iterator[str]:
    """What the person enters, one prompt after another, until Ctrl-D on an empty line.

    `before` is called ahead of each, and gives what stands in the line already. UsageError, before anything
    is drawn, for a key or a colour in `style` that there is not. Raises StoppedBySignal, later, at a second
    Ctrl-C on an empty line, or a signal.
    """
    look = _Look(style.vi, style.toolbar, keymap(style.keys), style_of(style.theme))
    return _asked(conversation, output, cancelling, history_of, before, look)


class _Look(NamedTuple):
    """How the line looks and listens."""

    vi: bool
    toolbar: bool
    keys: Mapping[Keystrokes, str]
    style: BaseStyle


class _Line(NamedTuple):
    """The input line, and what it remembers from one prompt to the next."""

    session: PromptSession[str]
    pastes: Pastes
    history: Typed
    toolbar: Toolbar | None
    interrupts: Interrupts


def _asked(
    conversation: Conversation,
    output: Output,
    cancelling: Cancelling,
    history_of: HistoryFiles,
    before: Callable[[], str],
    look: _Look,
) -> Iterator[str]:
    left: str | None = None  # what stays in the line; None: what `before` says
    with output.terminal_file() as screen:
        line = _line(conversation, output, look, screen)
        while True:
            draft = line.pastes.draft(before())
            agent = conversation.agent.name
            line.history.turn_to(agent, history_of(agent))
            if line.toolbar:
                line.toolbar.look()
            text = _entered(line.session, draft if left is None else left, cancelling)
            if text is None:
                return
            line.interrupts.disarm()
            if problem := line.history.new_problem():
                output.note(f"note: the input history is not kept: {problem}")
            if not text.strip():
                left = ""
                continue
            try:
                prompt = _whole(text, line.pastes, output)
            except UsageError as error:
                output.error(error)
                left = text
                continue
            yield prompt
            left = None


def _line(conversation: Conversation, output: Output, look: _Look, screen: TextIO) -> _Line:
    pastes, interrupts = Pastes(), Interrupts(output)
    history = Typed(pastes)
    shows_toolbar = look.toolbar and not is_dumb_terminal()
    toolbar = Toolbar(conversation, look.keys, pastes.folds) if shows_toolbar else None
    session: PromptSession[str] = PromptSession(
        message="> ",
        prompt_continuation="  ",
        multiline=True,
        history=history,
        auto_suggest=Earlier(history),
        completer=ChatCompleter(conversation),
        complete_while_typing=False,
        enable_suspend=True,
        mouse_support=False,  # or text could not be marked as everywhere else
        input_processors=[Visible(pastes)],
        key_bindings=bindings(interrupts, pastes, look.keys, output),
        bottom_toolbar=toolbar,
        style=look.style,
        output=create_output(screen),
    )
    session.app.renderer.cpr_not_supported_callback = None  # there is no toolbar then, and all is well
    session.default_buffer.on_text_changed += lambda _: interrupts.disarm()  # who types will stay
    edit_as(session.app, vi=look.vi)
    return _Line(session, pastes, history, toolbar, interrupts)


def _entered(session: PromptSession[str], draft: str, cancelling: Cancelling) -> str | None:
    """The line that the person enters, after `draft`; None at its end. Raises StoppedBySignal."""
    return until_left(session.app, lambda: session.prompt(default=draft), cancelling)


def _whole(line: str, pastes: Pastes, output: Output) -> str:
    """What is sent for a line: with what was pasted, and the files that it names. UsageError for these."""
    text = pastes.whole(line)
    if is_command(line) and parts(line)[0] not in _ATTACHING:
        return text
    if text.startswith("/") and not line.startswith("/"):
        text = f"/{text}"  # what was pasted is no command, and keeps its slashes
    text, files = with_files(text, line)
    for file in files:
        output.note(said(file))
    return text
