"""`flue sessions prune`: what is old or empty goes, after asking, and nothing else."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from flue_cli.stores import open_store
from flue_cli.testing.run_turns import (
    AGENT,
    begin_turn,
    complete_turn,
    edit_data,
    move_head_to,
    run_failed_turn,
    run_turn,
    run_turns,
)

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Flue

    from flue_cli.stores.contract import Store

DAY = 86_400_000_000


@pytest.fixture
def store(flue: Flue) -> Iterator[Store]:
    """The store of the command."""
    flue.home.mkdir(exist_ok=True)
    opened = open_store(str(flue.store))
    yield opened
    opened.close()


def age(path: Path, days: float, *sessions: str) -> None:
    """Let sessions have been used so many days ago."""
    then = time.time_ns() // 1000 - int(days * DAY)
    db = sqlite3.connect(path)
    with db:
        for name in sessions:
            assert db.execute("UPDATE session SET updated_at = ? WHERE name = ?", (then, name)).rowcount
    db.close()


def names(store: Store) -> list[str]:
    return [summary.name for summary in store.sessions(with_undone_forks=True)]


def test_what_is_old_goes_after_asking(flue: Flue, store: Store) -> None:
    """The question has the number, the newest and the oldest; what was used since stays."""
    for name in ("older", "old", "new"):
        run_turns(store, "hello", name=name)
    age(flue.store, 60, "older")
    age(flue.store, 40, "old")

    done = flue("sessions", "prune", "--older-than", "30d", stdin="y\n")

    assert (done.code, done.out) == (0, "")
    today = time.strftime("%Y-%m-%d")
    assert "Delete 2 sessions for good, the newest parrot/old, last used 20" in done.err
    assert ", the oldest parrot/older, last used 20" in done.err
    assert today not in done.err
    assert "deleted 2 sessions" in done.err
    assert names(store) == ["new"]
    again = flue("sessions", "prune", "--older-than", "30d", "-y", stdin=None)
    assert (again.code, again.err) == (0, "there is nothing to prune\n")


@pytest.mark.parametrize(("answer", "code", "left"), [("yes", 0, 0), ("n\n", 0, 1), ("\n", 0, 1), ("", 2, 1)])
def test_the_answer_may_come_from_a_pipe(flue: Flue, store: Store, answer: str, code: int, left: int) -> None:
    """As delete: declined is 0, no answer at all is 2 and names --yes."""
    run_turns(store, "hello")
    age(flue.store, 40, "main")

    done = flue("sessions", "prune", "--older-than", "30d", stdin=answer)

    assert done.code == code
    assert "Delete parrot/main, last used 20" in done.err
    assert ("--yes" in done.err) == (code == 2)
    assert len(names(store)) == left


def test_a_criterion_is_needed(flue: Flue, store: Store) -> None:
    """Neither nothing nor an agent alone says what may go: 2; nor what is no time."""
    run_turns(store, "hello")

    for options in ((), ("-y",), ("--agent", AGENT, "-y"), ("--all", "-y"), ("--older-than", "soon", "-y")):
        assert flue("sessions", "prune", *options, stdin=None).code == 2
    assert flue("sessions", "prune", stdin=None).err.startswith(
        "error: nothing says which sessions to delete\nhint: add --older-than 30d, or --empty, or both; "
    )
    assert names(store) == ["main"]


def test_a_dry_run_lists_and_deletes_nothing(flue: Flue, store: Store) -> None:
    """--dry-run writes what would go to stdout as list does, asks nothing, and leaves all of it."""
    for name in ("old", "new"):
        run_turns(store, "hello", name=name)
    age(flue.store, 40, "old")
    before = store.sessions(), store.change_token()

    done = flue("sessions", "prune", "--older-than", "30d", "--dry-run", "-y", stdin=None)

    listed = [line for line in flue("sessions", "list", stdin=None).out.splitlines() if "\told\t" in line]
    assert (done.code, done.out.splitlines(), done.err) == (0, listed, "")
    assert (store.sessions(), store.change_token()) == before


def test_what_is_empty_goes(flue: Flue, store: Store) -> None:
    """--empty: nothing was ever completed; an edit, or an answer that was undone, is something."""
    run_failed_turn(store, "no", "failed")
    run_turns(store, "hello", name="answered")
    edit_data(store, '{"n": 1}', "failed")
    run_failed_turn(store, "no", "only failed")
    store.fork(store.head_at(store.head(AGENT, "answered"), 0), "blank")
    run_turns(store, "hello", name="undone")
    move_head_to(store, 0, "undone")
    run_turn(store, "hello", "other", agent="other")
    run_failed_turn(store, "no", "of another agent", agent="other")

    assert flue("sessions", "prune", "--empty", "--agent", AGENT, "-y", stdin=None).code == 0

    assert sorted(names(store)) == ["answered", "failed", "of another agent", "other", "undone"]
    assert flue("sessions", "prune", "--empty", "--older-than", "1d", "-y", stdin=None).code == 0
    assert "of another agent" in names(store)
    assert flue("sessions", "prune", "--empty", "-y", stdin=None).code == 0
    assert "of another agent" not in names(store)


def test_undone_forks_go_with_their_session(flue: Flue, store: Store) -> None:
    """They are counted in the question; one that was used lately keeps all of them; a person's fork stays."""
    run_turns(store, "one", "two")
    store.fork(store.head(AGENT, "main"), "mine")
    move_head_to(store, 1)
    run_turns(store, "instead")
    age(flue.store, 40, "main")

    assert "nothing to prune" in flue("sessions", "prune", "--older-than", "30d", stdin="y").err
    assert len(names(store)) == 3
    age(flue.store, 40, "main~1")
    done = flue("sessions", "prune", "--older-than", "30d", stdin="y")
    assert "Delete parrot/main and 1 undone fork of it, last used" in done.err
    assert "deleted 2 sessions" in done.err
    assert names(store) == ["mine"]


