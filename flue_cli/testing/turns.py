"""Expectations of a prompt about its session, and keys that make a retry safe."""

from __future__ import annotations

import pytest

from flue_cli.agents.api import Message
from flue_cli.errors import (
    KeyConflict,
    SessionBusy,
    SessionChanged,
    SessionExists,
    SessionNotFound,
)
from flue_cli.stores.contract import Store
from flue_cli.stores.records import ReplayedTurn, TurnFailure, TurnRequest
from flue_cli.testing.run_turns import (
    AGENT,
    BROKEN,
    begin_expired_turn,
    begin_turn,
    complete_turn,
    replay_turn,
    run_failed_turn,
    run_turn,
    store_contents,
)


class TurnCases:
    """Expectations of a prompt about its session, and keys that make a retry safe."""

    # Expectations of a session

    def test_a_new_session_must_not_exist(self, store: Store) -> None:
        """With expect="new", a session that exists already is SessionExists, whether it runs or not."""
        lease = begin_turn(store, "one", expect="new").lease
        with pytest.raises(SessionExists):
            begin_turn(store, "two", expect="new", wait=10)
        complete_turn(store, lease)
        before = store_contents(store)

        with pytest.raises(SessionExists):
            begin_turn(store, "three", expect="new")
        assert store_contents(store) == before

    def test_an_existing_session_must_exist(self, store: Store) -> None:
        """With expect="existing", a session that does not exist is SessionNotFound and is not made."""
        with pytest.raises(SessionNotFound):
            begin_turn(store, "one", expect="existing")
        assert store.sessions() == []

        run_turn(store, "one")
        assert begin_turn(store, "two", expect="existing").lease.turn == 2

    def test_the_session_that_was_seen_is_the_one_that_answers(self, store: Store) -> None:
        """With a uid, a prompt is for that session alone: any other of the name is SessionChanged."""
        seen = run_turn(store, "one")
        assert run_turn(store, "two", uid=seen.uid).turn == 2
        store.delete(store.head(AGENT, "main"))

        for expect in ("any", "new", "existing"):
            with pytest.raises(SessionChanged):
                begin_turn(store, "three", uid=seen.uid, expect=expect)
        assert store.sessions() == []

        run_turn(store, "new")
        before = store_contents(store)
        with pytest.raises(SessionChanged):
            begin_turn(store, "three", uid=seen.uid)
        assert store_contents(store) == before

    # Turn keys

    def test_a_key_replays_its_turn(self, store: Store) -> None:
        """The same prompt under the same key gives the turn as it was, with its data, and runs nothing."""
        run_turn(store, "zero", data='{"n":0}')
        run_turn(
            store,
            "one",
            key="k",
            reply="first",
            data='{"n":1}',
            messages=[Message("tool", "x")],
            meta={"m": 1},
        )
        run_turn(store, "two", data='{"n":2}')
        before = store_contents(store)

        replayed = replay_turn(store, "one", "k")

        (recorded,) = store.entries(replayed.head, 2, 2, with_data=True)
        assert replayed.entry == recorded
        assert (recorded.reply, recorded.data) == ("first", '{"n":1}')
        assert replayed.head == store.head(AGENT, "main")
        assert store_contents(store) == before

    def test_a_key_replays_while_another_turn_runs(self, store: Store) -> None:
        """A replay waits for nobody, since it runs nothing."""
        run_turn(store, "one", key="k", reply="first")
        lease = begin_turn(store, "two").lease

        assert replay_turn(store, "one", "k").entry.reply == "first"
        complete_turn(store, lease)

    def test_a_retry_is_answered_whatever_it_expects(self, store: Store) -> None:
        """A retry that asks for a new session, as the first attempt did, gets the reply."""
        head = run_turn(store, "one", key="k", reply="first", expect="new")

        assert replay_turn(store, "one", "k", expect="new").entry.reply == "first"
        assert replay_turn(store, "one", "k", expect="existing", uid=head.uid).entry.reply == "first"
        with pytest.raises(SessionExists):
            begin_turn(store, "one", key="another", expect="new")

    def test_a_repeat_waits_for_the_turn_that_runs_under_its_key(self, store: Store) -> None:
        """Sent twice at once, a prompt is answered once: the second gets the first one's reply."""
        lease = begin_turn(store, "one", key="k").lease
        with pytest.raises(SessionBusy):
            begin_turn(store, "one", key="k", wait=0)

        repeat = store.begin(
            TurnRequest(AGENT, "main", "one", key="k", wait=10),
            lambda *_: complete_turn(store, lease, reply="once"),
        )

        assert isinstance(repeat, ReplayedTurn)
        assert repeat.entry.reply == "once"
        assert begin_turn(store, "two", wait=0).lease.turn == 2

    def test_a_key_is_for_one_prompt(self, store: Store) -> None:
        """Another prompt under a key that was used is KeyConflict, also while a turn runs."""
        run_turn(store, "one", key="k")
        begin_turn(store, "two")
        before = store_contents(store)

        with pytest.raises(KeyConflict):
            begin_turn(store, "another", key="k")
        assert store_contents(store) == before

    def test_a_key_that_completed_nothing_runs_anew(self, store: Store) -> None:
        """After a failure, a cancellation or a crash, the same key is answered as if it were new."""
        run_failed_turn(store, "one", key="k")
        store.abandon(begin_turn(store, "one", key="k").lease, TurnFailure("cancelled", BROKEN, {}))
        begin_expired_turn(store, "one", key="k")

        head = run_turn(store, "changed my mind", key="k", reply="at last")

        assert head.turn == 4
        assert replay_turn(store, "changed my mind", "k").entry.reply == "at last"

    def test_a_key_belongs_to_its_session(self, store: Store) -> None:
        """Two sessions can use the same key for different prompts."""
        run_turn(store, "one", key="k")
        assert begin_turn(store, "two", "other", key="k").lease.turn == 1
