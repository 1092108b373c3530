"""Tables and pages for a person on a terminal. All text is made safe first."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import suppress

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from flue_cli import times
from flue_cli.agents.description import Description
from flue_cli.agents.search_path import AgentSource
from flue_cli.render.search_hits import hit_excerpt
from flue_cli.render.session_tree import TreeNode
from flue_cli.render.streams import Output
from flue_cli.render.tool_lines import tool_lines
from flue_cli.stores.records import Entry, HealthFinding, SearchHit
from flue_cli.stores.rules import outcome_label, partial_reply, partial_reply_label, reply_format
from flue_cli.stores.search_query import SearchQuery
from flue_cli.text import safe_line, safe_text
from flue_cli.times import format_ago, format_local_time

_MIN_COLUMNS_FOR_PATHS = 80
"""Smallest width of the screen for which a table of agents has their paths."""


def show_paged_renderable(output: Output, what: RenderableType, *, pager: bool = True) -> None:
    """Show `what`, through the pager (PAGER, else less) when it is longer than the screen."""
    size = shutil.get_terminal_size()
    console = _capturing_console(size.columns)
    with console.capture() as capture:
        console.print(what)
    show_paged_text(output, capture.get(), pager=pager)


def show_paged_text(output: Output, text: str, *, pager: bool = True) -> None:
    """The same for text that is ready for the screen."""
    size = shutil.get_terminal_size()
    pager = pager and os.environ.get("TERM") not in (
        "dumb",
        "unknown",
    )  # where less warns, and waits for a key
    program = (os.environ.get("PAGER") or shutil.which("less")) if pager else None
    rows = sum(1 + len(line) // max(size.columns, 1) for line in text.split("\n")) - 1
    if rows < size.lines or not program:
        output.write_raw(text)
        return
    # -R shows our colours and nothing else that a terminal obeys; -F and -X leave short text standing.
    environment = {"LESS": "-FRX", **os.environ}
    ours = signal.signal(signal.SIGINT, lambda signum, frame: None)  # Ctrl-C is the pager's for now
    try:
        with output.terminal_file() as screen, suppress(BrokenPipeError):  # left before the end
            subprocess.run(
                shlex.split(program), input=text, stdout=screen, text=True, env=environment, check=False
            )
    except (OSError, ValueError):  # no such program
        output.write_raw(text)
    finally:
        signal.signal(signal.SIGINT, ours)


def session_table(found: Iterable[TreeNode]) -> Table:
    """A table of sessions; what is cut on a narrow screen is the prompt, not the names."""
    table = _make_table(agent="names", session="names", turns="whole", last_used="whole", last_prompt="cut")
    now = times.now()
    for summary, drawn in found:
        name = Text.assemble((drawn, "dim"), (safe_line(summary.name), "bold"))
        if drawn and summary.origin:
            name.append(f" (from turn {summary.origin.turn})", "dim")
        table.add_row(
            Text(safe_line(summary.agent), "cyan"),
            name,
            Text(str(summary.turns)),
            Text(format_ago(summary.updated_at, now)),
            Text(safe_line(summary.preview), "dim"),
        )
    return table


def agent_table(found: Iterable[tuple[AgentSource, Description]]) -> Table:
    """A table of agents.

    A long path loses its beginning, so that descriptions have room; a narrow screen has no paths.
    """
    columns = shutil.get_terminal_size().columns
    has_paths = columns >= _MIN_COLUMNS_FOR_PATHS
    table = _make_table(
        agent="names", description="wrapped", where_from="whole", **({"path": "whole"} if has_paths else {})
    )
    for source, about in found:
        cells = [
            Text(safe_line(source.name), "cyan"),
            Text(safe_line(about.problem_or_summary), "red" if about.problem else ""),
            Text(safe_line(source.origin), "dim"),
        ]
        if has_paths:
            cells.append(Text(safe_line(_short_path(source.path, columns * 2 // 5)), "dim"))
        table.add_row(*cells)
    return table


def _short_path(path: str, columns: int) -> str:
    """Shorten a path: from the working folder, or from home; then its first folders become an ellipsis."""
    home = os.path.expanduser("~")
    below = os.path.relpath(path)
    if not below.startswith(os.pardir + os.sep):
        path = os.path.join(os.curdir, below)
    elif path.startswith(home.rstrip(os.sep) + os.sep):
        path = "~" + path[len(home.rstrip(os.sep)) :]
    while cell_len(path) > columns and (rest := path.lstrip("…").lstrip(os.sep)).count(os.sep):
        path = "…" + os.sep + rest.partition(os.sep)[2]
    return path


def setting_table(found: Iterable[tuple[str, str, str]]) -> Table:
    """A table of settings: name, value, source."""
    table = _make_table(setting="whole", value="names", where_from="whole")
    for name, value, origin in found:
        table.add_row(Text(name, "cyan"), Text(safe_line(value)), Text(safe_line(origin), "dim"))
    return table


def match_table(found: Iterable[Sequence[str]]) -> Table:
    """A table of what a query found: agent, session, path, value."""
    table = _make_table(agent="names", session="names", path="names", value="wrapped")
    for agent, session, path, value in found:
        table.add_row(
            Text(safe_line(agent), "cyan"),
            Text(safe_line(session), "bold"),
            Text(safe_line(path), "dim"),
            Text(safe_line(value)),
        )
    return table


def hit_table(hits: Iterable[SearchHit], query: SearchQuery) -> Table:
    """A table of what a search found, the words in its excerpts marked."""
    table = _make_table(agent="names", session="names", turn="whole", when="whole", excerpt="wrapped")
    for hit in hits:
        pieces = (
            (safe_line(piece), "bold yellow" if is_word else "") for piece, is_word in hit_excerpt(hit, query)
        )
        table.add_row(
            Text(safe_line(hit.agent), "cyan"),
            Text(safe_line(hit.name), "bold"),
            Text(str(hit.turn)),
            Text(format_local_time(hit.started_at)),
            Text.assemble(*pieces),
        )
    return table


def checkup_text(found: Iterable[tuple[str, HealthFinding]]) -> Text:
    """Return the findings of a check-up by topic; problems stand out, with advice below each."""
    marks = {"ok": ("ok      ", "green"), "note": ("note    ", "yellow"), "problem": ("problem ", "bold red")}
    text, before = Text(), ""
    for topic, finding in found:
        if topic != before:
            text.append(f"\n{topic}\n" if text else f"{topic}\n", "bold")
            before = topic
        text.append(*marks[finding.level])
        text.append(safe_line(finding.message) + "\n")
        if finding.advice:
            text.append(f"        -> {safe_line(finding.advice)}\n", "dim")
    text.rstrip()
    return text


def transcript_text(
    entries: Iterable[Entry],
    *,
    as_markdown: bool | None = None,
    has_unicode: bool = True,
    columns: int = 0,
) -> str:
    """A conversation, ready for the screen: each prompt behind a mark, its tool messages, and the reply.

    Replies are as the agent gave them, not broken into lines by us; `as_markdown`: laid out for `columns`,
    0 for those of the screen. None leaves it to the format that was recorded with each turn.
    """
    columns = columns or shutil.get_terminal_size().columns
    return "\n".join(
        _turn_text(
            entry,
            reply_format(entry) == "markdown" if as_markdown is None else as_markdown,
            has_unicode,
            columns,
        )
        for entry in entries
    )


def beside_bar(text: str, columns: int, *, has_unicode: bool = True) -> str:
    """Set lines that are ready for the screen beside a dim bar, each broken where the screen ends."""
    console = _capturing_console(max(columns, 3))
    bar = Text("│ " if has_unicode else "| ", "dim")
    with console.capture() as capture:
        for line in Text.from_ansi(text.rstrip("\n")).wrap(console, max(columns - 2, 1)):
            line.rstrip()
            console.print(Text.assemble(bar, line), soft_wrap=True)
    return capture.get()


def _turn_text(entry: Entry, as_markdown: bool, has_unicode: bool, columns: int) -> str:
    pieces = [(f"[{entry.turn}] {format_local_time(entry.started_at)}", "dim")]
    if entry.label:
        pieces.append((f"  [{safe_line(entry.label)}]", "bold"))
    if mark := outcome_label(entry):
        is_failure = entry.outcome not in ("completed", "cancelled")
        pieces.append((f"  {mark}", "bold red" if is_failure else "bold"))
    if entry.kind == "prompt":
        pieces.append(("\n> " + safe_text(entry.prompt).replace("\n", "\n  "), "bold"))
    lines = tool_lines(entry.messages, columns - 1, has_unicode=has_unicode)
    pieces += ((f"\n{line}", "dim") for line in lines)
    if part := partial_reply(entry):
        pieces.append((f"\n{partial_reply_label(entry)}:\n{safe_text(part).rstrip(chr(10))}", "dim"))
    if entry.reply is None and entry.error and entry.error.message != mark:
        pieces.append((f"\n{safe_line(entry.error.message)}", "red"))
    said = f"{style_pieces(pieces)}\n"
    if not entry.reply:  # "" too: there is nothing to read
        return said
    if not as_markdown:
        return said + safe_text(entry.reply).rstrip("\n") + "\n"
    from flue_cli.render.markdown import render_markdown

    return said + render_markdown(entry.reply, columns)


def style_pieces(pieces: Iterable[tuple[str, str]]) -> str:
    """Pieces of text that was made safe, each in its style, one after another as they are."""
    console = _capturing_console()
    with console.capture() as capture:
        console.print(Text.assemble(*pieces), end="", soft_wrap=True)
    return capture.get()


def _capturing_console(columns: int | None = None) -> Console:
    return Console(
        width=columns,
        height=shutil.get_terminal_size().lines,  # without it, rich takes a dumb terminal to have 80 columns
        force_terminal=True,
        highlight=False,
        markup=False,
        emoji=False,
    )


def _make_table(**columns: str) -> Table:
    """A table with a column for each name, and how it gives way on a narrow screen."""
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name, way in columns.items():
        heading = name.replace("_", " ")
        match way:
            case "whole":
                table.add_column(heading, no_wrap=True, min_width=len(heading))
            case "names":
                table.add_column(heading, overflow="fold", min_width=min(len(heading), 8), max_width=40)
            case "cut":
                table.add_column(heading, overflow="ellipsis", no_wrap=True, ratio=1)
            case _:
                table.add_column(heading, ratio=1)
    table.expand = any(way in ("cut", "wrapped") for way in columns.values())
    return table
