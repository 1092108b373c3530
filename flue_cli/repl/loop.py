"""The loop of the chat: a generator of prompts, and what is done about each."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING, NamedTuple

from flue_cli.errors import FlueError, StoppedBySignal, TurnCancelled
from flue_cli.render.diff_lines import data_lines
from flue_cli.render.notices import say_begun, show_failure
from flue_cli.render.status_line import Working, ring
from flue_cli.render.streams import Output
from flue_cli.repl.agent_reload import follow_file
from flue_cli.repl.agent_thread import Worker
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.reply_view import SHOWN, Shown
from flue_cli.repl.slash import Chat, Next, what_to_do
from flue_cli.repl.terminal import (
    cleared_before_stop,
    marked_pastes,
    no_input_for_agents,
    quiet_keyboard,
    sane_terminal,
)
from flue_cli.repl.welcome import greet, show_missed
from flue_cli.settings import ChatStyle
from flue_cli.stores.records import Begun
from flue_cli.turns.cancellation import Cancellation, Cancelling
from flue_cli.turns.dry_run import DryRunResult
from flue_cli.turns.runner import Listener, cancellable_pause

if TYPE_CHECKING:  # it costs prompt_toolkit
    from flue_cli.repl.history import HistoryFiles

RECAP_TURNS = 3
"""How many turns a resumed chat shows of what went before."""


def chat(
    conversation: Conversation,
    output: Output,
    cancelling: Cancelling,
    *,
    history_of: HistoryFiles,
    style: ChatStyle = ChatStyle(),  # noqa: B008 - immutable
) -> None:
    """Talk until the person leaves: returns on Ctrl-D or /exit, raises StoppedBySignal on a second Ctrl-C.

    `history_of` gives the file that keeps what was typed to an agent; "" keeps it nowhere.
    """
    from flue_cli.repl.input_line import prompts

    talk = _Talk(conversation, output, cancelling, Worker(), style.bell)
    then = Next()

    def before() -> str:
        _catch_up(talk)
        return then.draft

    lines = prompts(conversation, output, cancelling, history_of=history_of, before=before, style=style)
    with sane_terminal(), closing(conversation):
        try:
            greet(conversation, output, RECAP_TURNS)
            for line in lines:
                then = _understood(line, talk)
                if then.leaves:
                    break
                if then.only_tried:
                    _dry_run(then.prompt, talk)
                elif then.prompt:
                    _answer(then.prompt, talk)
        finally:
            _say_goodbye(talk)


class _Talk(NamedTuple):
    """What it takes to talk. `bell`: seconds after which the end of a turn is rung, 0: never."""

    conversation: Conversation
    output: Output
    cancelling: Cancelling
    worker: Worker
    bell: float


def _catch_up(talk: _Talk) -> None:
    """Before the next prompt, show the turns that others made since ours, and heed the agent's file."""
    conversation, output, cancellation = talk.conversation, talk.output, Cancellation()
    try:
        with _occupied(talk, cancellation):
            show_missed(conversation.missed(), conversation, output)
            follow_file(conversation, output, cancellation)
    except FlueError as error:
        output.error(error)


def _understood(line: str, talk: _Talk) -> Next:
    """What is to be done about a line; a slash command has been run."""
    conversation, output, cancellation = talk.conversation, talk.output, Cancellation()
    working = Working(output, cancellation, conversation.manners.wait)
    pause = cancellable_pause(cancellation, working.waiting)
    with _occupied(talk, cancellation), working.shown():
        return what_to_do(line, Chat(conversation, output, pause, cancellation, talk.cancelling))


def _answer(prompt: str, talk: _Talk) -> None:
    """Run one turn in the worker's thread and show it; the chat goes on whatever becomes of it."""
    conversation, output = talk.conversation, talk.output
    with _at_work(talk) as (cancellation, working, shown):

        def begun(found: Begun) -> None:
            working.begun()
            say_begun(output, found)
            show_missed(conversation.missed_before(found), conversation, output)

        listener = Listener(waiting=working.waiting, begun=begun, piece=shown.piece)
        turn = talk.worker.run(
            lambda stuck: conversation.turn(prompt, listener._replace(stuck=stuck), cancellation),
            working.tick,
        )
        shown.end(turn.reply)
        if turn.error:
            show_failure(turn.error, output, verbose=conversation.manners.verbose)


def _dry_run(prompt: str, talk: _Talk) -> None:
    """Show what the agent would answer and change; nothing of it is kept."""
    conversation, output = talk.conversation, talk.output
    with _at_work(talk) as (cancellation, working, shown):
        done: DryRunResult = talk.worker.run(
            lambda stuck: conversation.dry_run(prompt, shown.piece, stuck, cancellation), working.tick
        )
        shown.end(done.result.reply if done.result else None)
        if done.error:
            show_failure(done.error, output, verbose=conversation.manners.verbose)
            return
        for line in data_lines(done.data_changes()):
            output.note(str(line).rstrip("\n"))
        output.note("only tried: nothing of it is kept")


@contextmanager
def _at_work(talk: _Talk) -> Iterator[tuple[Cancellation, Working, Shown]]:
    """While inside, an agent works, with signs of life; Ctrl-C cancels. The bell rings if it took long."""
    conversation, output, cancellation = talk.conversation, talk.output, Cancellation()
    working = Working(output, cancellation, conversation.manners.wait)
    with _occupied(talk, cancellation):
        follow_file(conversation, output, cancellation)
        try:
            with no_input_for_agents(), working.shown(), cleared_before_stop(output):
                yield cancellation, working, SHOWN[conversation.reply_format](output, working)
        except FlueError as error:
            output.error(error)
    if 0 < talk.bell <= working.seconds and not isinstance(cancellation.why, TurnCancelled):
        ring(output)


@contextmanager
def _occupied(talk: _Talk, cancellation: Cancellation) -> Iterator[None]:
    """While inside, the terminal is ours and signals are noted: Ctrl-C ends a turn, TERM and HUP the chat."""
    try:
        with quiet_keyboard(), marked_pastes(talk.output), talk.cancelling(cancellation):
            yield
    finally:
        for reason in cancellation.reasons:
            if isinstance(reason, TurnCancelled) and reason.signum != signal.SIGINT:
                raise StoppedBySignal(reason.signum)


def _say_goodbye(talk: _Talk) -> None:
    command = talk.conversation.resume_command()
    if command:
        talk.output.note(f"resume with: {command}")
