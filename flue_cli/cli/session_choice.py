"""Choice of a conversation's session: by name, the last used, from a list, or a new one."""

from __future__ import annotations

import os
import signal
from shlex import quote
from typing import TYPE_CHECKING, NamedTuple

from flue_cli.agents import discovery
from flue_cli.agents.origin import current_project
from flue_cli.agents.search_path import AgentSource
from flue_cli.cli import stdin
from flue_cli.cli.app import App
from flue_cli.cli.options import require_session, resolve_session
from flue_cli.errors import AgentNotFound, SessionNotFound, StoppedBySignal, UsageError
from flue_cli.names import (
    bare_name,
    check_agent_filter,
    check_agent_name,
    check_session_name,
    find_free_name,
    normalize_name,
)
from flue_cli.settings import Settings
from flue_cli.stores.records import ABSENT, SessionHead, SessionSummary
from flue_cli.stores.rules import in_project_first
from flue_cli.text import format_turns, safe_line, session_label

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store


class SessionTarget(NamedTuple):
    """The session of a conversation. `expect` is "any", "new" or "existing".

    `moves` is the session of another agent that is to become this one, once the agent is loaded.
    """

    agent: str
    name: str
    expect: str
    moves: SessionHead | None = None


class SessionFlags(NamedTuple):
    """Flags that choose a session: one of the first four, or none for a session with a generated name.

    `new`: fail if the session exists already.
    """

    session: str | None
    resume: str | None
    pick: bool
    latest: bool
    new: bool

    def checked(self, *, keeps: bool, key: str | None) -> SessionFlags:
        """Return the flags; raise UsageError if they do not go together."""
        given = {
            "-s": self.session is not None,
            "-r": self.resume is not None,
            "--pick": self.pick,
            "-c": self.latest,
        }
        ways = [flag for flag, on in given.items() if on]
        if len(ways) > 1:
            raise UsageError(f"{' and '.join(ways)} each choose a session", hint="use one of them")
        comes_back = ways not in ([], ["-s"])
        if self.new and comes_back:
            raise UsageError(
                f"--new begins a session, and {ways[0]} goes on with one", hint="leave one of them out"
            )
        if not keeps and comes_back:
            raise UsageError(
                f"--no-save begins with nothing, and {ways[0]} goes on with a saved session",
                hint="leave one of them out",
            )
        if key and not ways:
            raise UsageError("--turn-key needs a session to look in", hint="name one: -s NAME")
        return self


def choose_session(
    app: App, store: Store, settings: Settings, agent: str | None, prompt: str | None, flags: SessionFlags
) -> SessionTarget:
    """Choose the session by the flags, of `agent` if given.

    Raises SessionNotFound, UsageError and StoppedBySignal.
    """
    if flags.latest:
        return _last_used(store, settings, agent, prompt)
    if flags.pick:
        return _picked(app, store, agent)
    if flags.resume is not None:
        return _resumed(store, agent, flags.resume)
    agent = agent or settings.agent
    if not agent:
        agent = _chosen_agent(app, settings)
    if flags.session is None:
        return _generated(store, check_agent_name(agent))
    agent = check_agent_name(agent)
    return SessionTarget(agent, _name(store, agent, flags.session), "new" if flags.new else "any")


def _chosen_agent(app: App, settings: Settings) -> str:
    """Ask for the agent on a terminal; elsewhere raise UsageError."""
    if not (stdin.is_terminal() and app.output.is_terminal):
        raise UsageError("no agent is named", hint="name one: flue chat AGENT; see: flue agents list")
    from flue_cli.cli.agent_choice import ask_for_agent

    return ask_for_agent(app, settings)


def _name(store: Store, agent: str, name: str) -> str:
    """The name of a session of `agent`; AGENT/NAME is one only if there is a session called that."""
    whole = check_session_name(name)
    bare = bare_name(name, agent)
    return bare if bare == whole or store.head(agent, whole).uid == ABSENT else whole


