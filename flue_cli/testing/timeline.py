"""Going back and forth on a timeline, and editing it."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest

from flue_cli.errors import KeyConflict, LeaseLost, SessionBusy, SessionChanged, TurnNotFound
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, Pause, SessionHead, TurnFailure
from flue_cli.testing.run_turns import (
    AGENT,
    BROKEN,
    QueueSignal,
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
    store_threads,
    timeline_entries,
    timeline_prompts,
)

Step = Callable[[], SessionHead]
Change = Callable[[Store, SessionHead, float, Pause], SessionHead]
CHANGES: dict[str, Change] = {
    "move": lambda store, head, wait, pause: store.move_head(head, 1, wait=wait, pause=pause),
    "edit": lambda store, head, wait, pause: store.edit(head, '{"by":"hand"}', wait=wait, pause=pause),
}
by_move_or_edit = pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)


class TimelineCases:
    """Going back and forth on a timeline, and editing it."""

    # Moving

    def test_undoing_takes_history_and_data_back(self, store: Store) -> None:
        """After a move to an earlier turn, the session is as it was after that turn, in every respect."""
        run_turns(store, "one", "two")
        then = store.head(AGENT, "main")
        entries, messages = timeline_entries(store, then, with_data=True), store.messages(then, 0, 10)
        now = run_turns(store, "three", "four")

        moved = move_head_to(store, 2)

        assert moved == store.head(AGENT, "main")
        assert moved._replace(version=0, updated_at=0) == then._replace(version=0, updated_at=0)
        assert moved.version > now.version
        assert moved.updated_at >= now.updated_at
        assert timeline_entries(store, moved, with_data=True) == entries
        assert store.messages(moved, 0, 10) == messages
        assert store.data_at(moved, 2) == '{"last": "two", "turn": 2}'
        with pytest.raises(TurnNotFound):
            store.data_at(moved, 3)
        (summary,) = store.sessions(with_undone_forks=True)
        assert (summary.turns, summary.preview, summary.updated_at) == (2, "two", moved.updated_at)

    def test_what_was_undone_can_be_done_again(self, store: Store) -> None:
        """The tip shows what was undone, and moving there again brings all of it back as it was."""
        head = run_turns(store, "one", "two", "three")
        all_of_it = session_contents(store, head)[1:]

        for turn_number in (1, 2, 0, 1, 3):
            moved = move_head_to(store, turn_number)
            tip = store.redo_head(moved)
            assert (tip.uid, tip.turn, tip.messages) == (moved.uid, 3, 6)
            assert session_contents(store, moved)[1:] == all_of_it
            assert (moved.turn, moved.messages) == (turn_number, 2 * turn_number)
            assert timeline_entries(store, moved) == timeline_entries(store, tip)[:turn_number]

        assert store.redo_head(moved) == moved == store.head(AGENT, "main")
        assert run_turn(store, "four").turn == 4
        assert store.sessions(with_undone_forks=True) == store.sessions()

    def test_the_start_can_be_gone_back_to(self, store: Store) -> None:
        """At turn 0 a session is as empty as a new one, and still the same session."""
        head = run_turns(store, "one", "two")
        start = move_head_to(store, 0)

        assert (start.uid, start.turn, start.messages) == (head.uid, 0, 0)
        assert timeline_entries(store, start) == []
        assert store.messages(start, 0, 10) == []
        assert store.data_at(start, 0) == "{}"
        begun = begin_turn(store, "first")
        assert (begun.lease.turn, begun.lease.data, begun.lease.head.uid) == (1, "{}", head.uid)
        complete_turn(store, begun.lease)
        assert timeline_prompts(store) == ["first"]
        assert timeline_prompts(store, "main~1") == ["one", "two"]

    def test_moving_to_where_it_stands_changes_nothing(self, store: Store) -> None:
        """The newest turn as the newest turn is no change, not even of the version."""
        run_turns(store, "one", "two")
        for number in (2, 1):
            move_head_to(store, number)
            run_turn(store, "hello", "other")
            before = store_contents(store)
            assert move_head_to(store, number) == before[0][0]  # type: ignore[index]
            assert store_contents(store) == before

    @pytest.mark.parametrize("number", [-1, 3, 100])
    def test_only_turns_of_the_line_can_be_moved_to(self, store: Store, number: int) -> None:
        """Any other turn is TurnNotFound with nothing changed, a prompt that a crash left included."""
        run_turns(store, "one", "two")
        move_head_to(store, 1)
        before = store_contents(store)
        with pytest.raises(TurnNotFound):
            move_head_to(store, number)
        assert store_contents(store) == before

        run_turns(store, "new")
        begin_expired_turn(store, "crashed")
        before = store_contents(store)
        with pytest.raises(TurnNotFound):
            move_head_to(store, number)
        assert store_contents(store) == before

    def test_the_session_as_of_any_turn_can_be_read(self, store: Store) -> None:
        """`at` gives a head from which everything reads as it did after that turn; nothing is moved."""
        heads = [store.head(AGENT, "main")]
        heads += [
            run_failed_turn(store, "fails") if n == 2 else run_turns(store, f"turn {n}") for n in range(1, 5)
        ]
        seen = [session_contents(store, head)[1:3] for head in heads]
        now = move_head_to(store, 3)
        before = store_contents(store)

        for whole in (now, store.redo_head(now)):
            for number in range(whole.turn + 1):
                then = store.head_at(whole, number)
                assert (then.uid, then.turn, then.messages) == (now.uid, number, heads[number].messages)
                assert (timeline_entries(store, then, with_data=True), store.messages(then, 0, 9)) == seen[
                    number
                ]
                if number and number != whole.turn:
                    assert then.updated_at == heads[number].updated_at
        for number in (-1, 4):
            with pytest.raises(TurnNotFound):
                store.head_at(now, number)
        assert store_contents(store) == before

    def test_a_head_seen_before_it_was_undone_still_reads(self, store: Store) -> None:
        """Turns undone while somebody reads them are read to the end, also once others took their place.

        Once the fork that kept them is deleted, they are SessionChanged, and no damage.
        """
        seen = run_turns(store, *(f"turn {number}" for number in range(1, 101)))
        reader = store.entries(seen, 1, 100, with_data=True)
        read = [next(reader)]
        move_head_to(store, 50)
        assert store.data_at(seen, 100) == '{"last": "turn 100", "turn": 100}'
        run_turns(store, "instead")

        read += reader
        assert [entry.prompt for entry in read] == [f"turn {number}" for number in range(1, 101)]
        assert [message.content for message in store.messages(seen, 198, 200)] == ["turn 100", "ok"]
        store.delete(store.head(AGENT, "main~1"))
        with pytest.raises(SessionChanged):
            store.messages(seen, 198, 200)
        with pytest.raises(SessionChanged):
            store.fork(seen, "copy")
        assert session_contents(store, store.head(AGENT, "copy"))[1] == []

    def test_a_move_makes_it_the_session_used_last(self, store: Store) -> None:
        """Undo, redo and edits count as use."""
        for name in ("a", "b", "c"):
            run_turns(store, "one", "two", name=name)
        move_head_to(store, 1, "b")
        assert [summary.name for summary in store.sessions()] == ["b", "c", "a"]
        edit_data(store, "{}", "a")
        assert [summary.name for summary in store.sessions()] == ["a", "b", "c"]

    # Guards

    @by_move_or_edit
    def test_a_stale_head_changes_nothing(self, store: Store, change: Change) -> None:
        """If a turn, a move, an edit or a delete came first, it is SessionChanged and nothing is done."""
        absent = store.head(AGENT, "main")
        run_turns(store, "one", "two")
        stale = [absent]
        steps: list[Step] = [
            lambda: run_turns(store, "3"),
            lambda: move_head_to(store, 2),
            lambda: edit_data(store, "{}"),
        ]
        for step in steps:
            stale.append(store.head(AGENT, "main"))
            step()
        stale.append(move_head_to(store, 0))
        store.delete(stale[-1])
        for head in stale:
            with pytest.raises(SessionChanged):
                change(store, head, 0, sleep)
        assert store.sessions(with_undone_forks=True) == []
        run_turns(store, "anew", "again")
        before = store_contents(store)
        for head in stale:
            with pytest.raises(SessionChanged):
                change(store, head, 0, sleep)
        assert store_contents(store) == before

    @by_move_or_edit
    def test_a_running_turn_is_busy(self, store: Store, change: Change) -> None:
        """While a turn runs, whoever may not wait is SessionBusy, and the turn goes on undisturbed."""
        run_turns(store, "one", "two")
        lease = begin_turn(store, "three").lease
        before = store_contents(store)

        for wait in (0, 0.05):
            with pytest.raises(SessionBusy, match=r"session 'main' is busy"):
                change(store, lease.head, wait, sleep)
        assert store_contents(store) == before
        assert complete_turn(store, lease).turn == 3

    @by_move_or_edit
    def test_whoever_waits_behind_a_turn_finds_the_session_changed(
        self, store: Store, change: Change
    ) -> None:
        """Nobody undoes or overwrites a turn that it has not seen; the line behind it moves on."""
        run_turns(store, "one", "two")
        lease = begin_turn(store, "three").lease
        line = QueueSignal()
        with store_threads(store) as start:
            waiter = start(change, store, lease.head, 10, line)
            assert line.joined.wait(5)
            complete_turn(store, lease)
            with pytest.raises(SessionChanged):
                waiter.result(5)
        assert timeline_prompts(store) == ["one", "two", "three"]
        assert run_turn(store, "four", wait=0).turn == 4

    @by_move_or_edit
    def test_a_late_commit_does_not_get_past_a_change(self, store: Store, change: Change) -> None:
        """A turn that was forgotten and whose session went on without it is LeaseLost."""
        run_turns(store, "one", "two")
        late = begin_expired_turn(store, "late")
        change(store, store.head(AGENT, "main"), 0, sleep)
        before = store_contents(store)

        for settle in (
            lambda: complete_turn(store, late, data='{"late":1}'),
            lambda: store.abandon(late, TurnFailure("failed", BROKEN, {})),
            lambda: store.renew(late),
        ):
            with pytest.raises(LeaseLost):
                settle()
        assert store_contents(store) == before
        assert begin_turn(store, "next").interrupted is None

    @by_move_or_edit
    def test_a_prompt_that_a_crash_left_is_settled_first(self, store: Store, change: Change) -> None:
        """It takes its place on the timeline as interrupted, and what comes after comes after it."""
        before = run_turns(store, "one", "two")
        begin_expired_turn(store, "crashed", key="k")
        head = change(store, before, 0, sleep)

        assert head == store.head(AGENT, "main")
        assert store.unsettled_prompt(head) is None
        third = timeline_entries(store, store.redo_head(head))[2]
        assert (third.outcome, third.prompt, third.key) == ("interrupted", "crashed", "k")
        assert third.error is not None
        assert third.error.type == "interrupted"
        assert head.turn in (1, 4)

    def test_keys_of_undone_turns_still_replay(self, store: Store) -> None:
        """A retry gives the reply that was given, wherever on the timeline it is, and moves nothing."""
        run_turn(store, "zero", data='{"n":0}')
        run_turn(store, "one", key="k", reply="first", data='{"n":1}')
        run_turns(store, "two")

        steps: list[Step] = [
            lambda: move_head_to(store, 1),
            lambda: run_turns(store, "instead"),
            lambda: move_head_to(store, 0),
        ]
        for step in steps:
            step()
            before = store_contents(store)
            replayed = replay_turn(store, "one", "k")
            assert (replayed.entry.turn, replayed.entry.reply, replayed.entry.data) == (2, "first", '{"n":1}')
            assert replayed.head == store.head(AGENT, "main")
            with pytest.raises(KeyConflict):
                begin_turn(store, "another", key="k")
            assert store_contents(store) == before

    # Editing

    def test_an_edit_is_an_entry_of_its_own(self, store: Store) -> None:
        """An edit changes the data and not the history, takes a turn number, and can be undone and redone."""
        run_turns(store, "one")
        head = edit_data(store, '{"z":1,"a":null}')

        assert head == store.head(AGENT, "main")
        assert (head.turn, head.messages) == (2, 2)
        entry = timeline_entries(store, head, with_data=True)[1]
        assert entry.finished_at is not None
        times = (entry.started_at, entry.finished_at)
        assert entry == Entry(
            2, "edit", "completed", None, "", None, (), *times, None, {}, '{"z":1,"a":null}'
        )
        assert [message.content for message in store.messages(head, 0, 9)] == ["one", "ok"]
        assert store.data_at(head, 1) == '{"last": "one", "turn": 1}'
        assert store.sessions()[0][3:8] == (2, head.created_at, head.updated_at, "one", None)

        assert edit_data(store, '{"z":1,"a":null}').turn == 3
        move_head_to(store, 1)
        assert begin_turn(store, "next").lease.data == '{"last": "one", "turn": 1}'

    def test_a_session_can_begin_with_an_edit(self, store: Store) -> None:
        """Back at the empty start, an edit is turn 1; the preview is the last prompt that counts."""
        run_turns(store, "one")
        move_head_to(store, 0)
        edit_data(store, '{"n":1}')
        edit_data(store, '{"n":2}')
        begun = begin_turn(store, "two")
        assert (begun.lease.turn, begun.lease.data) == (3, '{"n":2}')
        complete_turn(store, begun.lease)
        move_head_to(store, 2)
        assert store.sessions()[0].preview == ""
        move_head_to(store, 3)
        edit_data(store, '{"n":3}')
        run_failed_turn(store, "three")
        move_head_to(store, 3)
        for number in range(3):
            edit_data(store, json.dumps({"n": number}))
            assert store.sessions()[0].preview == "two"
