"""Sessions made from others: forks and imported sessions."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from flue_cli.agents.api import Message
from flue_cli.errors import KeyConflict, SessionChanged, SessionExists
from flue_cli.stores.contract import Store
from flue_cli.stores.records import (
    BegunTurn,
    Entry,
    Failure,
    ForkOrigin,
    SessionHead,
    TurnRequest,
)
from flue_cli.testing.run_turns import (
    AGENT,
    begin_expired_turn,
    begin_turn,
    complete_turn,
    edit_data,
    move_head_to,
    replay_turn,
    run_failed_turn,
    run_turn,
    run_turns,
    session_contents,
    sleep,
    store_contents,
    timeline_entries,
    timeline_prompts,
)


class ForkCases:
    """Sessions made from others: forks and imported sessions."""

    # Forks

    def test_a_fork_shares_and_then_diverges(self, store: Store) -> None:
        """A fork has all that its parent had, as it was; what either adds, the other does not see."""
        run_turn(store, "one", data='{"n":1}', key="k", meta={"m": [1]}, messages=[Message("tool", "x")])
        run_failed_turn(store, "two")
        head = edit_data(store, '{"n":3}')
        whole = session_contents(store, head)[1:3]

        fork = store.fork(head, "fork")

        assert fork == store.head(AGENT, "fork")
        assert (fork.agent, fork.turn, fork.messages) == (AGENT, 3, head.messages)
        assert fork.uid not in (0, head.uid)
        assert session_contents(store, fork)[1:3] == whole
        assert store.origin(fork) == ForkOrigin(head.uid, "main", 3)
        assert store.head(AGENT, "main") == head
        run_turn(store, "main goes on")
        run_turn(store, "fork goes on", "fork", data='{"fork":1}')
        run_turn(store, "and on", "fork", data='{"fork":2}')
        move_head_to(store, 0)
        assert timeline_prompts(store, "fork") == ["one", "two", "", "fork goes on", "and on"]
        now = store.head(AGENT, "fork")
        assert [store.data_at(now, number) for number in (1, 2, 3, 4)] == [
            *('{"n":1}', '{"n":1}', '{"n":3}', '{"fork":1}')
        ]
        assert session_contents(store, store.head(AGENT, "main"))[1][:3] == whole[0]  # type: ignore[index]
        assert store.undone_forks(now) == store.undone_forks(store.head(AGENT, "main")) == []

    def test_a_fork_may_be_as_of_any_turn(self, store: Store) -> None:
        """As of a turn, the empty start, what was undone: it ends there and knows where it came from."""
        run_turns(store, "one", "two", "three", "four")
        now = move_head_to(store, 3)
        for number, name in ((0, "start"), (2, "early"), (3, "now"), (4, "undone")):
            fork = store.fork(store.head_at(store.redo_head(now), number), name)
            assert (fork.turn, fork.messages) == (number, 2 * number)
            assert timeline_prompts(store, name) == ["one", "two", "three", "four"][:number]
            assert store.origin(fork) == ForkOrigin(now.uid, "main", number)
            assert store.redo_head(fork) == fork == store.head(AGENT, name)
            assert run_turn(store, "next", name).turn == number + 1
        assert store.head(AGENT, "main") == now

    def test_a_fork_copies_keys_but_not_undone_turns(self, store: Store) -> None:
        """The fork replays the keys of the copied turns; other keys are free in it."""
        run_turn(store, "one", key="k", reply="first", data='{"n":1}')
        run_turn(store, "two", key="l")
        run_turn(store, "three", key="m")
        move_head_to(store, 2)
        fork = store.fork(store.head_at(store.head(AGENT, "main"), 1), "fork")

        assert store.redo_head(fork) == fork
        replayed = replay_turn(store, "one", "k", "fork")
        assert (replayed.head, replayed.entry.reply, replayed.entry.data) == (fork, "first", '{"n":1}')
        for key in ("l", "m"):
            assert run_turn(store, f"another {key}", "fork", key=key).turn > 1
        assert replay_turn(store, "two", "l").entry.turn == 2
        assert replay_turn(store, "three", "m").entry.turn == 3

    def test_forking_waits_for_nobody(self, store: Store) -> None:
        """While a turn runs, a fork is made of what was there before it, and is free at once."""
        run_turns(store, "one")
        lease = begin_turn(store, "two", key="k").lease

        fork = store.fork(lease.head, "fork")

        assert (timeline_prompts(store, "fork"), store.unsettled_prompt(fork)) == (["one"], None)
        assert run_turn(store, "here", "fork", key="k").turn == 2
        assert complete_turn(store, lease).turn == 2
        assert timeline_prompts(store) == ["one", "two"]
        begin_expired_turn(store, "crashed")
        store.fork(store.head(AGENT, "main"), "another")
        assert begin_turn(store, "next", "another").interrupted is None

    def test_a_fork_outlives_its_parent(self, store: Store) -> None:
        """A deleted parent takes nothing of its fork along, though it may have been forked from a fork."""
        run_turns(store, "one")
        run_turn(store, "two", key="k", reply="kept")
        parent = store.head(AGENT, "main")
        store.fork(parent, "fork")
        move_head_to(store, 1)
        run_turns(store, "instead")
        kept = store.head(AGENT, "main~1")
        store.fork(kept, "of the kept one")
        before = [session_contents(store, store.head(AGENT, name)) for name in ("fork", "of the kept one")]

        store.delete(store.head(AGENT, "main"))

        after = [session_contents(store, store.head(AGENT, name)) for name in ("fork", "of the kept one")]
        assert after == before
        assert store.origin(store.head(AGENT, "fork")) == ForkOrigin(parent.uid, "main", 2)
        assert store.origin(store.head(AGENT, "of the kept one")) == ForkOrigin(kept.uid, "main~1", 2)
        assert replay_turn(store, "two", "k", "fork").entry.reply == "kept"
        assert run_turn(store, "three", "fork").turn == 3

    def test_a_name_that_is_taken_is_not_forked_to(self, store: Store) -> None:
        """SessionExists with nothing changed; SessionChanged if what was to be forked is gone."""
        head = run_turns(store, "one")
        run_turns(store, "two", name="other")
        run_turn(store, "three", "free", agent="another")
        before = store_contents(store), store_contents(store, "other")
        for name in ("main", "other"):
            with pytest.raises(SessionExists):
                store.fork(head, name)
        assert (store_contents(store), store_contents(store, "other")) == before
        assert store.fork(head, "free").turn == 1

        store.delete(store.head(AGENT, "main"))
        for gone in (head, head._replace(turn=0, messages=0), store.head(AGENT, "main")):
            with pytest.raises(SessionChanged):
                store.fork(gone, "new")
        assert store.head(AGENT, "new").uid == 0

    def test_a_renamed_parent_is_known_by_its_new_name(self, store: Store) -> None:
        """Every fork says what its parent is called now, kept or not."""
        run_turns(store, "one", "two")
        store.fork(store.head(AGENT, "main"), "fork")
        move_head_to(store, 1)
        parent = run_turns(store, "instead")

        store.rename(parent, "renamed", wait=0, pause=sleep)

        assert store.origin(store.head(AGENT, "fork")) == ForkOrigin(parent.uid, "renamed", 2)
        assert store.origin(store.head(AGENT, "renamed~1")) == ForkOrigin(
            parent.uid, "renamed", 1, is_undone_fork=True
        )

    # Bringing sessions from elsewhere

    def test_an_imported_session_is_whole(self, store: Store) -> None:
        """Turns are numbered anew; times, keys, meta, messages, errors, edits and data stay as they are."""
        imported = store.import_session(AGENT, "main", self._entries())

        assert imported == store.head(AGENT, "main")
        assert (imported.turn, imported.messages) == (4, 5)
        expected = [entry._replace(turn=number) for number, entry in enumerate(self._entries(), 1)]
        assert timeline_entries(store, imported, with_data=True) == expected
        assert [store.data_at(imported, number) for number in range(5)] == [
            *("{}", '{"z":1,"a":1}', '{"z":1,"a":1}', '{"z":"\\u00fc"}', '{"z":2}')
        ]
        assert [message.content for message in store.messages(imported, 0, 9)] == [
            *("one", {"tool": 1}, "first", "four", "last")
        ]
        assert (store.origin(imported), store.redo_head(imported), store.unsettled_prompt(imported)) == (
            None,
            imported,
            None,
        )
        assert store.sessions()[0][2:4] == ("main", 4)

        assert replay_turn(store, "one", "k").entry.reply == "first"
        assert move_head_to(store, 3).turn == 3
        begun = begin_turn(store, "next").lease
        assert (begun.turn, begun.data) == (4, '{"z":"\\u00fc"}')
        assert timeline_prompts(store, "main~1")[-1] == "four"

    def test_an_import_is_whole_or_nothing(self, store: Store) -> None:
        """If the iterator of entries fails half-way, or the name is taken, nothing is imported."""
        run_turns(store, "mine", name="taken")
        before = store_contents(store, "taken")

        def breaks() -> Iterator[Entry]:
            yield from self._entries()
            raise ValueError("half-way")

        with pytest.raises(ValueError, match="half-way"):
            store.import_session(AGENT, "main", breaks())
        with pytest.raises(SessionExists):
            store.import_session(AGENT, "taken", self._entries())
        with pytest.raises(KeyConflict):
            store.import_session(AGENT, "main", self._entries() + self._entries())

        assert store.head(AGENT, "main") == SessionHead(0, AGENT, "main")
        assert store_contents(store, "taken") == before
        assert store.import_session("another", "taken", []).turn == 0
        assert run_turn(store, "hello", "taken", agent="another").turn == 1

    def test_an_imported_session_may_be_a_fork(self, store: Store) -> None:
        """An imported session keeps its origin, also one that is not in the store."""
        elsewhere = ForkOrigin(0, "elsewhere", 7)
        imported = store.import_session(AGENT, "main", self._entries(), elsewhere)
        assert store.origin(imported) == store.sessions()[0].origin == elsewhere

        copy = store.import_session("another", "copy", store.entries(imported, 2, 3, with_data=True))
        assert [entry.data for entry in timeline_entries(store, copy, with_data=True)] == [
            *('{"z":1,"a":1}', '{"z":"\\u00fc"}')
        ]
        begun = store.begin(TurnRequest("another", "copy", "next", wait=0), sleep)
        assert isinstance(begun, BegunTurn)
        assert begun.lease.data == '{"z":"\\u00fc"}'

    @staticmethod
    def _entries() -> list[Entry]:
        """Turns of another store, in which they had other numbers."""
        first = Entry(
            17, "prompt", "completed", "k", "one", "first", (Message("tool", {"tool": 1}),), 1, 2, None,
            {"m": [1]}, '{"z":1,"a":1}',
        )  # fmt: skip
        why = Failure("agent_error", "broken")
        failed = first._replace(outcome="failed", reply=None, messages=(), error=why, finished_at=3, meta={})
        edited = Entry(19, "edit", "completed", None, "", None, (), 5, 5, None, {}, '{"z":"\\u00fc"}')
        last = edited._replace(kind="prompt", prompt="four", reply="last", data='{"z":2}', started_at=6)
        return [first, failed, edited, last]
