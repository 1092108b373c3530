"""Calling an agent of any kind, in this thread.

An agent may be a function or a coroutine function, may return its reply or yield it in pieces, and
may do anything at all: raise, exit, return the wrong type, never return. `call_function` turns all of
this into a checked Reply or a FlueError.
"""

from __future__ import annotations

import os
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, suppress
from typing import Any, NoReturn, TypeVar

from flue_cli.agents.api import AgentContext, AgentSession, Reply
from flue_cli.agents.call_recording import CallSource
from flue_cli.agents.code_place import defined_place, failed_place
from flue_cli.agents.discovery import SIGNATURE_HINT, Agent, AgentFunction
from flue_cli.errors import AgentError, FlueError, StoreError
from flue_cli.exception_text import describe_exception, describe_with_cause, format_traceback
from flue_cli.jsondata.strict import MAX_BYTES
from flue_cli.stores.records import TurnResult
from flue_cli.turns.cancellation import AgentStopped, Cancellation
from flue_cli.turns.result import TurnInput, make_result, recorded_facts

CheckedReply = TypeVar("CheckedReply")
OnPiece = Callable[[str], None]
"""Called with each piece of a streamed reply; may raise a FlueError to end the turn."""


def do_nothing(*_: object) -> None:
    """Ignore the arguments: the default of a callback."""


def run_agent(
    agent: Agent,
    turn_input: TurnInput,
    session: AgentSession[Any],
    calls: CallSource,
    *,
    cancellation: Cancellation,
    watch: AbstractContextManager[None],
    on_piece: OnPiece,
) -> TurnResult:
    """Have `agent` answer the prompt of `turn_input`, inside of `watch`; returns the parts to store.

    `session` was made from `turn_input`. `calls` answers the agent's `context.record`. Raises as
    `call_function`.
    """
    context = AgentContext(
        agent=agent.name,
        turn=turn_input.turn,
        started_at=turn_input.started_at,
        seed=turn_input.seed,
        is_cancelled=lambda: cancellation.reason is not None,
        recording=calls,
    )

    def check(reply: Reply) -> TurnResult:
        recorded = {**recorded_facts(agent, turn_input.seed), **calls.as_meta()}
        return make_result(reply, session, recorded)

    with watch:
        return call_function(
            agent.function,
            turn_input.prompt,
            session,
            context,
            cancellation=cancellation,
            on_piece=on_piece,
            check=check,
        )


def call_function(
    function: AgentFunction,
    prompt: str,
    session: AgentSession[Any],
    context: AgentContext,
    *,
    cancellation: Cancellation,
    on_piece: OnPiece,
    check: Callable[[Reply], CheckedReply],
) -> CheckedReply:
    """Call the agent and return the result of `check` for its reply; pieces go to `on_piece` at once.

    Raises AgentError for any fault of the agent, the reason of `cancellation` if the turn was cancelled
    meanwhile, StoreError if reading the history failed, and the error that `on_piece` raised.
    """
    stream = _ReplyStream(on_piece, cancellation)
    process = os.getpid()
    try:
        with cancellation.thread_stop():
            cancellation.check()
            result = function(prompt, session, context)
            if hasattr(result, "__await__") or hasattr(result, "__anext__"):
                result = _run_async(result, stream, cancellation)
            elif hasattr(result, "__next__"):
                result = _read_generator(result, stream)
            # Inside of the stop: `check` reads objects of the agent's own classes, which may never end.
            checked = check(_make_reply(result))
    except BaseException as error:  # agents raise SystemExit, KeyboardInterrupt and worse
        if os.getpid() != process:
            _end_forked_process(error)
        if stream.output_error:
            raise stream.output_error from None
        if cancellation.reason:
            raise cancellation.reason from None
        if isinstance(error, AgentError | StoreError):
            raise
        raise _agent_error(error, function) from error
    if os.getpid() != process:
        _end_forked_process(None)
    cancellation.check()
    return checked


def _end_forked_process(error: BaseException | None) -> NoReturn:
    """End a process that the agent forked and that returned here: the turn belongs to its parent."""
    code = error.code if isinstance(error, SystemExit) else 1 if error else 0
    os._exit(code if isinstance(code, int) else 0 if code is None else 1)


