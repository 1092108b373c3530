"""Keeping a store in order: what was used since, figures, changes, deleting only what was seen."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from flue_cli.errors import SessionBusy, SessionChanged
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, Failure, TurnFailure
from flue_cli.testing.run_turns import (
    AGENT,
    begin_expired_turn,
    begin_turn,
    complete_turn,
    edit_data,
    move_head_to,
    run_failed_turn,
    run_turn,
    run_turns,
    sleep,
    store_contents,
    store_threads,
    timeline_entries,
    undone_fork_names,
)

HOUR = 3_600_000_000


class UpkeepCases:
    """Keeping a store in order: what was used since, figures, changes, deleting only what was seen."""

    def test_a_list_begins_at_a_moment(self, store: Store) -> None:
        """With `since`, only sessions that were used then or later, before the limit counts."""
        for name in ("a", "b", "c"):
            head = run_turns(store, "hello", name=name)
            time.sleep(0.001)
        middle = store.head(AGENT, "b").updated_at

        def names(**how: Any) -> list[str]:
            return [summary.name for summary in store.sessions(**how)]

        assert names(since=0) == ["c", "b", "a"]
        assert names(since=middle) == ["c", "b"]
        assert names(since=middle + 1) == ["c"]
        assert names(since=middle, limit=1) == ["c"]
        assert names(since=head.updated_at + 1) == []
        assert names(since=head.updated_at + 1, agent=AGENT) == []

    def test_a_session_whose_turn_began_since_was_used(self, store: Store) -> None:
        """A turn that began counts as use at once, although nothing has come of it yet."""
        before = run_turns(store, "hello")
        time.sleep(0.001)
        lease = begin_turn(store, "again").lease

        (found,) = store.sessions(since=lease.started_at)

        assert (found.uid, found.updated_at) == (before.uid, before.updated_at)
        assert store.sessions(since=lease.started_at + 1) == []

    def test_undone_forks_are_listed_since_they_were_used(self, store: Store) -> None:
        """An undone fork counts as used at the time of its newest turn."""
        run_turns(store, "one", "two")
        before = store.head(AGENT, "main").updated_at
        move_head_to(store, 1)
        time.sleep(0.001)
        lease = begin_turn(store, "instead").lease
        complete_turn(store, lease)

        assert [summary.name for summary in store.sessions(with_undone_forks=True, since=before)] == [
            "main",
            "main~1",
        ]
        assert [
            summary.name for summary in store.sessions(with_undone_forks=True, since=lease.started_at)
        ] == ["main"]

    def test_an_empty_store_has_empty_figures(self, store: Store) -> None:
        """Nothing is counted where nothing is."""
        found = store.statistics()

        assert (found.sessions, found.turns, found.messages, found.agents, found.days) == (0, 0, 0, (), ())
        assert (found.busiest, found.slowest) == ((), ())
        run_turns(store, "hello")
        assert store.statistics(agent="nobody")[:10] == (0,) * 10

    def test_figures_count_what_is_kept(self, store: Store) -> None:
        """Sessions, turns by what became of them, edits and messages; every entry once, undone or not."""
        run_turns(store, "one", "two", name="a")
        run_failed_turn(store, "three", "a")
        edit_data(store, '{"n": 1}', "a")
        begin_expired_turn(store, "lost", "b")
        run_turn(store, "found", "b")
        lease = begin_turn(store, "stop", "b").lease
        store.abandon(lease, TurnFailure("cancelled", Failure("cancelled", "as asked"), {}))
        run_turn(store, "hello", "x", agent="other")
        begin_turn(store, "runs", "y", agent="other")
        move_head_to(store, 1, "a")
        run_turns(store, "instead", name="a")
        assert undone_fork_names(store, "a") == ["a~1"]

        found = store.statistics()

        assert (found.sessions, found.undone_forks) == (4, 1)
        assert (found.turns, found.edits) == (9, 1)
        outcomes = (found.completed, found.failed, found.cancelled, found.interrupted)
        assert outcomes == (5, 1, 1, 1)
        assert found.messages == 4 + 2 + 2
        assert found.bytes > 0
        assert found.agents == ((AGENT, 7), ("other", 2))
        assert sum(turns for _, turns in found.days) == 9
        assert [(busy.session, busy.turns) for busy in found.busiest[:2]] == [("a", 4), ("b", 3)]
        assert {slow.session for slow in found.slowest} == {"a", "b", "x"}

        mine = store.statistics(agent="other")
        assert (mine.sessions, mine.turns, mine.completed, mine.messages) == (2, 2, 1, 2)
        assert mine.agents == (("other", 2),)
        assert mine.bytes > 0

    def test_figures_know_the_slowest_turn_and_the_days(self, store: Store) -> None:
        """The slowest turn of each session, slowest first; days begin where the asker is."""
        late = 20_000 * 24 * HOUR + 23 * HOUR  # an hour before midnight, UTC
        store.import_session(
            AGENT, "a", [_timed_entry(1, late, 5_000), _timed_entry(2, late + 2 * HOUR, 9_000)]
        )
        store.import_session(AGENT, "b", [_timed_entry(1, late, 7_000), _timed_entry(2, late, 7_000)])

        found = store.statistics()

        assert [slow[1:] for slow in found.slowest] == [("a", 2, 9_000), ("b", 1, 7_000)]
        assert found.days == ((20_000, 3), (20_001, 1))
        assert store.statistics(ahead=3600).days == ((20_001, 4),)
        assert store.statistics(ahead=-3 * 3600).days == ((20_000, 4),)

    def test_a_change_is_noticed(self, store: Store) -> None:
        """The stamp stays while nothing happens, and is another one after every change, by any thread."""

        def changes() -> list[Callable[[], object]]:
            return [
                lambda: run_turns(store, "one", "two"),
                lambda: begin_turn(store, "runs", "other"),
                lambda: run_failed_turn(store, "three"),
                lambda: move_head_to(store, 1),
                lambda: edit_data(store, '{"n":1}'),
                lambda: store.rename(store.head(AGENT, "main"), "new", wait=0, pause=sleep),
                lambda: store.fork(store.head(AGENT, "new"), "fork"),
                lambda: store.delete(store.head(AGENT, "fork")),
            ]

        run_turns(store, "zero")
        seen = store.change_token()
        for change in changes():
            store.sessions(with_undone_forks=True)
            assert store.change_token() == seen
            change()
            assert store.change_token() != seen
            seen = store.change_token()
        with store_threads(store) as start:
            start(run_turns, store, "elsewhere").result()
        assert store.change_token() != seen

    @pytest.mark.parametrize("what", ["turn", "undo", "turn of a fork", "another fork"])
    def test_only_what_was_seen_is_deleted(self, store: Store, what: str) -> None:
        """A session that changed since, or whose undone forks changed, is not deleted at all."""
        run_turns(store, "one", "two")
        move_head_to(store, 1)
        run_turns(store, "instead")
        head, forks = store.head(AGENT, "main"), store.undone_forks(store.head(AGENT, "main"))
        if what == "turn":
            run_turns(store, "more")
        elif what == "undo":
            move_head_to(store, 1)
        elif what == "turn of a fork":
            run_turns(store, "more", name="main~1")
        else:
            move_head_to(store, 0)
            run_turns(store, "anew")
        before = store_contents(store)

        with pytest.raises(SessionChanged):
            store.delete(head, seen_forks=forks)

        assert store_contents(store) == before
        store.delete(store.head(AGENT, "main"), seen_forks=store.undone_forks(store.head(AGENT, "main")))
        assert store.sessions(with_undone_forks=True) == []

    def test_what_was_seen_and_runs_is_not_deleted(self, store: Store) -> None:
        """A turn that began since keeps its session."""
        head = run_turns(store, "one")
        begin_turn(store, "two")

        with pytest.raises(SessionBusy):
            store.delete(head, seen_forks=[])

        assert store.head(AGENT, "main") == head

    def test_giving_room_back_loses_nothing(self, store: Store) -> None:
        """After most sessions were deleted, the others, the store and a running turn go on."""
        for number in range(20):
            run_turn(store, "x" * 10_000, f"s{number}")
        run_turns(store, "one", "two", name="stays")
        lease = begin_turn(store, "runs", "s0").lease
        for number in range(1, 20):
            store.delete(store.head(AGENT, f"s{number}"))
        before = store_contents(store, "stays")

        assert store.reclaim_space(30) >= 0

        assert store_contents(store, "stays") == before
        complete_turn(store, lease)
        assert [
            entry.prompt for entry in timeline_entries(store, run_turns(store, "three", name="stays"))
        ] == [
            "one",
            "two",
            "three",
        ]


def _timed_entry(number: int, started_at: int, took: int) -> Entry:
    return Entry(
        number, "prompt", "completed", None, "hi", "ho", (), started_at, started_at + took, None, {}, "{}"
    )
