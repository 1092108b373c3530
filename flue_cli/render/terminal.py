"""What a person sees on a terminal. The only module that imports rich; all text is made safe first."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from flue_cli.agents import AgentSource, Description
from flue_cli.render.output import Output
from flue_cli.stores.contract import Entry, Summary
from flue_cli.text import safe_line, safe_text
from flue_cli.times import local_time


def page(output: Output, what: RenderableType, *, pager: bool = True) -> None:
    """Show `what`, through the pager (PAGER, else less) when it is longer than the screen."""
    size = shutil.get_terminal_size()
    console = Console(width=size.columns, force_terminal=True, highlight=False, markup=False, emoji=False)
    with console.capture() as capture:
        console.print(what)
    text = capture.get()
    program = (os.environ.get("PAGER") or shutil.which("less")) if pager else None
    if text.count("\n") < size.lines or not program:
        output.rendered(text)
        return
    # -R shows our colours and nothing else that a terminal obeys; -F and -X leave short text standing.
    environment = {"LESS": "-FRX", **os.environ}
    with subprocess.Popen(program, shell=True, stdin=subprocess.PIPE, text=True, env=environment) as process:  # noqa: S602 - PAGER is a shell command by custom
        try:
            process.communicate(text)
        except BrokenPipeError:  # left before the end
            return


def session_table(found: Iterable[Summary]) -> Table:
    """A table of sessions."""
    table = _table("agent", "session", "turns", "last used", "last prompt")
    for summary in found:
        table.add_row(
            Text(safe_line(summary.agent), "cyan"),
            Text(safe_line(summary.name), "bold"),
            Text(str(summary.turns)),
            Text(local_time(summary.updated_at)),
            Text(safe_line(summary.preview), "dim"),
        )
    return table


def agent_table(found: Iterable[tuple[AgentSource, Description]]) -> Table:
    """A table of agents."""
    table = _table("agent", "", "where from")
    for source, about in found:
        what = Text(safe_line(about.problem_or_summary), "red" if about.problem else "")
        table.add_row(Text(safe_line(source.name), "cyan"), what, Text(safe_line(source.origin), "dim"))
    return table


def transcript(entries: Sequence[Entry]) -> Text:
    """A conversation: each prompt behind a mark, what became of it, and the reply."""
    text = Text()
    for entry in entries:
        if text:
            text.append("\n")
        text.append(f"[{entry.turn}] {local_time(entry.started_at)}", "dim")
        if entry.outcome != "completed":
            text.append(f"  {entry.outcome}", "bold red")
        text.append("\n")
        text.append("> " + safe_text(entry.prompt).replace("\n", "\n  ") + "\n", "bold")
        if entry.reply is not None:
            text.append(safe_text(entry.reply).rstrip("\n") + "\n")
        elif entry.error:
            text.append(safe_line(entry.error.message) + "\n", "red")
    text.rstrip()
    return text


def _table(*headings: str) -> Table:
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for heading in headings:
        table.add_column(
            heading,
            overflow="fold" if heading in ("agent", "session") else "ellipsis",
            no_wrap=heading == "last prompt",
        )
    return table