def _last_used(store: Store, settings: Settings, agent: str | None, prompt: str | None) -> SessionTarget:
    agent_name = check_agent_filter(agent)
    # Sessions of this project come first, or of the project that the agent is from.
    origin = discovery.find_agent_origin(settings, agent_name) if agent_name else ""
    project = origin.partition("/")[0] if "/" in origin else current_project()
    found = store.sessions(agent=agent_name, limit=1, project=project)
    found = found or store.sessions(agent=agent_name, limit=1)
    if not found:
        agent_filter = f" of agent '{agent}'" if agent else ""
        hint = (
            "with -c, a PROMPT needs its AGENT: flue chat -c AGENT PROMPT" if agent and prompt is None else ""
        )
        raise SessionNotFound(f"there is no session{agent_filter} to continue", hint=hint)
    return SessionTarget(found[0].agent, found[0].name, "existing")


def _resumed(store: Store, agent: str | None, name: str) -> SessionTarget:
    head = (
        require_session(store, check_agent_name(agent), _name(store, check_agent_name(agent), name))
        if agent
        else resolve_session(store, name)
    )
    return SessionTarget(head.agent, head.name, "existing")


def resumed_session(store: Store, name: str, agent: str) -> SessionTarget:
    """Find the session that SESSION names, to go on with `agent` if that is given.

    `agent` goes on with its own session of that name; if it has none, with another agent's, which is to
    become one of its own. Raises as `resolve_session`.
    """
    agent = check_agent_filter(agent)
    own = store.resolve(normalize_name(name), agent=agent) if agent else []
    head = own[0] if own else resolve_session(store, name)
    if agent in ("", head.agent):
        return SessionTarget(head.agent, head.name, "existing")
    return SessionTarget(agent, head.name, "existing", moves=head)


def find_session_agent(settings: Settings, target: SessionTarget) -> AgentSource:
    """Find the agent of a session; if there is none, the hint says how to go on with another."""
    try:
        return discovery.find_agent(settings, target.agent)
    except AgentNotFound as error:
        if target.expect == "existing" and not target.moves:
            label = quote(f"{target.agent}/{safe_line(target.name)}")
            error.hint = f"go on with another agent: flue sessions resume {label} --agent NAME"
        raise


def move_to_its_agent(app: App, settings: Settings, store: Store, target: SessionTarget) -> None:
    """Give the session to its new agent, if it has one. Call it only when the agent is loaded.

    Raises as `rename_session`.
    """
    if target.moves:
        from flue_cli.cli.session_change import rename_session

        rename_session(app, store, target.moves, target.name, agent=target.agent, wait=settings.wait)


def _generated(store: Store, agent: str) -> SessionTarget:
    name = find_free_name(lambda name: store.head(agent, name).uid != ABSENT)
    return SessionTarget(agent, name, "new")


def _picked(app: App, store: Store, agent: str | None) -> SessionTarget:
    if not (stdin.is_terminal() and app.output.is_terminal):
        raise UsageError(
            "--pick needs a terminal", hint="name the session with -r, or continue the last with -c"
        )
    agent_filter = check_agent_filter(agent)
    if os.environ.get("TERM") == "dumb":
        one: SessionSummary | None = _pick_by_number(app, store, agent_filter)
    else:
        from flue_cli.repl.picker import pick_session

        one = pick_session(store, app.output, app.signals.cancelling, agent=agent_filter)
    if one is None:  # left without choosing: as if interrupted, which is what fzf says too
        raise StoppedBySignal(signal.SIGINT)
    return SessionTarget(one.agent, one.name, "existing")


def _pick_by_number(app: App, store: Store, agent: str) -> SessionSummary:
    """List sessions and ask for the number of one, on a terminal that cannot move its cursor."""
    found = in_project_first(store.sessions(agent=agent, limit=50), current_project())
    if not found:
        raise SessionNotFound("there is no session to pick")
    for number, summary in reversed(list(enumerate(found, 1))):  # the likeliest nearest to the question
        line = (
            f"{number:>3}  {session_label(summary)}  ({format_turns(summary.turns)})  {summary.preview[:60]}"
        )
        app.output.note(safe_line(line))
    answer = ""
    while not (answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(found)):
        answer = stdin.ask(f"which, 1 to {len(found)}? ")
    return found[int(answer) - 1]
