"""Asking for the next prompt: the input line, its history and its suggestions."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, InMemoryHistory
from prompt_toolkit.output import create_output

from flue_cli.cancellation import Stoppable
from flue_cli.errors import Stop, TurnCancelled
from flue_cli.files import make_private_folder
from flue_cli.render.output import Output
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.keys import Interrupts, bindings
from flue_cli.repl.slash import COMMANDS
from flue_cli.repl.terminal import terminal_is_gone
from flue_cli.settings import ChatStyle


def prompts(
    conversation: Conversation,
    output: Output,
    history_file: str,
    cancelling: Callable[[Stoppable], AbstractContextManager[None]],
    *,
    before: Callable[[], str],
    style: ChatStyle,
) -> Iterator[str]:
    """What the person enters, one prompt after another, until Ctrl-D on an empty line.

    `before` is called ahead of each, and gives what stands in the line already. Raises Stop at a
    second Ctrl-C on an empty line, or a signal.
    """
    interrupts = Interrupts(output)
    history = _PrivateHistory(history_file) if history_file else InMemoryHistory()
    said = False
    with output.terminal_file() as screen:
        session: PromptSession[str] = PromptSession(
            message="> ",
            prompt_continuation="  ",
            multiline=True,
            history=history,
            auto_suggest=AutoSuggestFromHistory(),
            completer=_SlashCompleter(),
            complete_while_typing=False,
            enable_suspend=True,
            vi_mode=style.vi,
            key_bindings=bindings(interrupts),
            output=create_output(screen),
        )
        while True:
            draft = before()
            try:
                leaving = _Leaving(session.app)
                with cancelling(leaving):
                    text = session.prompt(default=draft)
                if leaving.signum:  # it came as the prompt was being sent
                    raise Stop(leaving.signum)
            except (EOFError, OSError) as error:
                if terminal_is_gone():
                    raise Stop(signal.SIGHUP) from None
                if isinstance(error, OSError):
                    raise
                return
            interrupts.disarm()
            if isinstance(history, _PrivateHistory) and history.problem and not said:
                said = True
                output.note(f"note: the input history is not kept: {history.problem}")
            if text.strip():
                yield text


class _Leaving:
    """Ends the prompt when a signal asks: an exception from the handler could get lost in its event loop."""

    def __init__(self, app: Application[str]) -> None:
        self._app = app
        self.signum = 0

    def request(self, why: TurnCancelled) -> None:
        """Have the prompt end with Stop."""
        self.signum = why.signum
        loop = self._app.loop
        if loop is None or not self._app.is_running:
            raise Stop(why.signum)
        loop.call_soon_threadsafe(self._leave, why.signum)

    def _leave(self, signum: int) -> None:
        if self._app.is_running and not self._app.is_done:
            self._app.exit(exception=Stop(signum))


class _SlashCompleter(Completer):
    """Completes the name of a slash command."""

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        typed = document.text_before_cursor
        if typed.startswith("/") and " " not in typed:
            for name in COMMANDS:
                if name.startswith(typed):
                    yield Completion(name, start_position=-len(typed))


class _PrivateHistory(FileHistory):
    """What was typed, in a file for its owner's eyes; a file that cannot be written costs only that."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self._path = path
        self.problem = ""

    def store_string(self, string: str) -> None:
        """Append to the file, made private first: FileHistory's own would be readable for everybody."""
        try:
            make_private_folder(os.path.dirname(self._path))
            os.close(os.open(self._path, os.O_CREAT | os.O_APPEND | os.O_WRONLY, 0o600))
            super().store_string(string)
        except (OSError, UnicodeEncodeError) as error:
            self.problem = str(error)

    def load_history_strings(self) -> Iterable[str]:
        """The newest first; nothing if the file cannot be read."""
        try:
            return list(super().load_history_strings())
        except OSError:
            return []