def test_undone_forks_of_sessions_that_stay_go_with_all(flue: Flue, store: Store) -> None:
    """Only --all prunes a kept fork whose session stays, and a fork that was kept of that one with it."""
    run_turns(store, "one", "two")
    move_head_to(store, 1)
    run_turns(store, "instead")
    move_head_to(store, 1, "main~1")
    run_turns(store, "other", name="main~1")
    age(flue.store, 40, "main~1", "main~1~1")
    assert sorted(names(store)) == ["main", "main~1", "main~1~1"]

    assert "nothing to prune" in flue("sessions", "prune", "--older-than", "30d", "-y", stdin=None).err
    assert (
        "deleted 2 sessions"
        in flue("sessions", "prune", "--older-than", "30d", "--all", "-y", stdin=None).err
    )
    assert names(store) == ["main"]
    assert [entry.prompt for entry in store.entries(store.head(AGENT, "main"), 1, 9)] == ["one", "instead"]


def test_a_running_session_stays_and_is_named(flue: Flue, store: Store) -> None:
    """A session with a turn running is skipped, whatever its age; the others go."""
    for name in ("busy", "idle"):
        run_turns(store, "hello", name=name)
    lease = begin_turn(store, "more", "busy").lease
    age(flue.store, 40, "busy", "idle")

    done = flue("sessions", "prune", "--older-than", "30d", "-y", stdin=None)

    assert done.code == 0
    assert "skipped parrot/busy: a turn is running" in done.err
    assert "deleted 1 session" in done.err
    assert names(store) == ["busy"]
    complete_turn(store, lease)


def test_what_is_used_while_the_question_stands_stays(flue: Flue, store: Store) -> None:
    """The answer counts for what was asked about: a session that was used meanwhile is skipped and named."""
    for name in ("one", "two"):
        run_turns(store, "hello", name=name)
    age(flue.store, 40, "one", "two")
    process = flue.start("sessions", "prune", "--older-than", "30d")
    asked = b""
    while b"[y/N]" not in asked:
        asked += process.stderr.read1()
    run_turns(store, "still here", name="one")

    _, said = process.communicate(b"y\n", timeout=20)

    assert process.returncode == 0
    assert b"skipped parrot/one: it was used or changed just now" in said
    assert b"deleted 1 session" in said
    assert names(store) == ["one"]


