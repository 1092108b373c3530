"""Which session a conversation is about: the one named, the last, one from a list, or a new one."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from flue_cli.cli import stdin
from flue_cli.cli.commands import App
from flue_cli.cli.options import existing, one_session
from flue_cli.errors import SessionNotFound, UsageError
from flue_cli.names import agent_name, generated_name, session_name
from flue_cli.stores.records import ABSENT
from flue_cli.text import safe_line, turns

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store


class Where(NamedTuple):
    """The session a conversation is about. `expect` is "any", "new" or "existing"."""

    agent: str
    name: str
    expect: str


def last_used(store: Store, agent: str | None, prompt: str | None) -> Where:
    found = store.sessions(agent=agent_name(agent) if agent else "", limit=1)
    if not found:
        whose = f" of agent '{agent}'" if agent else ""
        hint = (
            "with -c, a PROMPT needs its AGENT: flue chat -c AGENT PROMPT" if agent and prompt is None else ""
        )
        raise SessionNotFound(f"there is no session{whose} to continue", hint=hint)
    return Where(found[0].agent, found[0].name, "existing")


def resumed(store: Store, agent: str | None, name: str) -> Where:
    head = existing(store, agent_name(agent), session_name(name)) if agent else one_session(store, name)
    return Where(head.agent, head.name, "existing")


def generated(store: Store, agent: str) -> Where:
    while True:
        name = generated_name()
        if store.head(agent, name).uid == ABSENT:
            return Where(agent, name, "new")


def picked(app: App, store: Store, agent: str | None) -> Where:
    if not (stdin.is_terminal() and app.output.is_terminal):
        raise UsageError(
            "--pick needs a terminal", hint="name the session with -r, or continue the last with -c"
        )
    found = store.sessions(agent=agent_name(agent) if agent else "", limit=50)
    if not found:
        raise SessionNotFound("there is no session to pick")
    for number, summary in reversed(list(enumerate(found, 1))):  # the likeliest nearest to the question
        line = (
            f"{number:>3}  {summary.agent}/{summary.name}  ({turns(summary.turns)})  {summary.preview[:60]}"
        )
        app.output.note(safe_line(line))
    answer = ""
    while not (answer.isascii() and answer.isdigit() and 1 <= int(answer) <= len(found)):
        answer = stdin.ask(f"which, 1 to {len(found)}? ")
    chosen = found[int(answer) - 1]
    return Where(chosen.agent, chosen.name, "existing")
