"""The chat in the terminal: a generator of prompts and a loop over it.

The only package that imports prompt_toolkit.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

from flue_cli.cancellation import Cancellation, Stoppable
from flue_cli.errors import FlueError, Stop, TurnCancelled
from flue_cli.render.output import Output
from flue_cli.render.remarks import Waiting, say_interrupted, show_failure
from flue_cli.repl.conversation import Conversation
from flue_cli.repl.slash import run_slash_command
from flue_cli.repl.terminal import marked_pastes, no_input_for_agents, quiet_keyboard, sane_terminal
from flue_cli.repl.worker import Worker
from flue_cli.stores.contract import Begun, Entry
from flue_cli.turn import Listener

RECAP_TURNS = 3
"""How many turns a resumed chat shows of what went before."""

Cancelling = Callable[[Stoppable], AbstractContextManager[None]]
"""While inside, a signal makes a request instead of ending the command."""


def chat(conversation: Conversation, output: Output, cancelling: Cancelling, *, history_file: str) -> None:
    """Talk until the person leaves: returns on Ctrl-D or /exit, raises Stop on a second Ctrl-C.

    `history_file` keeps what was typed, "" keeps it nowhere.
    """
    from flue_cli.repl.prompt import prompts

    worker = Worker()
    with sane_terminal():
        try:
            _greet(conversation, output)
            for text in prompts(
                output, history_file, cancelling, before=lambda: _catch_up(conversation, output, cancelling)
            ):
                if text.startswith("/") and not text.startswith("//"):
                    with _occupied(output, cancelling, Cancellation()):
                        goes_on = run_slash_command(text, conversation, output)
                    if not goes_on:
                        break
                else:
                    prompt = text.removeprefix("/") if text.startswith("//") else text
                    _answer(prompt, conversation, output, worker, cancelling)
        finally:
            _say_goodbye(conversation, output)


def _answer(
    prompt: str, conversation: Conversation, output: Output, worker: Worker, cancelling: Cancelling
) -> None:
    """Run one turn in the worker's thread and show it; the chat goes on whatever becomes of it."""
    cancellation = Cancellation()
    streamed = over = False

    def piece(text: str) -> None:
        nonlocal streamed
        if not over:  # an agent that was given up may go on talking
            streamed = True
            output.piece(text)

    def begun(found: Begun) -> None:
        say_interrupted(output, found)
        _show_missed(conversation.missed_before(found), output)

    listener = Listener(waiting=Waiting(output), begun=begun, piece=piece)
    try:
        with _occupied(output, cancelling, cancellation), no_input_for_agents():
            turn = worker.run(
                lambda stuck: conversation.turn(prompt, listener._replace(stuck=stuck), cancellation)
            )
            over = True
            if streamed:
                output.end_line()
            elif turn.reply is not None:
                output.result(turn.reply)
            if turn.error:
                show_failure(turn.error, output, verbose=conversation.manners.verbose)
    except FlueError as error:
        output.error(error)


@contextmanager
def _occupied(output: Output, cancelling: Cancelling, cancellation: Cancellation) -> Iterator[None]:
    """While inside, the terminal is ours and signals are noted: Ctrl-C ends a turn, TERM and HUP the chat."""
    try:
        with quiet_keyboard(), marked_pastes(output), cancelling(cancellation):
            yield
    finally:
        for reason in cancellation.reasons:
            if isinstance(reason, TurnCancelled) and reason.signum != signal.SIGINT:
                raise Stop(reason.signum)


def _greet(conversation: Conversation, output: Output) -> None:
    lines, recap = conversation.opening(RECAP_TURNS)
    for line in lines:
        output.note(line)
    if recap:
        _show(recap, output)


def _catch_up(conversation: Conversation, output: Output, cancelling: Cancelling) -> None:
    """Before the next prompt, show the turns that somebody else made since ours."""
    try:
        with _occupied(output, cancelling, Cancellation()):
            _show_missed(conversation.missed_turns(), output)
    except FlueError as error:
        output.error(error)


def _show_missed(missed: list[Entry], output: Output) -> None:
    if missed:
        output.note("meanwhile in another process:")
        _show(missed, output)


def _say_goodbye(conversation: Conversation, output: Output) -> None:
    command = conversation.resume_command()
    if command:
        output.note(f"resume with: {command}")


def _show(entries: list[Entry], output: Output) -> None:
    from flue_cli.render.terminal import page, transcript

    page(output, transcript(entries), pager=False)