def test_room_is_given_back(flue: Flue, store: Store) -> None:
    """The file gets smaller, says by how much, and what was deleted is in it no more."""
    for number in range(8):
        run_turn(store, f"Rumpelstiltskin {'x' * 100_000}", f"s{number}")
    run_turn(store, "stays", "stays")
    age(flue.store, 40, *(f"s{number}" for number in range(8)))
    store.close()  # which brings all of it into the file
    before = flue.store.stat().st_size

    done = flue("sessions", "prune", "--older-than", "30d", "-y", stdin=None)

    assert done.code == 0
    assert "deleted 8 sessions: " in done.err
    assert flue.store.stat().st_size < before / 4
    assert b"Rumpelstiltskin" not in b"".join(
        path.read_bytes() for path in flue.home.glob("flue.db*") if path.is_file()
    )
    assert flue("doctor", stdin=None).code == 0
    assert names(store) == ["stays"]


def test_a_store_in_use_is_no_reason_to_fail(flue: Flue, store: Store) -> None:
    """While others write and read, pruning does its work; room that cannot be given back is given back later."""
    for number in range(5):
        run_turn(store, "x" * 100_000, f"s{number}")
    age(flue.store, 40, *(f"s{number}" for number in range(5)))
    reader = sqlite3.connect(flue.store, isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM session").fetchone()
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            run_turn(store, "meanwhile", "busy", wait=30)
        store.disconnect()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        done = flue("sessions", "prune", "--older-than", "30d", "-y", stdin=None)
    finally:
        over.set()
        writer.join()
        reader.close()

    assert (done.code, names(store)) == (0, ["busy"])
    assert "deleted 5 sessions" in done.err
    head = store.head(AGENT, "busy")
    assert len(list(store.entries(head, 1, head.turn))) == head.turn > 0


CHANGES = some.lists(
    some.tuples(
        some.sampled_from(["a", "b", "c"]),
        some.sampled_from(["turn", "failed", "edit", "undo", "fork"]),
        some.integers(0, 3),
    ),
    max_size=12,
)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(CHANGES, some.sets(some.integers(0, 20)), some.booleans())
def test_prune_takes_what_its_criteria_say(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[str, str, int]], old: set[int], forks: bool
) -> None:
    """Whatever was done: exactly the families go of which every member is old and without a completed entry."""
    from flue_cli.cli.app import App
    from flue_cli.cli.sessions import prune
    from flue_cli.cli.signals import Signals
    from flue_cli.render.streams import Output

    path = tmp_path_factory.mktemp("store") / "flue.db"
    store = open_store(str(path))
    for name, what, number in changes:
        head = store.head(AGENT, name)
        if what == "turn":
            run_turns(store, "hello", name=name)
        elif what == "failed":
            run_failed_turn(store, "no", name)
        elif what == "edit":
            edit_data(store, f'{{"n": {number}}}', name) if head.uid else None
        elif what == "undo":
            move_head_to(store, max(0, head.turn - number), name) if head.uid else None
        elif head.uid and not store.head(AGENT, f"{name}{number}").uid:
            store.fork(head, f"{name}{number}")
    found = store.sessions(with_undone_forks=True)
    for summary in found:
        if summary.uid in old:
            age(path, 40, summary.name)
    before = time.time_ns() // 1000 - 30 * DAY

    def goes(uid: int) -> bool:
        (head,) = (store.head(AGENT, one.name) for one in found if one.uid == uid)
        tip = store.redo_head(head)
        filled = any(entry.outcome == "completed" for entry in store.entries(tip, 1, tip.turn))
        return uid in old and not filled

    families = {
        one.uid: [one.uid, *(fork.uid for fork in store.undone_forks(store.head(AGENT, one.name)))]
        for one in found
    }
    wanted = {
        member
        for one in found
        if forks or one.origin is None or not one.origin.is_undone_fork
        for member in families[one.uid]
        if all(map(goes, families[one.uid]))
    }

    going = prune.find_prunable(App(Output(), Signals()), store, "", before, empty=True, forks=forks)

    uids = [head.uid for family in going for head in (family.head, *family.forks)]
    assert sorted(uids) == sorted(wanted)
    assert prune.delete_families(App(Output(), Signals()), store, going) == len(wanted)
    assert {one.uid for one in store.sessions(with_undone_forks=True)} == {one.uid for one in found} - wanted
    store.close()
