"""Turns of a session run one at a time: waiting, leases, and those who lost theirs."""

from __future__ import annotations

import time

import pytest

from flue_cli.errors import (
    LeaseLost,
    SessionBusy,
    SessionChanged,
)
from flue_cli.stores.contract import Store
from flue_cli.stores.records import LeaseHolder, TurnFailure
from flue_cli.testing.run_turns import (
    AGENT,
    BROKEN,
    QueueSignal,
    begin_expired_turn,
    begin_turn,
    complete_turn,
    lease_duration,
    run_turn,
    store_contents,
    store_threads,
    timeline_entries,
)


class LeaseCases:
    """Turns of a session run one at a time: waiting, leases, and those who lost theirs."""

    # Waiting for a session

    def test_a_taken_session_is_busy(self, store: Store) -> None:
        """A second prompt that may not wait is SessionBusy, and leaves no trace."""
        begin_turn(store, "one")
        before = store_contents(store)

        with pytest.raises(SessionBusy, match=r"session 'main' is busy: .*has been answering for \d+ s"):
            begin_turn(store, "two", wait=0)
        assert store_contents(store) == before

    def test_a_wait_is_bounded(self, store: Store) -> None:
        """A wait past its limit ends in SessionBusy soon after; the pause gets the holder meanwhile."""
        lease = begin_turn(store, "one").lease
        told: list[tuple[float, LeaseHolder]] = []

        def pause(seconds: float, holder: LeaseHolder) -> None:
            told.append((seconds, holder))
            time.sleep(seconds)

        began = time.monotonic()
        with pytest.raises(SessionBusy):
            begin_turn(store, "two", wait=0.2, pause=pause)

        assert 0.2 <= time.monotonic() - began < 2
        assert all(0 < seconds <= 0.2 for seconds, _ in told)
        assert {holder.since for _, holder in told} == {lease.started_at}

        told.clear()
        with pytest.raises(SessionBusy):
            begin_turn(store, "three", wait=0.0005, pause=pause)
        assert all(seconds <= 0.0005 for seconds, _ in told)

    def test_a_waiter_gets_in_when_the_holder_commits(self, store: Store) -> None:
        """A prompt that waits is answered next, and starts from the data that the one before it left."""
        lease = begin_turn(store, "one").lease
        line = QueueSignal()

        with store_threads(store) as start:
            waiter = start(lambda: begin_turn(store, "two", wait=10, pause=line))
            assert line.joined.wait(5)
            assert not waiter.done()
            complete_turn(store, lease, data='{"from":"one"}')
            begun = waiter.result(5)

        assert (begun.lease.turn, begun.lease.data, begun.interrupted) == (2, '{"from":"one"}', None)
        complete_turn(store, begun.lease)

    def test_a_waiter_gets_in_when_the_holder_gives_up(self, store: Store) -> None:
        """An abandoned turn frees the session as a completed one does."""
        lease = begin_turn(store, "one").lease
        begun = begin_turn(
            store, "two", wait=10, pause=lambda *_: store.abandon(lease, TurnFailure("failed", BROKEN, {}))
        )

        assert begun.lease.turn == 2

    def test_waiters_get_in_in_order_of_arrival(self, store: Store) -> None:
        """Prompts that wait for a session are answered in the order in which they came."""
        lease = begin_turn(store, "holder").lease

        def wait_in_line(prompt: str, line: QueueSignal) -> None:
            run_turn(store, prompt, wait=20, pause=line)

        with store_threads(store) as start:
            waiters = []
            for number in range(5):
                line = QueueSignal()
                waiters.append(start(wait_in_line, f"waiter {number}", line))
                assert line.joined.wait(5)
            complete_turn(store, lease)
            for waiter in waiters:
                waiter.result(20)

        prompts = [entry.prompt for entry in timeline_entries(store, store.head(AGENT, "main"))]
        assert prompts == ["holder", *(f"waiter {number}" for number in range(5))]

    def test_nobody_overtakes_whoever_waits(self, store: Store) -> None:
        """While somebody waits, a newcomer that may not wait is SessionBusy, even on a session just freed."""
        lease = begin_turn(store, "one").lease
        busy_for_newcomer = []

        def pause(seconds: float, holder: LeaseHolder) -> None:
            complete_turn(store, lease)
            with pytest.raises(SessionBusy):
                begin_turn(store, "newcomer", wait=0)
            busy_for_newcomer.append(True)

        assert begin_turn(store, "two", wait=10, pause=pause).lease.turn == 2
        assert busy_for_newcomer == [True]

    def test_a_waiter_that_gives_up_leaves_the_queue(self, store: Store) -> None:
        """An exception of the pause passes through, and the waiter leaves the wait queue."""
        lease = begin_turn(store, "one").lease
        before = store_contents(store)

        class GivenUp(BaseException):
            pass

        def pause(seconds: float, holder: LeaseHolder) -> None:
            raise GivenUp

        with pytest.raises(GivenUp):
            begin_turn(store, "two", wait=10, pause=pause)
        assert store_contents(store) == before

        complete_turn(store, lease)
        assert begin_turn(store, "three", wait=0).lease.turn == 2

    def test_a_refused_waiter_leaves_the_queue(self, store: Store) -> None:
        """A waiter that was refused leaves the wait queue."""
        lease = begin_turn(store, "one").lease
        with pytest.raises(SessionBusy):
            begin_turn(store, "two", wait=0.01)
        complete_turn(store, lease)

        assert begin_turn(store, "three", wait=0).lease.turn == 2

    def test_sessions_do_not_wait_for_each_other(self, store: Store) -> None:
        """A turn holds its own session and no other, not even of the same name."""
        begin_turn(store, "one", "main")

        begin_turn(store, "two", "other", wait=0)
        begin_turn(store, "three", "main", agent="another", wait=0)

    def test_many_threads_lose_no_turn(self, store: Store) -> None:
        """Threads that share a store, and sessions of it, all get their turns in."""

        def talk_on(thread: int) -> None:
            for number in range(5):
                name = f"session {(thread + number) % 3}"
                run_turn(store, f"{thread}.{number}", name, wait=20)

        with store_threads(store) as start:
            for worker in [start(talk_on, thread) for thread in range(6)]:
                worker.result(30)

        heads = [store.head(AGENT, f"session {number}") for number in range(3)]
        prompts = [entry.prompt for head in heads for entry in timeline_entries(store, head)]
        assert sorted(prompts) == sorted(f"{thread}.{number}" for thread in range(6) for number in range(5))
        assert [head.messages for head in heads] == [2 * head.turn for head in heads]

    def test_a_waiter_of_a_deleted_session_does_not_make_it_anew(self, store: Store) -> None:
        """A prompt whose session is deleted while it waits ends with SessionChanged and creates nothing."""
        lease = begin_turn(store, "one").lease

        def pause(seconds: float, holder: LeaseHolder) -> None:
            store.delete(complete_turn(store, lease))

        with pytest.raises(SessionChanged):
            begin_turn(store, "two", wait=10, pause=pause)
        assert store.head(AGENT, "main").uid == 0
        assert store.sessions() == []

    def test_a_waiter_of_a_session_made_anew_does_not_join_it(self, store: Store) -> None:
        """A prompt meant for a session that is gone is not answered in another one of the same name."""
        lease = begin_turn(store, "one").lease

        def pause(seconds: float, holder: LeaseHolder) -> None:
            store.delete(complete_turn(store, lease))
            run_turn(store, "somebody else's")

        with pytest.raises(SessionChanged):
            begin_turn(store, "two", wait=10, pause=pause)
        assert [entry.prompt for entry in timeline_entries(store, store.head(AGENT, "main"))] == [
            "somebody else's"
        ]

    # Leases

    def test_an_expired_turn_is_taken_over_and_reported(self, store: Store) -> None:
        """The prompt that a crash left unanswered is handed to whoever comes next, and stays on record."""
        run_turn(store, "one", data='{"n":1}')
        old = begin_expired_turn(store, "two", key="k")
        running = store.unsettled_prompt(store.head(AGENT, "main"))
        assert running is not None
        assert running.prompt == "two"

        begun = begin_turn(store, "three", wait=0)

        assert begun.interrupted is not None
        assert (begun.interrupted.turn, begun.interrupted.prompt) == (2, "two")
        assert (begun.interrupted.outcome, begun.interrupted.key) == ("interrupted", "k")
        assert (begun.lease.turn, begun.lease.data) == (3, '{"n":1}')
        assert begun.lease.fence > old.fence
        head = complete_turn(store, begun.lease)
        assert [entry.outcome for entry in timeline_entries(store, head)] == [
            "completed",
            "interrupted",
            "completed",
        ]
        assert [message.content for message in store.messages(head, 0, 10)] == ["one", "ok", "three", "ok"]

    def test_an_interrupted_prompt_is_reported_as_it_is_recorded(self, store: Store) -> None:
        """The interrupted prompt that begin reports is the entry that the timeline shows."""
        begin_expired_turn(store, "one")
        begun = begin_turn(store, "two")

        (entry,) = store.entries(store.head(AGENT, "main"), 1, 1)
        assert entry.error is not None
        assert entry.error.type == "interrupted"
        assert entry.finished_at is not None
        assert begun.interrupted == entry

    @pytest.mark.parametrize("settled", [False, True], ids=["while it runs", "when it is done"])
    def test_whoever_lost_the_lease_changes_nothing(self, store: Store, settled: bool) -> None:
        """Once another turn took the session over, the old one can not commit, renew or abandon."""
        old = begin_expired_turn(store, "one")
        new = begin_turn(store, "two").lease
        if settled:
            complete_turn(store, new, data='{"by":"two"}')
        before = store_contents(store)

        with pytest.raises(LeaseLost, match=r"turn 1 of session 'main' was not saved"):
            complete_turn(store, old, data='{"by":"one"}')
        with pytest.raises(LeaseLost):
            store.renew(old)
        with pytest.raises(LeaseLost):
            store.abandon(old, TurnFailure("failed", BROKEN, {}))
        assert store_contents(store) == before
        if not settled:
            complete_turn(store, new)

    def test_a_turn_settles_once(self, store: Store) -> None:
        """A turn that was committed or abandoned is over: a second attempt is LeaseLost."""
        first = begin_turn(store, "one").lease
        complete_turn(store, first)
        second = begin_turn(store, "two").lease
        store.abandon(second, TurnFailure("cancelled", BROKEN, {}))
        before = store_contents(store)

        for lease in (first, second):
            with pytest.raises(LeaseLost):
                complete_turn(store, lease)
            with pytest.raises(LeaseLost):
                store.abandon(lease, TurnFailure("failed", BROKEN, {}))
            with pytest.raises(LeaseLost):
                store.renew(lease)
        assert store_contents(store) == before

    def test_an_expired_lease_that_nobody_took_still_commits(self, store: Store) -> None:
        """A process that slept past its lease, alone, loses nothing."""
        head = complete_turn(store, begin_expired_turn(store, "one"), data='{"n":1}')
        assert (head.turn, store.data_at(head, 1)) == (1, '{"n":1}')

        head = store.abandon(begin_expired_turn(store, "two"), TurnFailure("failed", BROKEN, {}))
        assert [entry.outcome for entry in timeline_entries(store, head)] == ["completed", "failed"]

    def test_renewing_an_expired_lease_holds_the_session_again(self, store: Store) -> None:
        """A renewal that comes late but in time keeps others out."""
        lease = begin_expired_turn(store, "one")
        store.renew(lease)

        with pytest.raises(SessionBusy):
            begin_turn(store, "two", wait=0)
        complete_turn(store, lease)

    def test_a_waiter_takes_over_when_the_lease_runs_out(self, store: Store) -> None:
        """Nobody has to come anew after a crash: who waits already gets in as soon as the lease ends."""
        with lease_duration(store, 0.15):
            begin_turn(store, "one")
        began = time.monotonic()

        begun = begin_turn(store, "two", wait=10)

        assert begun.interrupted is not None
        assert begun.interrupted.prompt == "one"
        assert time.monotonic() - began < 2

    def test_the_fence_never_falls(self, store: Store) -> None:
        """Every later lease of a session has a higher fence, however the earlier ones ended."""
        fences = []
        for _ in range(3):
            committed = begin_turn(store, "commit").lease
            complete_turn(store, committed)
            abandoned = begin_turn(store, "abandon").lease
            store.abandon(abandoned, TurnFailure("failed", BROKEN, {}))
            fences += [committed.fence, abandoned.fence, begin_expired_turn(store, "forget").fence]

        assert fences == sorted(set(fences))
