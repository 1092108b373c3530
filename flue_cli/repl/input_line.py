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
from flue_cli.repl.exit_signals import run_app
from flue_cli.repl.file_mentions import attach_mentioned_files, describe_attachment
from flue_cli.repl.history import HistoryPath, HistorySuggester, InputHistory
from flue_cli.repl.key_bindings import InterruptKey, chat_key_bindings, set_editing_mode
from flue_cli.repl.keymap import Keystrokes, build_keymap
from flue_cli.repl.paste_folding import PasteFolder, PasteProcessor
from flue_cli.repl.slash.command_context import is_command, split_command
from flue_cli.repl.theme import theme_style
from flue_cli.repl.toolbar import Toolbar
from flue_cli.settings import ChatStyle
from flue_cli.turns.cancellation import SignalRoute

_COMMANDS_WITH_PROMPT = ("/try",)
"""Commands whose argument is sent as a prompt, with the files that it names."""


def read_prompts(
    conversation: Conversation,
    output: Output,
    cancelling: SignalRoute,
    *,
    history_path: HistoryPath,
    prepare_prompt: Callable[[], str],
    style: ChatStyle,
) -> Iterator[str]:
    """Yield the prompts that the person enters, until Ctrl-D on an empty line.

    `before` is called ahead of each, and gives what stands in the line already. UsageError, before anything
    is drawn, for a key or a colour in `style` that there is not. Raises StoppedBySignal, later, at a second
    Ctrl-C on an empty line, or a signal.
    """
    look = InputLineStyle(style.vi, style.toolbar, build_keymap(style.keys), theme_style(style.theme))
    return _read_lines(conversation, output, cancelling, history_path, prepare_prompt, look)


class InputLineStyle(NamedTuple):
    """Appearance and keys of the input line."""

    is_vi: bool
    has_toolbar: bool
    keys: Mapping[Keystrokes, str]
    theme: BaseStyle


class _InputLine(NamedTuple):
    """The input line, and what it remembers from one prompt to the next."""

    session: PromptSession[str]
    pastes: PasteFolder
    history: InputHistory
    toolbar: Toolbar | None
    interrupt_key: InterruptKey


def _read_lines(
    conversation: Conversation,
    output: Output,
    cancelling: SignalRoute,
    history_path: HistoryPath,
    prepare_prompt: Callable[[], str],
    line_style: InputLineStyle,
) -> Iterator[str]:
    left: str | None = None  # what stays in the line; None: what `before` says
    with output.terminal_file() as screen:
        line = _make_input_line(conversation, output, line_style, screen)
        while True:
            draft = line.pastes.fold_draft(prepare_prompt())
            agent = conversation.agent.name
            line.history.select_agent(agent, history_path(agent))
            if line.toolbar:
                line.toolbar.refresh()
            text = _read_line(line.session, draft if left is None else left, cancelling)
            if text is None:
                return
            line.interrupt_key.disarm()
            if problem := line.history.take_write_problem():
                output.note(f"note: the input history is not kept: {problem}")
            if not text.strip():
                left = ""
                continue
            try:
                prompt = _expand_line(text, line.pastes, output)
            except UsageError as error:
                output.error(error)
                left = text
                continue
            yield prompt
            left = None


def _make_input_line(
    conversation: Conversation, output: Output, line_style: InputLineStyle, screen: TextIO
) -> _InputLine:
    pastes, interrupts = PasteFolder(), InterruptKey(output)
    history = InputHistory(pastes)
    shows_toolbar = line_style.has_toolbar and not is_dumb_terminal()
    toolbar = Toolbar(conversation, line_style.keys, pastes.has_foldings) if shows_toolbar else None
    session: PromptSession[str] = PromptSession(
        message="> ",
        prompt_continuation="  ",
        multiline=True,
        history=history,
        auto_suggest=HistorySuggester(history),
        completer=ChatCompleter(conversation),
        complete_while_typing=False,
        enable_suspend=True,
        mouse_support=False,  # or text could not be marked as everywhere else
        input_processors=[PasteProcessor(pastes)],
        key_bindings=chat_key_bindings(interrupts, pastes, line_style.keys, output),
        bottom_toolbar=toolbar,
        style=line_style.theme,
        output=create_output(screen),
    )
    session.app.renderer.cpr_not_supported_callback = None  # there is no toolbar then, and all is well
    session.default_buffer.on_text_changed += lambda _: interrupts.disarm()  # who types will stay
    set_editing_mode(session.app, vi=line_style.is_vi)
    return _InputLine(session, pastes, history, toolbar, interrupts)


def _read_line(session: PromptSession[str], draft: str, cancelling: SignalRoute) -> str | None:
    """The line that the person enters, after `draft`; None at its end. Raises StoppedBySignal."""
    return run_app(session.app, lambda: session.prompt(default=draft), cancelling)


def _expand_line(line: str, pastes: PasteFolder, output: Output) -> str:
    """Give the prompt of a line: folded pastes expanded, mentioned files attached. Raises UsageError."""
    text = pastes.expand(line)
    if is_command(line) and split_command(line)[0] not in _COMMANDS_WITH_PROMPT:
        return text
    if text.startswith("/") and not line.startswith("/"):
        text = f"/{text}"  # what was pasted is no command, and keeps its slashes
    text, files = attach_mentioned_files(text, line)
    for file in files:
        output.note(describe_attachment(file))
    return text