class _ReplyStream:
    """Collector of a streamed reply, which also passes each piece on."""

    def __init__(self, on_piece: OnPiece, cancellation: Cancellation) -> None:
        self.output_error: FlueError | None = None
        self._cancellation = cancellation
        self._on_piece = on_piece
        self._texts: list[str] = []
        self._size = 0
        self._final_reply: Reply | None = None

    def add(self, piece: object) -> None:
        """Add the next piece; AgentError if it is not valid."""
        if self._cancellation.reason:  # the agent caught the stop and goes on: nothing more is shown
            raise AgentStopped
        if self._final_reply is not None:
            raise _bad_reply_error("the agent yielded more after its Reply")
        if isinstance(piece, Reply):
            self._final_reply, piece = piece, piece.text
        if not isinstance(piece, str):
            raise _bad_reply_error(f"the agent yielded {type(piece).__name__}, not str")
        piece = _check_reply_text(piece)
        if not piece:
            return
        self._size += len(piece)
        if self._size > MAX_BYTES:
            raise _bad_reply_error(f"the reply is larger than {MAX_BYTES // 2**20} MiB")
        self._texts.append(piece)
        try:
            self._on_piece(piece)
        except FlueError as error:  # our output's failure, not the agent's
            self.output_error = error
            raise AgentStopped from error

    def reply(self) -> Reply:
        """Join all pieces to one reply."""
        text = "".join(self._texts)
        return self._final_reply._replace(text=text) if self._final_reply else Reply(text)


def _read_generator(generator: Iterator[object], stream: _ReplyStream) -> Reply:
    try:
        for piece in generator:
            stream.add(piece)
    finally:
        close = getattr(generator, "close", None)
        if close:
            close()
    return stream.reply()


def _run_async(
    result: Awaitable[object] | AsyncIterator[object], stream: _ReplyStream, cancellation: Cancellation
) -> object:
    import asyncio

    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any]]] = []

    def cancel() -> None:
        for loop, task in running:
            with suppress(RuntimeError):  # the loop is closed: it is over already
                loop.call_soon_threadsafe(task.cancel)

    async def drive() -> object:
        task = asyncio.current_task()
        if task:
            running.append((asyncio.get_running_loop(), task))
        cancellation.check()
        if isinstance(result, Awaitable):
            return await result
        try:
            async for piece in result:
                stream.add(piece)
        finally:
            close = getattr(result, "aclose", None)
            if close:
                await close()
        return stream.reply()

    try:
        with cancellation.custom_stop(cancel):
            return asyncio.run(drive())
    finally:
        close = getattr(result, "close", None)
        if close:  # a coroutine that was stopped before it began
            close()


def _make_reply(result: object) -> Reply:
    if isinstance(result, str):
        return Reply(_check_reply_text(result))
    if not isinstance(result, Reply):
        raise _bad_reply_error(f"the agent returned {type(result).__name__}, not str")
    if not isinstance(result.text, str):
        raise _bad_reply_error(f"the text of the agent's Reply is {type(result.text).__name__}, not str")
    try:
        # Read here, where the agent can be stopped: they may be iterators over anything.
        messages, meta = list(result.messages), dict(result.meta)
    except Exception as error:
        raise _bad_reply_error(f"the agent's Reply cannot be read: {describe_exception(error)}") from error
    return Reply(_check_reply_text(result.text), messages, meta)


def _check_reply_text(text: str) -> str:
    """Convert a subclass of str to str; AgentError for a text that cannot be stored."""
    text = str.__str__(text)
    if not text.isascii():
        try:
            size = len(text.encode())
        except UnicodeEncodeError as error:
            raise _bad_reply_error(f"the reply has a lone surrogate at character {error.start}") from None
    else:
        size = len(text)
    if size > MAX_BYTES:
        raise _bad_reply_error(f"the reply is larger than {MAX_BYTES // 2**20} MiB")
    return text


def _bad_reply_error(problem: str) -> AgentError:
    return AgentError(problem, type="bad_reply")


def _agent_error(error: BaseException, function: AgentFunction) -> AgentError:
    from flue_cli.agents.missing_module import missing_module_hint

    trace = format_traceback(error)
    place = failed_place(error, getattr(function, "__module__", None) or "")
    if isinstance(error, SystemExit):
        words = describe_exception(error).partition(": ")[2]
        return AgentError(f"the agent called sys.exit({words})", type="exit", traceback=trace, place=place)
    at_the_call = error.__traceback__ is not None and error.__traceback__.tb_next is None
    hint = missing_module_hint(error, place) or _main_thread_hint(error)
    if isinstance(error, TypeError) and at_the_call:
        hint, place = SIGNATURE_HINT, defined_place(function)
    return AgentError(
        f"the agent failed: {describe_with_cause(error)}",
        type="exception",
        hint=hint,
        traceback=trace,
        place=place,
    )


def _main_thread_hint(error: BaseException) -> str:
    """Explain what Python allows in the main thread only; "" for an error of another kind."""
    if threading.current_thread() is threading.main_thread():
        return ""
    words = describe_exception(error)
    if isinstance(error, RuntimeError) and "no current event loop" in words:
        remedy = "it has no event loop; use asyncio.run(...)"
    elif isinstance(error, RuntimeError | ValueError) and "main thread" in words:
        remedy = "Python sets no signal handlers there"
    else:
        return ""
    return f"the chat and flue serve call agents in a thread: {remedy}"
