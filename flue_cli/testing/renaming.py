"""Sessions get another name, or another agent."""

from __future__ import annotations

import pytest

from flue_cli.errors import SessionBusy, SessionChanged, SessionExists
from flue_cli.stores.contract import Store
from flue_cli.stores.records import ReplayedTurn, TurnRequest
from flue_cli.testing.run_turns import (
    AGENT,
    QueueSignal,
    begin_expired_turn,
    begin_turn,
    complete_turn,
    move_head_to,
    run_failed_turn,
    run_turn,
    session_contents,
    sleep,
    store_contents,
    store_threads,
    timeline_entries,
)


class RenamingCases:
    """Sessions get another name, or another agent."""

    def test_a_renamed_session_keeps_everything(self, store: Store) -> None:
        """Only the name changes: history, data, keys and identity go on under the new one."""
        run_turn(store, "one", key="k", data='{"n":1}')
        run_failed_turn(store, "two")
        before = store.head(AGENT, "main")
        history = timeline_entries(store, before, with_data=True)

        renamed = store.rename(before, "other", wait=0, pause=sleep)

        assert (renamed.uid, renamed.name, renamed.turn) == (before.uid, "other", 2)
        assert store.head(AGENT, "main").uid == 0
        assert store.head(AGENT, "other") == renamed
        assert store.resolve("other") == [renamed]
        assert timeline_entries(store, renamed, with_data=True) == history
        replayed = store.begin(TurnRequest(AGENT, "other", "one", key="k", wait=0), sleep)
        assert isinstance(replayed, ReplayedTurn)
        assert begin_turn(store, "three", "other").lease.data == '{"n":1}'

    def test_a_name_that_is_taken_is_not_given_again(self, store: Store) -> None:
        """SessionExists, and both sessions stay; another agent's session of that name is no hindrance."""
        run_turn(store, "one")
        run_turn(store, "two", "other")
        run_turn(store, "three", "free", agent="another")
        before = store_contents(store), store_contents(store, "other")

        with pytest.raises(SessionExists):
            store.rename(store.head(AGENT, "main"), "other", wait=0, pause=sleep)
        assert (store_contents(store), store_contents(store, "other")) == before
        assert store.rename(store.head(AGENT, "main"), "free", wait=0, pause=sleep).name == "free"
        same = store.head(AGENT, "free")
        assert store.rename(same, "free", wait=0, pause=sleep) == same

    def test_a_stale_head_renames_nothing(self, store: Store) -> None:
        """SessionChanged if the session was deleted, or made anew, since it was seen."""
        absent = store.head(AGENT, "main")
        seen = run_turn(store, "one")
        store.delete(seen)
        for head in (absent, seen):
            with pytest.raises(SessionChanged):
                store.rename(head, "other", wait=0, pause=sleep)
        run_turn(store, "anew")
        before = store_contents(store)
        for head in (absent, seen):
            with pytest.raises(SessionChanged):
                store.rename(head, "other", wait=0, pause=sleep)
        assert store_contents(store) == before

    def test_renaming_waits_for_the_turn_that_runs(self, store: Store) -> None:
        """SessionBusy past the wait; else it is done when the turn is, and the turn is kept."""
        lease = begin_turn(store, "one").lease
        with pytest.raises(SessionBusy):
            store.rename(lease.head, "other", wait=0.05, pause=sleep)

        line = QueueSignal()
        with store_threads(store) as start:
            renamed = start(lambda: store.rename(lease.head, "other", wait=10, pause=line))
            assert line.joined.wait(5)
            complete_turn(store, lease)
            head = renamed.result(5)
        assert (head.name, head.turn) == ("other", 1)
        assert store.head(AGENT, "other").turn == 1

    def test_prompts_that_wait_for_a_renamed_session_end(self, store: Store) -> None:
        """A prompt that waits while its session is renamed is SessionChanged, and makes no new one."""
        lease = begin_turn(store, "one").lease
        first, second = QueueSignal(), QueueSignal()
        with store_threads(store) as start:
            renamed = start(lambda: store.rename(lease.head, "other", wait=10, pause=first))
            assert first.joined.wait(5)
            waiting = start(lambda: begin_turn(store, "two", pause=second, wait=10))
            assert second.joined.wait(5)
            complete_turn(store, lease)
            renamed.result(5)
            with pytest.raises(SessionChanged):
                waiting.result(5)
        assert [summary.name for summary in store.sessions()] == ["other"]
        assert store.head(AGENT, "other").turn == 1

    def test_a_late_turn_finds_its_renamed_session(self, store: Store) -> None:
        """A turn that outlived its lease still commits when the session was only renamed meanwhile."""
        lease = begin_expired_turn(store, "one")
        store.rename(lease.head, "other", wait=0, pause=sleep)

        running = store.unsettled_prompt(lease.head)
        assert running is not None
        assert running.prompt == "one"
        complete_turn(store, lease, data='{"n":1}')
        head = store.head(AGENT, "other")
        assert (head.turn, store.data_at(head, 1)) == (1, '{"n":1}')
        assert [entry.prompt for entry in timeline_entries(store, head._replace(name="main"))] == ["one"]

    # Giving a session to another agent

    def test_a_session_given_to_another_agent_keeps_everything(self, store: Store) -> None:
        """Only agent and name change: history, data, keys, identity and what was undone stay."""
        run_turn(store, "no hindrance", "theirs")
        run_turn(store, "one", key="k", data='{"n":1}')
        run_failed_turn(store, "two")
        run_turn(store, "three")
        before = move_head_to(store, 2)
        history = timeline_entries(store, store.redo_head(before), with_data=True)

        moved = store.rename(before, "theirs", agent="another", wait=0, pause=sleep)

        assert moved == before._replace(agent="another", name="theirs")
        assert store.head("another", "theirs") == moved
        assert store.head(AGENT, "main").uid == 0
        assert store.resolve("another/theirs") == [moved]
        assert store.head(AGENT, "theirs").turn == 1
        assert store.resolve("main") == []
        assert timeline_entries(store, store.redo_head(moved), with_data=True) == history
        replayed = store.begin(TurnRequest("another", "theirs", "one", key="k", wait=0), sleep)
        assert isinstance(replayed, ReplayedTurn)
        assert begin_turn(store, "four", "theirs", agent="another").lease.data == '{"n":1}'

    def test_lists_and_searches_show_the_new_agent(self, store: Store) -> None:
        """A session that was given away is listed, found and counted under its new agent only."""
        run_turn(store, "parakeet")
        run_turn(store, "parakeet", "other")
        store.rename(store.head(AGENT, "main"), "main", agent="another", wait=0, pause=sleep)

        assert [(one.agent, one.name) for one in store.sessions(agent="another")] == [("another", "main")]
        assert [(one.agent, one.name) for one in store.sessions(agent=AGENT)] == [(AGENT, "other")]
        assert [(hit.agent, hit.name) for hit in store.search(["parakeet"], agent="another")] == [
            ("another", "main")
        ]
        assert [hit.name for hit in store.search(["parakeet"], agent=AGENT)] == ["other"]
        assert store.statistics(agent="another").sessions == 1
        assert [finding for finding in store.health() if finding.level == "problem"] == []

    def test_a_session_is_not_given_where_its_name_is_taken(self, store: Store) -> None:
        """SessionExists if the other agent has a session of that name, and both sessions stay."""
        run_turn(store, "one")
        run_turn(store, "two", agent="another")
        before = store_contents(store), session_contents(store, store.head("another", "main"))

        with pytest.raises(SessionExists):
            store.rename(store.head(AGENT, "main"), "main", agent="another", wait=0, pause=sleep)

        assert (store_contents(store), session_contents(store, store.head("another", "main"))) == before
        same = store.head(AGENT, "main")
        assert store.rename(same, "main", agent=AGENT, wait=0, pause=sleep) == same

    def test_prompts_that_wait_for_a_session_that_is_given_away_end(self, store: Store) -> None:
        """A prompt that waits while its session goes to another agent is SessionChanged."""
        lease = begin_turn(store, "one").lease
        first, second = QueueSignal(), QueueSignal()
        with store_threads(store) as start:
            moved = start(
                lambda: store.rename(lease.head, "main", agent="another", wait=10, pause=first),
            )
            assert first.joined.wait(5)
            waiting = start(lambda: begin_turn(store, "two", pause=second, wait=10))
            assert second.joined.wait(5)
            complete_turn(store, lease)
            moved.result(5)
            with pytest.raises(SessionChanged):
                waiting.result(5)
        assert [(one.agent, one.turns) for one in store.sessions()] == [("another", 1)]
