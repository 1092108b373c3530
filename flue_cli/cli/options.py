"""Options that several commands share, and functions to open the store and find sessions by them."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from flue_cli.cli.app import App
from flue_cli.cli.completion.candidates import (
    complete_agents,
    complete_files,
    complete_folders,
    complete_output_formats,
    complete_sessions,
)
from flue_cli.errors import AmbiguousName, SessionNotFound, TurnNotFound
from flue_cli.log import Log
from flue_cli.names import check_agent_filter, normalize_name
from flue_cli.render.notices import WaitingNotice
from flue_cli.settings import WAIT_SECONDS, Settings
from flue_cli.stores import open_store
from flue_cli.stores.records import ABSENT, LeaseHolder, Pause, SessionHead
from flue_cli.text import safe_line, session_label

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store

SessionArgument = Annotated[
    str,
    typer.Argument(
        metavar="SESSION", help="A session's name, or AGENT/NAME.", autocompletion=complete_sessions
    ),
]
StoreOption = Annotated[
    str,
    typer.Option(
        "--store",
        metavar="URL",
        autocompletion=complete_files,
        help="Where sessions are stored: a file, sqlite:///FILE, or memory:. [env: FLUE_STORE]",
    ),
]
AgentsOption = Annotated[
    list[str] | None,
    typer.Option(
        "--agents",
        metavar="DIR",
        autocompletion=complete_folders,
        help="Look for agents in DIR first; may be repeated. [env: FLUE_AGENTS]",
    ),
]
AgentOption = Annotated[
    str,
    typer.Option(
        "--agent", metavar="AGENT", help="Only sessions of this agent.", autocompletion=complete_agents
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON.")]
FormatOption = Annotated[
    str,
    typer.Option(
        "--output-format",
        metavar="FORMAT",
        autocompletion=complete_output_formats,
        help="text, json (the same as --json), or stream-json: one JSON event per line.",
        show_default=False,
    ),
]
LastOption = Annotated[
    int | None, typer.Option("--last", metavar="N", min=1, help="Only the newest N turns.")
]
AtOption = Annotated[
    int | None, typer.Option("--at", metavar="N", min=0, help="As of turn N; 0 is the empty start.")
]
LinesOption = Annotated[
    bool,
    typer.Option("--lines", help="Every line of standard input is a turn; stop at the first that fails."),
]
KeepGoingOption = Annotated[
    bool, typer.Option("--keep-going", help="With --lines, go on after a line that fails.")
]
NoStdinOption = Annotated[
    bool,
    typer.Option("-n", "--no-stdin", help="Leave standard input alone, which a loop may read."),
]
TurnKeyOption = Annotated[
    str | None,
    typer.Option(
        "--turn-key",
        metavar="KEY",
        help="Make a retry safe: if a turn with this KEY was completed, print its reply and run nothing.",
    ),
]
WaitOption = Annotated[
    float | None,
    typer.Option(
        "--wait",
        metavar="SECONDS",
        help=f"How long to wait for another turn of the session to end. [default: {WAIT_SECONDS:g}]",
    ),
]
TimeoutOption = Annotated[
    float | None,
    typer.Option("--timeout", metavar="SECONDS", help="How long the agent may take; without it, no limit."),
]
AdoptOption = Annotated[
    bool,
    typer.Option("--adopt", help="Go on with a session that an agent of this name in another project began."),
]
VerboseOption = Annotated[bool, typer.Option("--verbose", help="Show the traceback of an agent that fails.")]


def load_settings(
    store: str = "",
    agents: list[str] | None = None,
    *,
    wait: float | None = None,
    timeout: float | None = None,
) -> Settings:
    """Load the settings of this run from the options, the environment and `config.toml`."""
    return Settings.load(os.environ, store=store, agents=agents or (), wait=wait, timeout=timeout)


@contextmanager
def open_run_store(settings: Settings) -> Iterator[Store]:
    """Open the store of this run, and close it at the end."""
    store = open_store(settings.store)
    try:
        yield store
    finally:
        store.close()


def log_of(settings: Settings, store: Store) -> Log:
    """Return the log of a run; an ephemeral store leaves nothing behind, in the log either."""
    return Log("" if store.is_ephemeral else settings.log_file)


def pause_with_notice(app: App) -> Pause:
    """Return a pause function for waiting behind a turn; on a terminal it names the holder."""
    waiting = WaitingNotice(app.output)

    def pause(seconds: float, holder: LeaseHolder) -> None:
        waiting(holder)
        time.sleep(seconds)

    return pause


def repeat_flags(store: str, agents: list[str] | None) -> tuple[str, ...]:
    """Return the flags that make another command use the same store and agents."""
    again = ("--store", store) if store else ()
    return (*again, *(word for folder in agents or () for word in ("--agents", folder)))


def resolve_session(store: Store, name: str, agent: str = "", *, at: int | None = None) -> SessionHead:
    """Find the session that SESSION names, by its whole name or AGENT/NAME; with `at`, as of that turn.

    Raises SessionNotFound (with near misses), AmbiguousName and TurnNotFound.
    """
    found = store.resolve(normalize_name(name), agent=check_agent_filter(agent))
    if len(found) == 1:
        return found[0] if at is None else _as_of(store, found[0], at)
    if found:
        which = ", ".join(sorted(session_label(head) for head in found))
        raise AmbiguousName(f"'{name}' could be: {which}", hint="say which: AGENT/NAME, or --agent AGENT")
    agent_filter = f" of agent '{agent}'" if agent else ""
    raise SessionNotFound(f"there is no session '{name}'{agent_filter}", hint=_near(store, name))


def _as_of(store: Store, head: SessionHead, turn: int) -> SessionHead:
    try:
        return store.head_at(head, turn)
    except TurnNotFound as error:
        if turn <= store.redo_head(head).turn:
            error.hint = f"it was undone: flue sessions redo {quote(head.name)} brings it back"
        raise


def require_session(store: Store, agent: str, name: str) -> SessionHead:
    """Find the session NAME of AGENT. Raises SessionNotFound, with a hint if another agent has one."""
    head = store.head(agent, name)
    if head.uid == ABSENT:
        others = [other.agent for other in store.resolve(name) if other.name == name]
        hint = _near(store, name)
        if others:
            label = quote(f"{others[0]}/{safe_line(name)}")
            hint = (
                f"there is one of agent '{others[0]}'; to go on with it here: "
                f"flue sessions resume {label} --agent {agent}"
            )
        raise SessionNotFound(f"there is no session '{name}' of agent '{agent}'", hint=hint)
    return head


def _near(store: Store, name: str) -> str:
    from difflib import get_close_matches

    names = {summary.name for summary in store.sessions(limit=1000)}
    near = get_close_matches(name, names, n=3)
    return (
        f"did you mean {' or '.join(safe_line(other) for other in near)}?"
        if near
        else "see: flue sessions list"
    )
