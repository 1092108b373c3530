"""Flue: a terminal host for stateful agents. This module has the names that an agent's author imports.

Glossary. Each word means this and nothing else, in code, messages and manual:

- agent: a Python function `(prompt, session, context) -> reply`.
- agent source: the file or module that an agent is loaded from; its fingerprint is recorded with each turn.
- agent origin: the project and file, the package, or "sample" that an agent comes from; kept with a session.
- registry: a table from names to agents, stores or formats.
- session: one conversation with one agent: a timeline with history and data.
- prompt: the text given to the agent. reply: the text that it returns.
- turn: one prompt and its reply, stored as a whole or not at all.
- partial reply: the pieces of a reply that came before its turn failed or was cancelled.
- message: one item of the history: a prompt, a reply, or a tool message.
- history: the messages of the completed turns, oldest first.
- data: the JSON object that an agent keeps from turn to turn.
- entry: an item of the timeline: a turn, or an edit of the data.
- timeline: the numbered entries of a session.
- head: the entry that a session is at; undo and redo move it.
- label: a name that a person gave to an entry.
- branch: a run of entries that leads to a head.
- fork: a session copied from another one; to make such a copy.
- undone fork: a session with the turns that were undone before the timeline went on (`NAME~1`).
- undo, redo, rewind: move the head back, forward again, or to a turn.
- key: an idempotency key of a prompt. A turn is replayed if its key was completed before: the stored reply is
  given again, and the agent does not run.
- version: the counter of a session's changes.
- lease: the right to run a session's turn, for a limited time. holder: the process that has it.
- fence: the number of a lease; a commit with an older number is refused.
- wait queue: prompts that wait for the lease, in order of arrival. A prompt in it is queued.
- watchdog: the thread that renews leases and ends turns that run out of time.
- cancellation: a request to end a turn before its agent returns.
- recorded call: a call to the world outside that is kept with its turn (`context.record`).
- dry run: a turn that is run and not stored (`/try`).
- replay (`flue replay`): recorded prompts given to the current agent, to compare the replies.
- script test: a conversation with expected replies in a text file (`*.flue`, `flue test`); people read
  "conversation test".
- store: the place of all sessions. contract: the protocol that every store follows, and its tests.
- snapshot, delta: an entry's data stored whole, or as a difference from the entry before.
- full-text index: the table that `search` reads.
- export, import: write sessions to a file, read them from one. transcript: such a file.
- picker: the list to choose a session from. toolbar: the line at the bottom of the chat.
- settings: the values that hold in this run. config file: the person's `config.toml`.
- notice: a line for the person on stderr.
"""

TYPE_CHECKING = False  # type checkers know the name; importing it would import typing

__version__ = "0.1.0"
__all__ = ["AgentContext", "AgentSession", "History", "Message", "Reply", "__version__"]

if TYPE_CHECKING:
    from flue_cli.agents.api import AgentContext, AgentSession, History, Message, Reply


def __getattr__(name: str) -> object:
    # PEP 562: the names are loaded when they are first used, so that `flue --version` imports nothing.
    if name not in __all__:
        raise AttributeError(f"module 'flue_cli' has no attribute {name!r}")
    from flue_cli.agents import api

    return getattr(api, name)
