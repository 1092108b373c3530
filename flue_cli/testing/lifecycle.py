"""Sessions are found, listed, deleted; a store is closed and used again."""

from __future__ import annotations

import time

import pytest

from flue_cli.errors import (
    LeaseLost,
    SessionBusy,
    SessionChanged,
)
from flue_cli.stores.contract import Store
from flue_cli.stores.records import SessionHead, TurnFailure
from flue_cli.testing.run_turns import (
    AGENT,
    BROKEN,
    begin_expired_turn,
    begin_turn,
    complete_turn,
    run_failed_turn,
    run_turn,
    store_contents,
    timeline_entries,
)


class LifecycleCases:
    """Sessions are found, listed, deleted; a store is closed and used again."""

    # Deleting

    def test_a_deleted_session_is_gone(self, store: Store) -> None:
        """After a delete, the session is as if it had never been, and others are untouched."""
        run_turn(store, "keep", "other", data='{"n":1}')
        before = store_contents(store, "other")
        run_turn(store, "one", data='{"secret":1}', key="k")
        run_failed_turn(store, "two")

        store.delete(store.head(AGENT, "main"))

        assert store.head(AGENT, "main") == SessionHead(0, AGENT, "main")
        assert store.resolve("main") == []
        assert store_contents(store, "other") == before
        begun = begin_turn(store, "other prompt, same key", key="k")
        assert (begun.lease.turn, begun.lease.data) == (1, "{}")

    def test_a_uid_is_never_used_again(self, store: Store) -> None:
        """A session made anew under an old name is another session."""
        uids = []
        for _ in range(4):
            head = run_turn(store, "hello")
            uids.append(head.uid)
            store.delete(head)
        uids.append(run_turn(store, "hello", "other").uid)

        assert uids == sorted(set(uids))

    def test_a_running_session_is_not_deleted(self, store: Store) -> None:
        """Delete does not wait for a turn to end: it is SessionBusy at once, and the turn goes on."""
        run_turn(store, "one")
        lease = begin_turn(store, "two").lease
        began = time.monotonic()

        with pytest.raises(SessionBusy):
            store.delete(store.head(AGENT, "main"))
        assert time.monotonic() - began < 1

        store.delete(complete_turn(store, lease))

    def test_a_stale_head_deletes_nothing(self, store: Store) -> None:
        """Only the session that was seen is deleted; gone or made anew, it is SessionChanged."""
        stale = run_turn(store, "old")
        store.delete(stale)
        with pytest.raises(SessionChanged):
            store.delete(stale)
        run_turn(store, "new")
        before = store_contents(store)

        with pytest.raises(SessionChanged):
            store.delete(stale)
        with pytest.raises(SessionChanged):
            store.delete(SessionHead(0, AGENT, "main"))
        assert store_contents(store) == before

    def test_a_session_that_a_crash_left_running_can_be_deleted(self, store: Store) -> None:
        """Nobody answers any more, so nothing is in the way; a late commit is LeaseLost."""
        run_turn(store, "one")
        lease = begin_expired_turn(store, "two")

        store.delete(store.head(AGENT, "main"))

        with pytest.raises(LeaseLost):
            complete_turn(store, lease)
        with pytest.raises(LeaseLost):
            store.renew(lease)
        assert store.sessions() == []

    def test_a_late_commit_does_not_reach_a_session_made_anew(self, store: Store) -> None:
        """A turn of a deleted session is lost, even if a turn of the same number runs under its name."""
        late = begin_expired_turn(store, "late")
        store.delete(store.head(AGENT, "main"))
        current = begin_turn(store, "current").lease
        before = store_contents(store)

        with pytest.raises(LeaseLost):
            complete_turn(store, late)
        with pytest.raises(LeaseLost):
            store.abandon(late, TurnFailure("failed", BROKEN, {}))
        assert store_contents(store) == before
        complete_turn(store, current)

    def test_reading_a_session_that_was_deleted_is_no_damage(self, store: Store) -> None:
        """A reader whose session is deleted meanwhile gets SessionChanged, not talk of a damaged store."""
        for number in range(100):
            head = run_turn(store, str(number), data=f'{{"n":{number}}}')
        reader = store.entries(head, 1, 100)
        next(reader)
        store.delete(head)

        with pytest.raises(SessionChanged):
            store.messages(head, 0, 2)
        with pytest.raises(SessionChanged):
            store.data_at(head, 1)
        with pytest.raises(SessionChanged):
            list(store.entries(head, 1, 1))
        try:
            rest = list(reader)
        except SessionChanged:
            return
        assert len(rest) == 99

    # Finding sessions

    def test_sessions_are_listed_last_used_first(self, store: Store) -> None:
        """A session moves to the top when a prompt is sent to it; a limit cuts the rest off."""
        for name in ("a", "b", "c"):
            run_turn(store, f"to {name}", name)
        begin_turn(store, "again", "a")
        store.head(AGENT, "b")

        assert [summary.name for summary in store.sessions()] == ["a", "c", "b"]
        assert [summary.name for summary in store.sessions(limit=2)] == ["a", "c"]
        assert store.sessions(limit=0) == []

    def test_a_list_of_sessions_can_be_read_in_pages(self, store: Store) -> None:
        """The use number of a page's last session gives the page after it, whatever is used meanwhile."""
        for name in "abcdefg":
            run_turn(store, f"to {name}", name)
        first = store.sessions(limit=3)
        run_turn(store, "again", "f")
        run_turn(store, "again", "b")
        second = store.sessions(limit=3, before=first[-1].use_number)
        third = store.sessions(limit=3, before=second[-1].use_number)
        pages = [[summary.name for summary in page] for page in (first, second, third)]
        assert pages == [["g", "f", "e"], ["d", "c", "a"], []]
        assert store.sessions(before=0) == []

    def test_the_list_of_sessions_can_be_one_agents(self, store: Store) -> None:
        """With an agent, only its sessions are listed, before the limit counts."""
        for agent, name in (("one", "a"), ("two", "b"), ("one", "c"), ("two", "d")):
            run_turn(store, "hello", name, agent=agent)

        assert [summary.name for summary in store.sessions(agent="one")] == ["c", "a"]
        assert [summary.name for summary in store.sessions(agent="one", limit=1)] == ["c"]
        assert store.sessions(agent="three") == []

    def test_a_list_of_sessions_says_what_each_is_about(self, store: Store) -> None:
        """A summary tells uid, name, settled turns, times and the beginning of the last prompt."""
        run_turn(store, "first")
        head = run_failed_turn(store, "🦜" * 201)
        (summary,) = store.sessions()
        assert summary[:6] == (head.uid, AGENT, "main", 2, head.created_at, head.updated_at)
        assert summary.preview == "🦜" * 200

        begin_turn(store, "being answered")
        (summary,) = store.sessions()
        assert (summary.turns, summary.preview) == (2, "being answered")

    def test_a_name_may_mean_sessions_of_several_agents(self, store: Store) -> None:
        """Without an agent, all sessions of the name are found; with one, only its own."""
        one = run_turn(store, "hello", "shared", agent="one")
        two = run_turn(store, "hello", "shared", agent="two")
        run_turn(store, "hello", "other", agent="one")

        assert sorted(store.resolve("shared")) == sorted([one, two])
        assert store.resolve("shared", agent="two") == [two]
        assert store.resolve("shared", agent="three") == []
        assert store.resolve("share") == []

    def test_a_name_may_say_its_agent(self, store: Store) -> None:
        """AGENT/NAME finds that agent's session, the agent in either spelling, and whole names as well."""
        one = run_turn(store, "hello", "a/b", agent="task-planner")
        whole = run_turn(store, "hello", "task-planner/a/b", agent="other")
        run_turn(store, "hello", "b", agent="a")

        assert sorted(store.resolve("task-planner/a/b")) == sorted([one, whole])
        assert store.resolve("task_planner/a/b") == [one]
        assert store.resolve("task-planner/a/b", agent="other") == [whole]
        assert store.resolve("task-planner/a/b", agent="task-planner") == []
        assert store.resolve("/a/b") == []
        assert store.resolve("task-planner/") == []

    # Letting go

    def test_a_store_can_be_used_again_after_it_was_closed(self, store: Store) -> None:
        """Closing lets go of files and connections, and loses nothing that was committed."""
        run_turn(store, "one")
        store.disconnect()
        run_turn(store, "two")
        store.close()
        store.close()

        head = run_turn(store, "three")
        assert [entry.prompt for entry in timeline_entries(store, head)] == ["one", "two", "three"]

    # A check-up

    def test_a_store_in_order_has_no_problem(self, store: Store) -> None:
        """Before the first prompt, while a turn runs and after a crash, a check-up finds no problem.

        It changes nothing.
        """
        assert [finding for finding in store.health() if finding.level == "problem"] == []
        assert store.sessions() == []
        run_turn(store, "one", data='{"n":1}')
        run_failed_turn(store, "two")
        begin_expired_turn(store, "three", "crashed")
        begin_turn(store, "four", "running")
        before = [store_contents(store, name) for name in ("main", "crashed", "running")]

        findings = list(store.health())

        assert {finding.level for finding in findings} <= {"ok", "note"}
        assert all(finding.message for finding in findings)
        assert [store_contents(store, name) for name in ("main", "crashed", "running")] == before
