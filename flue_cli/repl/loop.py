"""The chat: a generator of input lines, and a loop that acts on each of them."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from flue_cli.errors import FlueError, StoppedBySignal, TurnCancelled
from flue_cli.render.diff_lines import data_lines
from flue_cli.render.notices import note_begun_turn, turn_time
from flue_cli.render.status_line import StatusLine, ring_terminal_bell
from flue_cli.render.streams import Output
from flue_cli.repl.agent_reload import check_agent_file
from flue_cli.repl.agent_thread import AgentThread
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.failures import show_failure
from flue_cli.repl.reply_view import REPLY_VIEWS, ReplyView
from flue_cli.repl.slash import ChatContext, NextAction, run_line
from flue_cli.repl.terminal import (
    bracketed_paste,
    clear_on_suspend,
    no_input_for_agents,
    restore_terminal,
    silent_keyboard,
)
from flue_cli.repl.welcome import open_conversation, show_missed_changes
from flue_cli.settings import ChatStyle
from flue_cli.stores.records import BegunTurn
from flue_cli.turns.cancellation import Cancellation, SignalRoute
from flue_cli.turns.dry_run import DryRunResult
from flue_cli.turns.runner import Listener, cancellable_pause

if TYPE_CHECKING:  # importing it loads prompt_toolkit
    from flue_cli.repl.history import HistoryPath
    from flue_cli.repl.queued_input import QueuedInput

RECAP_TURNS = 3
"""Number of earlier turns that a resumed chat shows."""

_POLL_SECONDS = 0.1
"""Seconds between two looks at the keyboard while an agent works."""


def run_chat(
    conversation: Conversation,
    output: Output,
    cancelling: SignalRoute,
    *,
    history_path: HistoryPath,
    style: ChatStyle = ChatStyle(),  # noqa: B008 - immutable
    typed_early: bytes = b"",
) -> None:
    """Run the chat until Ctrl-D or /exit; a second Ctrl-C, or a signal, raises StoppedBySignal.

    `history_path` gives the file for an agent's input history; "" stores none. `typed_early` are keys that
    were read from the terminal before.
    """
    from flue_cli.repl.chat_input import open_chat_input
    from flue_cli.repl.input_line import read_prompts
    from flue_cli.repl.queued_input import queue_factory

    action = NextAction()

    def prepare_prompt() -> str:
        _show_changes_by_others(chat)
        return action.draft

    lines = read_prompts(
        conversation,
        output,
        cancelling,
        history_path=history_path,
        prepare_prompt=prepare_prompt,
        style=style,
    )
    output.dim_notices()
    with restore_terminal(), closing(conversation), open_chat_input(typed_early) as keyboard:
        open_queue = queue_factory(keyboard, style.keys)
        chat = _RunningChat(conversation, output, cancelling, AgentThread(), style.bell, open_queue)
        try:
            open_conversation(conversation, output, RECAP_TURNS)
            for line in lines:
                action = _interpret_input(line, chat)
                if action.exits:
                    break
                if action.is_dry_run:
                    _run_dry(action.prompt, chat)
                elif action.prompt:
                    _run_prompt(action.prompt, chat)
        finally:
            _show_resume_command(chat)


class _RunningChat(NamedTuple):
    """The parts of a running chat. A turn of `bell_seconds` or more rings the terminal's bell; 0: never."""

    conversation: Conversation
    output: Output
    cancelling: SignalRoute
    agent_thread: AgentThread
    bell_seconds: float
    open_queue: Callable[[Cancellation], QueuedInput]


class _RunningAgent(NamedTuple):
    """An agent at work, and how it is shown."""

    cancellation: Cancellation
    status_line: StatusLine
    view: ReplyView
    queue: QueuedInput

    def tick(self) -> float:
        """Take what is typed, and draw; returns the seconds until the next call."""
        self.queue.poll()
        return min(self.status_line.tick(), _POLL_SECONDS)


def _show_changes_by_others(chat: _RunningChat) -> None:
    """Show the turns that others added since the last prompt, and check the agent's file for changes."""
    conversation, output, cancellation = chat.conversation, chat.output, Cancellation()
    try:
        with _own_terminal(chat, cancellation):
            missed = conversation.missed_changes()
            if missed.turns or missed.undone:
                output.write_raw("\n")
            show_missed_changes(missed, conversation, output)
            check_agent_file(conversation, output, cancellation)
    except FlueError as error:
        output.error(error)


