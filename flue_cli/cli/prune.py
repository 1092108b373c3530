"""`flue sessions prune`: deleting what is old or empty, never by itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Annotated, NamedTuple

import typer

from flue_cli.cli.asking import agreed
from flue_cli.cli.commands import App
from flue_cli.cli.listing import moment_of
from flue_cli.cli.options import AgentOption, StoreOption, load_settings, opened
from flue_cli.errors import SessionBusy, SessionChanged, StoreDamaged, UsageError
from flue_cli.names import agent_name
from flue_cli.render import plain
from flue_cli.stores.contract import Store
from flue_cli.stores.records import ABSENT, Head, Summary
from flue_cli.text import safe_line
from flue_cli.times import ago

_SECONDS_TO_COMPACT = 3.0
"""How long others may have to wait while room is given back: less than a `--wait 0` does anyway."""


class Family(NamedTuple):
    """A session that goes, and its kept forks, which go with it, as they were seen."""

    head: Head
    forks: list[Head]

    @property
    def last_used(self) -> int:
        """When any of them was last used."""
        return max(head.updated_at for head in (self.head, *self.forks))


def prune(
    ctx: typer.Context,
    older_than: Annotated[
        str,
        typer.Option(
            "--older-than", metavar="T", help="Not used since T: 12h, 30d, 8w, or a date or time in ISO form."
        ),
    ] = "",
    empty: Annotated[
        bool, typer.Option("--empty", help="Without any completed turn or edit, undone ones included.")
    ] = False,
    agent: AgentOption = "",
    everything: Annotated[
        bool, typer.Option("--all", help="Also forks that undoing kept, of sessions that stay.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    store: StoreOption = "",
) -> None:
    """Delete sessions that are old, or empty, after asking.

    What is named must hold all at once. The forks that undoing kept go with
    their session, and keep it as long as one of them is not old or empty. A
    session with a turn running stays.
    """
    app: App = ctx.obj
    if not (older_than or empty):
        raise UsageError(
            "prune needs to know what may go", hint="say --older-than 30d, or --empty, or both"
        )
    before = moment_of("--older-than", older_than) if older_than else None
    settings = load_settings(store)
    with opened(settings) as kept:
        going = _families(app, kept, agent_name(agent) if agent else "", before, empty=empty, forks=everything)
        if dry_run:
            _list(app, going)
        if not going:
            app.output.note("there is nothing to prune")
        if not going or dry_run:
            return
        if not yes and not agreed(_question(going)):
            app.output.note("nothing was deleted")
            return
        deleted = _delete(app, kept, going)
        given_back = kept.compact(_SECONDS_TO_COMPACT) if deleted else 0
    app.output.note(f"deleted {_sessions(deleted)}{f', {given_back:,} bytes given back' if given_back else ''}")
    if any(os.path.exists(settings.input_history(family.head.agent)) for family in going):
        app.output.note("note: the chat's input history still has the prompts that were typed")


def _families(
    app: App, store: Store, agent: str, before: int | None, *, empty: bool, forks: bool
) -> list[Family]:
    """What may go, the last used first: whole families, and with `forks` also kept forks alone."""
    found = store.sessions(agent=agent, kept=True)
    is_old: Callable[[Summary | Head], bool] = lambda one: before is None or one.updated_at < before  # noqa: E731
    families: list[Family] = []
    gone: set[int] = set()
    for summary in sorted(found, key=lambda one: one.origin is not None and one.origin.is_kept):
        is_kept = summary.origin is not None and summary.origin.is_kept
        if (is_kept and not forks) or summary.uid in gone or not is_old(summary):
            continue
        head = store.head(summary.agent, summary.name)
        if head.uid != summary.uid:  # deleted or renamed meanwhile
            continue
        family = Family(head, store.kept(head))
        members = (head, *family.forks)
        if all(map(is_old, members)) and (not empty or all(_is_empty(app, store, one) for one in members)):
            running = store.running(head)
            if running and running.outcome == "running":
                app.output.note(f"skipped {_name(head)}: a turn is running")
                continue
            families.append(family)
            gone.update(one.uid for one in members)
    return sorted(families, key=lambda family: -family.last_used)


def _is_empty(app: App, store: Store, head: Head) -> bool:
    """Whether nothing was ever completed; what is damaged may have been."""
    try:
        tip = store.tip(head)
        return all(entry.outcome != "completed" for entry in store.entries(tip, 1, tip.turn))
    except SessionChanged:
        return False
    except StoreDamaged as error:
        app.output.error(error)
        return False


def _delete(app: App, store: Store, going: list[Family]) -> int:
    """Delete them, but for those that somebody used since they were looked at; how many sessions went."""
    from flue_cli.render.progress import progress

    deleted = 0
    with progress(app.output, "deleting", len(going)) as advance:
        for head, forks in going:
            try:
                store.delete(head, seen=forks)
                deleted += 1 + len(forks)
            except SessionBusy:
                app.output.note(f"skipped {_name(head)}: a turn is running")
            except SessionChanged:
                app.output.note(f"skipped {_name(head)}: it was used or changed just now")
            advance(1)
    return deleted


def _question(going: list[Family]) -> str:
    now = time.time_ns() // 1000
    newest, oldest = going[0], going[-1]
    count = sum(1 + len(family.forks) for family in going)
    if len(going) == 1:
        return f"delete {_named(newest)}, last used {ago(newest.last_used, now)}, for good?"
    return (
        f"delete {_sessions(count)} for good, the newest {_named(newest)}, last used"
        f" {ago(newest.last_used, now)}, the oldest {_named(oldest)}, last used {ago(oldest.last_used, now)}?"
    )


def _list(app: App, going: list[Family]) -> None:
    """What would go, as `list` shows sessions."""
    uids = {head.uid for family in going for head in (family.head, *family.forks)}


def _named(family: Family) -> str:
    forks = f" and {_sessions(len(family.forks))} kept of it" if family.forks else ""
    return f"{_name(family.head)}{forks}"


def _name(head: Head) -> str:
    return f"{safe_line(head.agent)}/{safe_line(head.name)}"


def _sessions(count: int) -> str:
    return f"{count} session" if count == 1 else f"{count} sessions"
