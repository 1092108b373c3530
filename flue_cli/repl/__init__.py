"""The chat in the terminal: a generator of prompts and a loop over it.

The only package that imports prompt_toolkit.
"""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager

from flue_cli.cancellation import Cancellation, Stoppable
from flue_cli.errors import FlueError, Stop, TurnCancelled
from flue_cli.render.output import Output
from flue_cli.render.remarks import Waiting, say_interrupted, show_failure
from flue_cli.render.unified import data_lines
from flue_cli.repl.conversation import Conversation, Tried
from flue_cli.repl.slash import Chat, Next, what_to_do
from flue_cli.repl.terminal import marked_pastes, no_input_for_agents, quiet_keyboard, sane_terminal
from flue_cli.repl.worker import Worker
from flue_cli.settings import ChatStyle
from flue_cli.stores.records import Begun, Entry
from flue_cli.timeline import Missed
from flue_cli.turn import Listener, cancellable_pause

RECAP_TURNS = 3
"""How many turns a resumed chat shows of what went before."""

Cancelling = Callable[[Stoppable], AbstractContextManager[None]]
"""While inside, a signal makes a request instead of ending the command."""


def chat(
    conversation: Conversation,
    output: Output,
    cancelling: Cancelling,
    *,
    history_file: str,
    style: ChatStyle = ChatStyle(),  # noqa: B008 - immutable
) -> None:
    """Talk until the person leaves: returns on Ctrl-D or /exit, raises Stop on a second Ctrl-C.

    `history_file` keeps what was typed, "" keeps it nowhere.
    """
    from flue_cli.repl.prompt import prompts

    worker = Worker()
    then = Next()

    def before() -> str:
        _catch_up(conversation, output, cancelling)
        return then.draft

    with sane_terminal():
        try:
            _greet(conversation, output)
            for line in prompts(conversation, output, history_file, cancelling, before=before, style=style):
                then = _understood(line, conversation, output, cancelling)
                if then.leaves:
                    break
                if then.prompt:
                    answer = _rehearse if then.only_tried else _answer
                    answer(then.prompt, conversation, output, worker, cancelling)
        finally:
            _say_goodbye(conversation, output)
            conversation.close()


def _understood(line: str, conversation: Conversation, output: Output, cancelling: Cancelling) -> Next:
    """What is to be done about a line; a slash command has been run."""
    cancellation = Cancellation()
    chat = Chat(conversation, output, cancellable_pause(cancellation, Waiting(output)))
    if not line.startswith("/"):
        return what_to_do(line, chat)
    with _occupied(output, cancelling, cancellation):
        return what_to_do(line, chat)


class _Shown:
    """A reply on its way to the screen. An agent that was given up may go on talking, and is not heard."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._streamed = self._over = False

    def piece(self, text: str) -> None:
        if not self._over:
            self._streamed = True
            self._output.piece(text)

    def end(self, reply: str | None) -> None:
        """Nothing more is heard; `reply` is shown unless it came in pieces."""
        self._over = True
        if self._streamed:
            self._output.end_line()
        elif reply is not None:
            self._output.result(reply)


def _answer(
    prompt: str, conversation: Conversation, output: Output, worker: Worker, cancelling: Cancelling
) -> None:
    """Run one turn in the worker's thread and show it; the chat goes on whatever becomes of it."""
    cancellation, shown = Cancellation(), _Shown(output)

    def begun(found: Begun) -> None:
        say_interrupted(output, found)
        _show_missed(conversation.missed_before(found), output)

    listener = Listener(waiting=Waiting(output), begun=begun, piece=shown.piece)
    try:
        with _occupied(output, cancelling, cancellation), no_input_for_agents():
            turn = worker.run(
                lambda stuck: conversation.turn(prompt, listener._replace(stuck=stuck), cancellation)
            )
            shown.end(turn.reply)
            if turn.error:
                show_failure(turn.error, output, verbose=conversation.manners.verbose)
    except FlueError as error:
        output.error(error)


def _rehearse(
    prompt: str, conversation: Conversation, output: Output, worker: Worker, cancelling: Cancelling
) -> None:
    """Show what the agent would answer and change; nothing of it is kept."""
    cancellation, shown = Cancellation(), _Shown(output)
    try:
        with _occupied(output, cancelling, cancellation), no_input_for_agents():
            tried: Tried = worker.run(
                lambda stuck: conversation.rehearse(prompt, shown.piece, stuck, cancellation)
            )
            shown.end(tried.reply)
            if tried.error:
                show_failure(tried.error, output, verbose=conversation.manners.verbose)
                return
            for line in data_lines(tried.changes):
                output.note(str(line).rstrip("\n"))
            output.note("only tried: nothing of it is kept")
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
            _show_missed(conversation.missed(), output)
    except FlueError as error:
        output.error(error)


def _show_missed(missed: Missed, output: Output) -> None:
    if missed.undone:
        first, last = missed.undone[0], missed.undone[-1]
        which = f"turn {first} was" if first == last else f"turns {first} to {last} were"
        output.note(f"meanwhile {which} undone in another process")
    if missed.turns:
        output.note("meanwhile in another process:")
        _show(missed.turns, output)


def _say_goodbye(conversation: Conversation, output: Output) -> None:
    command = conversation.resume_command()
    if command:
        output.note(f"resume with: {command}")


def _show(entries: Sequence[Entry], output: Output) -> None:
    from flue_cli.render.terminal import page, transcript

    page(output, transcript(entries), pager=False)
