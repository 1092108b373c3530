"""The input line: a generator of the lines that the person enters."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TextIO, cast

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app_session
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import merge_key_bindings
from prompt_toolkit.output import create_output
from prompt_toolkit.styles import BaseStyle
from prompt_toolkit.utils import is_dumb_terminal

from flue_cli.errors import UsageError
from flue_cli.render.streams import Output
from flue_cli.repl.chat_input import ChatInput
from flue_cli.repl.completion import ChatCompleter
from flue_cli.repl.completion_menu import is_typing_command, menu_key_bindings, widen_menu
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.exit_signals import run_app
from flue_cli.repl.file_mentions import attach_mentioned_files, describe_attachment
from flue_cli.repl.history import HistoryPath, HistorySuggester, InputHistory
from flue_cli.repl.key_bindings import InterruptKey, chat_key_bindings, set_editing_mode
from flue_cli.repl.keymap import Keystrokes, build_keymap
from flue_cli.repl.paste_folding import PasteFolder, PasteProcessor
from flue_cli.repl.plain_prompt import PlainPrompt
from flue_cli.repl.slash.command_context import is_command, split_command
from flue_cli.repl.theme import PROMPT, theme_style
from flue_cli.repl.toolbar import Toolbar
from flue_cli.settings import ChatStyle
from flue_cli.turns.cancellation import SignalRoute

_COMMANDS_WITH_PROMPT = ("/try",)
"""Commands whose argument is sent as a prompt, with the files that it mentions."""


def read_prompts(
    conversation: Conversation,
    output: Output,
    cancelling: SignalRoute,
    *,
    history_path: HistoryPath,
    prepare_prompt: Callable[[], str],
    style: ChatStyle,
) -> Iterator[str]:
    """Yield the prompts and commands that the person enters, until Ctrl-D on an empty line.

    `prepare_prompt` is called before each and returns the text that the line starts with. Raises UsageError,
    before anything is drawn, for an unknown key or colour in `style`; the generator raises StoppedBySignal
    at a signal, or a second Ctrl-C on an empty line.
    """
    # Not a generator itself: the style is checked here, not at the first `next`.
    line_style = InputLineStyle(style.vi, style.toolbar, build_keymap(style.keys), theme_style(style.theme))
    return _read_lines(conversation, output, cancelling, history_path, prepare_prompt, line_style)


class InputLineStyle(NamedTuple):
    """Appearance and keys of the input line."""

    is_vi: bool
    has_toolbar: bool
    keys: Mapping[Keystrokes, str]
    theme: BaseStyle


class _InputLine(NamedTuple):
    """The input line and its state, which lasts from one prompt to the next."""

    read: Callable[[str], str | None]
    """Read a line that starts with a draft; None at the end of input. Raises StoppedBySignal."""
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
    rejected: str | None = None  # text that was not sent, and stays in the line
    with output.terminal_file() as screen:
        line = _make_input_line(conversation, output, cancelling, line_style, screen)
        while True:
            draft = line.pastes.fold_draft(prepare_prompt())
            if rejected is not None:
                draft = rejected
            agent = conversation.agent.name
            line.history.select_agent(agent, history_path(agent))
            if line.toolbar:
                line.toolbar.refresh()
            text = line.read(draft)
            if text is None:
                return
            line.interrupt_key.disarm()
            if problem := line.history.take_write_problem():
                output.note(f"the input history cannot be saved: {problem}")
            if not text.strip():
                rejected = ""
                continue
            try:
                prompt = _expand_line(text, line.pastes, output)
            except UsageError as error:
                output.error(error)
                rejected = text
                continue
            rejected = None
            yield prompt


def _make_input_line(
    conversation: Conversation,
    output: Output,
    cancelling: SignalRoute,
    line_style: InputLineStyle,
    screen: TextIO,
) -> _InputLine:
    pastes, interrupt_key = PasteFolder(), InterruptKey(output)
    history = InputHistory(pastes)
    if is_dumb_terminal():
        plain = PlainPrompt(cast("ChatInput", get_app_session().input), output, cancelling, history)
        return _InputLine(plain.read_line, pastes, history, None, interrupt_key)
    has_toolbar = line_style.has_toolbar
    toolbar = Toolbar(conversation, line_style.keys, pastes.has_foldings) if has_toolbar else None
    session: PromptSession[str] = PromptSession(
        message=PROMPT,
        prompt_continuation="  ",
        multiline=True,
        history=history,
        auto_suggest=HistorySuggester(history),
        completer=ChatCompleter(conversation),
        complete_while_typing=Condition(is_typing_command),
        enable_suspend=True,
        mouse_support=False,  # so that text can be selected as in other programs
        input_processors=[PasteProcessor(pastes)],
        key_bindings=merge_key_bindings(
            [menu_key_bindings(), chat_key_bindings(interrupt_key, pastes, line_style.keys, output)]
        ),
        bottom_toolbar=toolbar,
        style=line_style.theme,
        output=create_output(screen),
    )
    # Without it, prompt_toolkit warns on terminals that do not report the cursor; they lack only the toolbar.
    session.app.renderer.cpr_not_supported_callback = None
    session.default_buffer.on_text_changed += lambda _: interrupt_key.disarm()
    widen_menu(session)
    set_editing_mode(session.app, vi=line_style.is_vi)

    def read_line(draft: str) -> str | None:
        return run_app(session.app, lambda: session.prompt(default=draft), cancelling)

    return _InputLine(read_line, pastes, history, toolbar, interrupt_key)


def _expand_line(line: str, pastes: PasteFolder, output: Output) -> str:
    """Expand folded pastes and attach mentioned files. Raises UsageError."""
    text = pastes.expand(line)
    if is_command(line) and split_command(line)[0] not in _COMMANDS_WITH_PROMPT:
        return text
    if text.startswith("/") and not line.startswith("/"):
        text = f"/{text}"  # a pasted text is never a command: "//" sends it as a prompt
    text, files = attach_mentioned_files(text, line)
    for file in files:
        output.note(describe_attachment(file))
    return text
