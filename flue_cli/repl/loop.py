"""The loop of the chat: a generator of prompts, and what is done about each."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from flue_cli.errors import FlueError, StoppedBySignal, TurnCancelled
from flue_cli.render.diff_lines import data_lines
from flue_cli.render.notices import note_begun_turn, show_failure
from flue_cli.render.status_line import StatusLine, ring_terminal_bell
from flue_cli.render.streams import Output
from flue_cli.repl.agent_reload import check_agent_file
from flue_cli.repl.agent_thread import AgentThread
from flue_cli.repl.conversation import Conversation
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

if TYPE_CHECKING:  # it costs prompt_toolkit
    from flue_cli.repl.history import HistoryPath

RECAP_TURNS = 3
"""Number of earlier turns that a resumed chat shows."""


def run_chat(
    conversation: Conversation,
    output: Output,
    cancelling: SignalRoute,
    *,
    history_path: HistoryPath,
    style: ChatStyle = ChatStyle(),  # noqa: B008 - immutable
) -> None:
    """Talk until the person leaves: returns on Ctrl-D or /exit, raises StoppedBySignal on a second Ctrl-C.

    `history_of` gives the file that keeps what was typed to an agent; "" keeps it nowhere.
    """
    from flue_cli.repl.input_line import read_prompts

    talk = _ChatLoop(conversation, output, cancelling, AgentThread(), style.bell)
    then = NextAction()

    def before() -> str:
        _show_changes_by_others(talk)
        return then.draft

    lines = read_prompts(
        conversation, output, cancelling, history_path=history_path, prepare_prompt=before, style=style
    )
    with restore_terminal(), closing(conversation):
        try:
            open_conversation(conversation, output, RECAP_TURNS)
            for line in lines:
                then = _interpret_input(line, talk)
                if then.exits:
                    break
                if then.is_dry_run:
                    _run_dry(then.prompt, talk)
                elif then.prompt:
                    _run_prompt(then.prompt, talk)
        finally:
            _show_resume_command(talk)


class _ChatLoop(NamedTuple):
    """The parts of a running chat. A turn longer than `bell_seconds` rings the terminal's bell; 0: never."""

    conversation: Conversation
    output: Output
    cancelling: SignalRoute
    agent_thread: AgentThread
    bell_seconds: float


def _show_changes_by_others(talk: _ChatLoop) -> None:
    """Show the turns that others added since the last prompt, and check the agent's file for changes."""
    conversation, output, cancellation = talk.conversation, talk.output, Cancellation()
    try:
        with _own_terminal(talk, cancellation):
            show_missed_changes(conversation.missed_changes(), conversation, output)
            check_agent_file(conversation, output, cancellation)
    except FlueError as error:
        output.error(error)


def _interpret_input(line: str, talk: _ChatLoop) -> NextAction:
    """Run a line's slash command, if it is one, and give the next action."""
    conversation, output, cancellation = talk.conversation, talk.output, Cancellation()
    working = StatusLine(output, cancellation, conversation.options.wait)
    pause = cancellable_pause(cancellation, working.waiting)
    with _own_terminal(talk, cancellation), working.shown_while():
        return run_line(line, ChatContext(conversation, output, pause, cancellation, talk.cancelling))


def _run_prompt(prompt: str, talk: _ChatLoop) -> None:
    """Run one turn in the worker's thread and show it; the chat goes on whatever becomes of it."""
    conversation, output = talk.conversation, talk.output
    with _agent_running(talk) as (cancellation, working, shown):

        def begun(found: BegunTurn) -> None:
            working.begun()
            note_begun_turn(output, found)
            show_missed_changes(conversation.missed_changes_before(found), conversation, output)

        listener = Listener(on_wait=working.waiting, on_begin=begun, on_piece=shown.piece)
        turn = talk.agent_thread.run(
            lambda stuck: conversation.run_turn(prompt, listener._replace(on_stuck=stuck), cancellation),
            working.tick,
        )
        shown.end(turn.reply)
        if turn.error:
            show_failure(turn.error, output, verbose=conversation.options.verbose)


def _run_dry(prompt: str, talk: _ChatLoop) -> None:
    """Run the agent on a prompt as a dry run and show its reply and data changes."""
    conversation, output = talk.conversation, talk.output
    with _agent_running(talk) as (cancellation, working, shown):
        done: DryRunResult = talk.agent_thread.run(
            lambda stuck: conversation.dry_run(prompt, shown.piece, stuck, cancellation), working.tick
        )
        shown.end(done.result.reply if done.result else None)
        if done.error:
            show_failure(done.error, output, verbose=conversation.options.verbose)
            return
        for line in data_lines(done.data_changes()):
            output.note(str(line).rstrip("\n"))
        output.note("only tried: nothing of it is kept")


@contextmanager
def _agent_running(talk: _ChatLoop) -> Iterator[tuple[Cancellation, StatusLine, ReplyView]]:
    """Context of a running agent: status line, Ctrl-C cancels, the terminal's bell after a long turn."""
    conversation, output, cancellation = talk.conversation, talk.output, Cancellation()
    working = StatusLine(output, cancellation, conversation.options.wait)
    with _own_terminal(talk, cancellation):
        check_agent_file(conversation, output, cancellation)
        try:
            with no_input_for_agents(), working.shown_while(), clear_on_suspend(output):
                yield cancellation, working, REPLY_VIEWS[conversation.reply_format](output, working)
        except FlueError as error:
            output.error(error)
    if 0 < talk.bell_seconds <= working.seconds and not isinstance(cancellation.reason, TurnCancelled):
        ring_terminal_bell(output)


@contextmanager
def _own_terminal(talk: _ChatLoop, cancellation: Cancellation) -> Iterator[None]:
    """Context that owns the terminal and its signals: Ctrl-C ends a turn, TERM and HUP end the chat."""
    try:
        with silent_keyboard(), bracketed_paste(talk.output), talk.cancelling(cancellation):
            yield
    finally:
        for reason in cancellation.reasons:
            if isinstance(reason, TurnCancelled) and reason.signum != signal.SIGINT:
                raise StoppedBySignal(reason.signum)


def _show_resume_command(talk: _ChatLoop) -> None:
    command = talk.conversation.resume_command()
    if command:
        talk.output.note(f"resume with: {command}")
