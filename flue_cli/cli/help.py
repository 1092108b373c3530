"""`flue help`: the manual, topic by topic."""

from __future__ import annotations

from typing import Annotated

import typer

from flue_cli.cli.app import App
from flue_cli.cli.command_table import COMMANDS
from flue_cli.errors import NotFound
from flue_cli.text import safe_line

TOPICS = {
    "agents": "Write an agent: prompt, data, history, recorded calls, a model.",
    "sessions": "Find, show, search, export, import and delete conversations.",
    "timeline": "Undo, redo, rewind and fork; edit and compare data.",
    "chat": "Work in the terminal: keys, commands, markdown, the toolbar.",
    "scripts": "Use flue in scripts: pipes, JSON, events, exit codes.",
    "testing": "Test an agent: replay sessions, run conversation tests.",
    "http": "Serve agents over HTTP: routes, access, limits, a router for ASGI.",
    "operating": "Install, upgrade, remove; back up; run the server as a service.",
    "stores": "Write a store, and test it against the contract.",
    "config": "Set defaults: config.toml, environment variables, folders.",
    "contributing": "Change Flue itself: map of the code, recipes, tests, commits.",
}
"""Topic to its summary; its page is `flue_cli/manual/TOPIC.md`."""


def help_(
    ctx: typer.Context,
    topic: Annotated[
        str,
        typer.Argument(
            metavar="[TOPIC]",
            show_default=False,
            autocompletion=lambda: list(TOPICS),
            help="The topic; without it, list all topics.",
        ),
    ] = "",
) -> None:
    """Show a page of the manual, or list its topics.

    "flue COMMAND --help" shows the options of a command.
    """
    app: App = ctx.obj
    if not topic:
        _show_topics(app)
    elif app.output.is_terminal:
        _show_page(app, read_topic(topic))
    else:
        app.output.write(read_topic(topic))


def read_topic(topic: str) -> str:
    """Read a topic's page, as Markdown; NotFound, with similar topics as a hint, if there is none."""
    if topic not in TOPICS:
        raise NotFound(f"there is no topic '{safe_line(topic)}' in the manual", hint=_topic_hint(topic))
    from importlib.resources import files

    return files("flue_cli").joinpath("manual", f"{topic}.md").read_text(encoding="utf-8")


def _topic_hint(topic: str) -> str:
    from difflib import get_close_matches

    if topic in COMMANDS:
        return f"see: flue {topic} --help"
    near = get_close_matches(topic.lower(), TOPICS, n=2)
    return f"did you mean {' or '.join(near)}?" if near else "see: flue help"


def _show_topics(app: App) -> None:
    if app.output.is_terminal:
        width = max(map(len, TOPICS)) + 2
        app.output.result("\n".join(f"{name:<{width}}{summary}" for name, summary in TOPICS.items()))
        app.output.note("\nflue help TOPIC shows one; flue COMMAND --help shows a command's options")
    else:
        app.output.write("".join(f"{name}\t{summary}\n" for name, summary in TOPICS.items()))


def _show_page(app: App, text: str) -> None:
    from shutil import get_terminal_size

    from flue_cli.render.markdown import render_markdown
    from flue_cli.render.tables import show_paged_text

    show_paged_text(app.output, render_markdown(text, get_terminal_size().columns))
