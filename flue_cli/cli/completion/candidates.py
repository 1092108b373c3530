"""Completions for the values of arguments and options.

These functions are passed to Typer as `autocompletion=`. Typer calls them with the command line as far as it
is typed, and drops every value that does not begin with `incomplete`. All imports are made when a shell asks,
because every command declares these functions when it starts.
"""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import typer

if TYPE_CHECKING:
    from flue_cli.settings import Settings
    from flue_cli.stores.records import SessionSummary

FILES, FOLDERS = "files", "dirs"
"""In place of a description: the shell itself completes this value, a path."""

RECENT = 1000
"""Number of sessions offered before anything of a name is typed."""


def complete_agents(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield agents and their sources, spelt with `_` if that was typed; leave paths of files to the shell."""
    from flue_cli.agents import discovery
    from flue_cli.names import check_agent_name

    if "/" in incomplete:
        yield incomplete, FILES
        return
    for source in discovery.list_agents(_settings(ctx)):
        if _is_allowed(check_agent_name, source.name):
            yield source.name.replace("-", "_") if "_" in incomplete else source.name, source.origin


def complete_sessions(ctx: typer.Context, incomplete: str) -> Iterator[tuple[str, str]]:
    """Yield sessions by name, or by AGENT/NAME if that was typed or several agents have the name."""
    from flue_cli.agents.origin import current_project
    from flue_cli.cli.options import open_run_store
    from flue_cli.names import check_agent_name, check_session_name
    from flue_cli.stores.rules import in_project_first
    from flue_cli.text import format_turns

    agent = ctx.params.get("agent") or ""
    with open_run_store(_settings(ctx)) as store:
        sessions = store.sessions(
            agent=check_agent_name(agent) if agent else "", limit=None if incomplete else RECENT
        )
    sessions = in_project_first(sessions, current_project())
    by_name: dict[str, SessionSummary | None] = {}
    for session in sessions:
        by_name[session.name] = None if session.name in by_name else session
    offered: dict[str, str] = {}
    for session in sessions:
        spellings = [session.name] if agent else [session.name, f"{session.agent}/{session.name}"]
        is_unique = by_name[session.name] is not None
        if not incomplete and not is_unique:
            del spellings[0]
        value = next((spelling for spelling in spellings if spelling.startswith(incomplete)), "")
        if value and _is_allowed(check_session_name, session.name):
            help_text = (
                f"{session.agent}, {format_turns(session.turns)}" if is_unique else "of several agents"
            )
            offered.setdefault(value, help_text)
    yield from offered.items()


def complete_output_formats() -> Iterable[str]:
    """Return the values of --output-format."""
    from flue_cli.cli.turn_output import FORMS

    return FORMS


def complete_shells() -> Iterable[str]:
    """Return the shells that completion can be installed for."""
    from flue_cli.cli.completion.shell_scripts import SHELLS

    return SHELLS


def complete_files(incomplete: str) -> list[tuple[str, str]]:
    """Leave file names to the shell."""
    return [(incomplete, FILES)]


def complete_folders(incomplete: str) -> list[tuple[str, str]]:
    """Leave names of folders to the shell."""
    return [(incomplete, FOLDERS)]


def _settings(ctx: typer.Context) -> "Settings":
    from flue_cli.cli.options import load_settings

    # A shell expands ~ only when it runs the line.
    folders = [os.path.expanduser(folder) for folder in ctx.params.get("agents_dirs") or ()]
    return load_settings(os.path.expanduser(ctx.params.get("store_url") or ""), folders)


def _is_allowed(rule: Callable[[str], str], name: str) -> bool:
    """True if the rule allows the name: another program may have left any name in a folder or a store."""
    from flue_cli.errors import BadName

    try:
        return rule(name) == name
    except BadName:
        return False
