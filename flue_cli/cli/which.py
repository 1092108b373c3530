"""Which session a conversation is about: the one named, the last, one from a list, or a new one."""

from __future__ import annotations

import os
import signal
from typing import TYPE_CHECKING, NamedTuple

from flue_cli.cli import stdin
from flue_cli.cli.commands import App
from flue_cli.cli.options import existing, one_session
from flue_cli.errors import SessionNotFound, Stop, UsageError
from flue_cli.names import agent_name, agent_or_any, bare_name, free_name, session_name
from flue_cli.settings import Settings
from flue_cli.stores.records import ABSENT, Summary
from flue_cli.text import safe_line, session_label, turns

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store


class Where(NamedTuple):
    """The session a conversation is about. `expect` is "any", "new" or "existing"."""

    agent: str
    name: str
    expect: str


class Named(NamedTuple):
    """How a session is asked for: by one of the first four, or by none of them for one with a new name.

    `new`: it must not exist yet.
    """

    session: str | None
    resume: str | None
    pick: bool
    latest: bool
    new: bool

    def checked(self, *, keeps: bool, key: str | None) -> Named:
        """What was asked for, if it makes sense with the rest; else UsageError."""
        given = {
            "-s": self.session is not None,
            "-r": self.resume is not None,
            "--pick": self.pick,
            "-c": self.latest,
        }
        ways = [flag for flag, on in given.items() if on]
        if len(ways) > 1:
            raise UsageError(f"{' and '.join(ways)} do not go together: each names a session")
        comes_back = ways not in ([], ["-s"])
        if self.new and comes_back:
            raise UsageError(f"--new and {ways[0]} do not go together")
        if not keeps and comes_back:
            raise UsageError(f"--no-save and {ways[0]} do not go together: there is nothing to come back to")
        if key and not ways:
            raise UsageError("--turn-key needs a session to look in", hint="name one: -s NAME")
        return self


def chosen(
    app: App, store: Store, settings: Settings, agent: str | None, prompt: str | None, named: Named
) -> Where:
    """The session that is meant, of `agent`, if one was said. Raises SessionNotFound, UsageError and Stop."""
    if named.latest:
        return _last_used(store, agent, prompt)
    if named.pick:
        return _picked(app, store, agent)
    if named.resume is not None:
        return _resumed(store, agent, named.resume)
    agent = agent or settings.agent
    if not agent:
        raise UsageError("which agent?", hint="flue chat AGENT; see: flue agents list")
    if named.session is None:
        return _generated(store, agent_name(agent))
    agent = agent_name(agent)
    return Where(agent, _name(store, agent, named.session), "new" if named.new else "any")


def _name(store: Store, agent: str, name: str) -> str:
    """The name of a session of `agent`; AGENT/NAME is one only if there is a session called that."""
    whole = session_name(name)
    bare = bare_name(name, agent)
    return bare if bare == whole or store.head(agent, whole).uid == ABSENT else whole


def _last_used(store: Store, agent: str | None, prompt: str | None) -> Where:
    found = store.sessions(agent=agent_or_any(agent), limit=1)
    if not found:
        whose = f" of agent '{agent}'" if agent else ""
        hint = (
            "with -c, a PROMPT needs its AGENT: flue chat -c AGENT PROMPT" if agent and prompt is None else ""
        )
        raise SessionNotFound(f"there is no session{whose} to continue", hint=hint)
    return Where(found[0].agent, found[0].name, "existing")


def _resumed(store: Store, agent: str | None, name: str) -> Where:
    head = (
        existing(store, agent_name(agent), _name(store, agent_name(agent), name))
        if agent
        else one_session(store, name)
    )
    return Where(head.agent, head.name, "existing")


def _generated(store: Store, agent: str) -> Where:
    name = free_name(lambda name: store.head(agent, name).uid != ABSENT)
    return Where(agent, name, "new")


def _picked(app: App, store: Store, agent: str | None) -> Where:
    if not (stdin.is_terminal() and app.output.is_terminal):
        raise UsageError(
            "--pick needs a terminal", hint="name the session with -r, or continue the last with -c"
        )
    whose = agent_or_any(agent)
    if os.environ.get("TERM") == "dumb":
        one: Summary | None = _numbered(app, store, whose)
    else:
        from flue_cli.repl.picker import pick

        one = pick(store, app.output, app.signals.cancelling, agent=whose)
    if one is None:  # left without choosing: as if interrupted, which is what fzf says too
        raise Stop(signal.SIGINT)
    return Where(one.agent, one.name, "existing")


def _numbered(app: App, store: Store, agent: str) -> Summary:
    """The session of which the person types the number, on a terminal that can do no more than print."""
    found = store.sessions(agent=agent, limit=50)
    if not found:
        raise SessionNotFound("there is no session to pick")
    for number, summary in reversed(list(enumerate(found, 1))):  # the likeliest nearest to the question
        line = f"{number:>3}  {session_label(summary)}  ({turns(summary.turns)})  {summary.preview[:60]}"
        app.output.note(safe_line(line))
    answer = ""
    while not (answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(found)):
        answer = stdin.ask(f"which, 1 to {len(found)}? ")
    return found[int(answer) - 1]
