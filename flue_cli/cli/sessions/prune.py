"""`flue sessions prune`: delete old or empty sessions, after asking."""

from __future__ import annotations

import os
from typing import Annotated, NamedTuple

import typer

from flue_cli import times
from flue_cli.cli.app import App
from flue_cli.cli.options import AgentOption, StoreOption, load_settings, open_run_store
from flue_cli.cli.sessions.list import moment_of, show
from flue_cli.cli.stdin import confirm
from flue_cli.errors import SessionBusy, SessionChanged, StoreDamaged, UsageError
from flue_cli.names import check_agent_filter
from flue_cli.render.session_tree import TreeNode
from flue_cli.stores.contract import Store
from flue_cli.stores.records import SessionHead, SessionSummary
from flue_cli.text import format_bytes, pluralize, session_label
from flue_cli.times import format_ago

_SECONDS_TO_COMPACT = 3.0
"""Seconds that others may have to wait while unused space is returned: less than `--wait 0` waits anyway."""


class Family(NamedTuple):
    """A session to delete and its undone forks, which go with it, as heads and as list rows."""

    head: SessionHead
    forks: list[SessionHead]
    listed: list[SessionSummary]

    @property
    def last_used(self) -> int:
        """Time of the last use of any of them, in microseconds."""
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
        bool, typer.Option("--all", help="Also undone forks (NAME~1) of sessions that stay.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only list what would be deleted.")] = False,
    yes: Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")] = False,
    store_url: StoreOption = "",
) -> None:
    """Delete sessions that are old, or empty, after asking.

    With --older-than and --empty, a session must be both. Its undone forks
    (NAME~1) are deleted with it; it stays as long as one of them is not old or
    empty. A session with a turn running stays.
    """
    app: App = ctx.obj
    if not (older_than or empty):
        raise UsageError(
            "nothing says which sessions to delete",
            hint="add --older-than 30d, or --empty, or both; --dry-run lists them and deletes nothing",
        )
    before = moment_of("--older-than", older_than) if older_than else None
    settings = load_settings(store_url)
    with open_run_store(settings) as store:
        agent_filter = check_agent_filter(agent)
        going = find_prunable(app, store, agent_filter, before, empty=empty, forks=everything)
        if dry_run and going:
            show(app, [TreeNode(summary) for family in going for summary in family.listed])
        if not going:
            app.output.note("there is nothing to prune")
        if not going or dry_run:
            return
        if not yes and not confirm(_deletion_question(going)):
            app.output.note("nothing was deleted")
            return
        deleted = delete_families(app, store, going)
        given_back = store.reclaim_space(_SECONDS_TO_COMPACT) if deleted else 0
    app.output.note(
        f"deleted {pluralize(deleted, 'session')}"
        + (f": {format_bytes(given_back)} less" if given_back else "")
    )
    if any(os.path.exists(settings.input_history(family.head.agent)) for family in going):
        app.output.note("note: the chat's input history still has the prompts that were typed")


def find_prunable(
    app: App, store: Store, agent: str, before: int | None, *, empty: bool, forks: bool
) -> list[Family]:
    """List what may be deleted, last used first: whole families, and with `forks` also undone forks alone."""

    def may_go(head: SessionHead) -> bool:
        old = before is None or head.updated_at < before
        return old and (not empty or _has_no_turns(app, store, head))

    found = {summary.uid: summary for summary in store.sessions(agent=agent, with_undone_forks=True)}
    families: list[Family] = []
    gone: set[int] = set()
    for summary in sorted(found.values(), key=_is_undone_fork):
        if (_is_undone_fork(summary) and not forks) or summary.uid in gone:
            continue
        head = store.head(summary.agent, summary.name)
        if head.uid != summary.uid:  # deleted or renamed meanwhile
            continue
        family = [head, *store.undone_forks(head)]
        if not all(map(may_go, family)):
            continue
        if running := [one for one in family if _runs(store, one)]:
            app.output.note(f"skipped {session_label(running[0])}: a turn is running")
            continue
        gone.update(one.uid for one in family)
        listed = [found[one.uid] for one in family if one.uid in found]
        families.append(Family(head, family[1:], listed))
    return sorted(families, key=lambda family: -family.last_used)


def _is_undone_fork(summary: SessionSummary) -> bool:
    return summary.origin is not None and summary.origin.is_undone_fork


def _runs(store: Store, head: SessionHead) -> bool:
    running = store.unsettled_prompt(head)
    return running is not None and running.outcome == "running"


def _has_no_turns(app: App, store: Store, head: SessionHead) -> bool:
    """True if no turn was ever completed; False if the session is damaged."""
    try:
        tip = store.redo_head(head)
        return all(entry.outcome != "completed" for entry in store.entries(tip, 1, tip.turn))
    except SessionChanged:
        return False
    except StoreDamaged as error:
        app.output.error(error)
        return False


def delete_families(app: App, store: Store, going: list[Family]) -> int:
    """Delete them, except those used since they were listed; return the number of deleted sessions."""
    from flue_cli.render.progress_bar import show_progress

    deleted = 0
    with show_progress(app.output, "deleting", len(going)) as advance:
        for head, forks, _ in going:
            try:
                store.delete(head, seen_forks=forks)
                deleted += 1 + len(forks)
            except SessionBusy:
                app.output.note(f"skipped {session_label(head)}: a turn is running")
            except SessionChanged:
                app.output.note(f"skipped {session_label(head)}: it was used or changed just now")
            advance(1)
    return deleted


def _deletion_question(going: list[Family]) -> str:
    now = times.now()
    newest, oldest = going[0], going[-1]
    count = sum(1 + len(family.forks) for family in going)
    if len(going) == 1:
        return f"Delete {_family_label(newest)}, last used {format_ago(newest.last_used, now)}, for good?"
    return (
        f"Delete {pluralize(count, 'session')} for good, the newest {_family_label(newest)}, last used"
        f" {format_ago(newest.last_used, now)}, the oldest {_family_label(oldest)},"
        f" last used {format_ago(oldest.last_used, now)}?"
    )


def _family_label(family: Family) -> str:
    forks = f" and {pluralize(len(family.forks), 'undone fork')} of it" if family.forks else ""
    return f"{session_label(family.head)}{forks}"
