"""Asking for the next prompt: the input line, its history and its suggestions."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator

from prompt_toolkit import PromptSession
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.output import create_output

from flue_cli.render.output import Output
from flue_cli.repl.keys import Interrupts, bindings
from flue_cli.repl.slash import COMMANDS


def prompts(output: Output, history_file: str, *, before: Callable[[], None]) -> Iterator[str]:
    """What the person enters, one prompt after another, until Ctrl-D on an empty line.

    `before` is called ahead of each. Raises Stop at a second Ctrl-C on an empty line.
    """
    interrupts = Interrupts(output)
    with output.terminal_file() as screen:
        session: PromptSession[str] = PromptSession(
            message="> ",
            prompt_continuation="  ",
            multiline=True,
            history=_history(history_file),
            auto_suggest=AutoSuggestFromHistory(),
            completer=_SlashCompleter(),
            complete_while_typing=False,
            enable_open_in_editor=True,
            enable_suspend=True,
            key_bindings=bindings(interrupts),
            output=create_output(screen),
        )
        while True:
            before()
            try:
                text = session.prompt()
            except EOFError:
                return
            interrupts.disarm()
            if text.strip():
                yield text


class _SlashCompleter(Completer):
    """Completes the name of a slash command."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        typed = document.text_before_cursor
        if typed.startswith("/") and " " not in typed:
            for name in COMMANDS:
                if name.startswith(typed):
                    yield Completion(name, start_position=-len(typed))


def _history(path: str) -> History:
    if not path:
        return InMemoryHistory()
    os.makedirs(os.path.dirname(path), 0o700, exist_ok=True)
    # Made here, because FileHistory would make it readable for everybody.
    os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
    return FileHistory(path)