def _interpret_input(line: str, chat: _RunningChat) -> NextAction:
    """Run the slash command in `line`, if it is one, and give the next action."""
    conversation, output, cancellation = chat.conversation, chat.output, Cancellation()
    status_line = StatusLine(output, cancellation, conversation.options.wait)
    pause = cancellable_pause(cancellation, status_line.waiting)
    with _own_terminal(chat, cancellation), status_line.shown_while():
        return run_line(line, ChatContext(conversation, output, pause, cancellation, chat.cancelling))


def _run_prompt(prompt: str, chat: _RunningChat) -> None:
    """Run one turn in the agent's thread and show it; errors are shown, and the chat continues."""
    conversation, output = chat.conversation, chat.output
    with _agent_running(chat) as running:

        def begun(turn: BegunTurn) -> None:
            running.status_line.begun()
            note_begun_turn(output, turn)
            missed = conversation.missed_changes_before(turn)
            show_missed_changes(missed, conversation, output)
            if missed.turns:
                output.write_raw("\n")  # the reply is to the prompt above them

        listener = Listener(on_wait=running.status_line.waiting, on_begin=begun, on_piece=running.view.piece)
        turn = chat.agent_thread.run(
            lambda on_stuck: conversation.run_turn(
                prompt, listener._replace(on_stuck=on_stuck), running.cancellation
            ),
            running.tick,
        )
        running.queue.hand_over(is_completed=turn.error is None)
        running.view.end(turn.reply, conversation.tool_messages(turn))
        if turn.error:
            show_failure(turn.error, conversation, output)
        if conversation.shows_times:
            output.note(turn_time(turn.turn, running.status_line.seconds, has_unicode=output.has_unicode))


def _run_dry(prompt: str, chat: _RunningChat) -> None:
    """Run the agent on a prompt as a dry run and show its reply and data changes."""
    conversation, output = chat.conversation, chat.output
    with _agent_running(chat) as running:
        dry_run: DryRunResult = chat.agent_thread.run(
            lambda on_stuck: conversation.dry_run(prompt, running.view.piece, on_stuck, running.cancellation),
            running.tick,
        )
        running.queue.hand_over(is_completed=dry_run.error is None)
        result = dry_run.result
        running.view.end(result.reply if result else None, result.messages if result else ())
        if dry_run.error:
            show_failure(dry_run.error, conversation, output)
            return
        for line in data_lines(dry_run.data_changes()):
            output.note(str(line).rstrip("\n"))
        output.note("dry run: nothing was saved")


@contextmanager
def _agent_running(chat: _RunningChat) -> Iterator[_RunningAgent]:
    """Context of a running agent: status line, Ctrl-C cancels, the terminal's bell after a long turn.

    What is typed meanwhile is shown, and is handed to the next prompt.
    """
    conversation, output, cancellation = chat.conversation, chat.output, Cancellation()
    status_line = StatusLine(output, cancellation, conversation.options.wait)
    with _own_terminal(chat, cancellation):
        check_agent_file(conversation, output, cancellation)
        view = REPLY_VIEWS[conversation.reply_format](output, status_line)
        queue = chat.open_queue(cancellation)
        status_line.queued_lines = queue.lines
        try:
            with no_input_for_agents(), status_line.shown_while(), clear_on_suspend(output):
                yield _RunningAgent(cancellation, status_line, view, queue)
        except FlueError as error:
            queue.hand_over(is_completed=False)
            output.error(error)
    if 0 < chat.bell_seconds <= status_line.seconds and not isinstance(cancellation.reason, TurnCancelled):
        ring_terminal_bell(output)


@contextmanager
def _own_terminal(chat: _RunningChat, cancellation: Cancellation) -> Iterator[None]:
    """Context that owns the terminal and its signals: Ctrl-C ends a turn, TERM and HUP end the chat."""
    try:
        with silent_keyboard(), bracketed_paste(chat.output), chat.cancelling(cancellation):
            yield
    finally:
        for reason in cancellation.reasons:
            if isinstance(reason, TurnCancelled) and reason.signum != signal.SIGINT:
                raise StoppedBySignal(reason.signum)


def _show_resume_command(chat: _RunningChat) -> None:
    command = chat.conversation.resume_command()
    if command:
        chat.output.note(f"resume with: {command}")
