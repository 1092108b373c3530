"""Undone forks: sessions that keep undone turns, named after the session that they belong to."""

from __future__ import annotations

import json
from typing import Any

import pytest

from flue_cli.agents.api import Message
from flue_cli.errors import SessionBusy, TurnNotFound
from flue_cli.stores.contract import Store
from flue_cli.stores.records import ForkOrigin, TurnRequest
from flue_cli.testing.run_turns import (
    AGENT,
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
    undone_fork_names,
)


class UndoneForkCases:
    """Undone forks: sessions that keep undone turns, named after the session that they belong to."""

    @pytest.mark.parametrize("what", ["prompt", "failed prompt", "edit"])
    def test_what_was_undone_is_kept_when_something_is_added(self, store: Store, what: str) -> None:
        """The line that is left becomes a session NAME~1, whole; from then on there is nothing to redo."""
        run_turn(store, "one", data='{"n":1}', key="k", meta={"m": 1}, messages=[Message("tool", "x")])
        run_failed_turn(store, "two")
        head = run_turns(store, "three")
        whole = session_contents(store, head)[1:3]
        undone = move_head_to(store, 1)
        assert undone_fork_names(store) == []

        if what == "edit":
            edit_data(store, '{"n":2}')
        elif what == "prompt":
            run_turn(store, "instead", data='{"n":2}')
        else:
            run_failed_turn(store, "instead")

        now, kept = store.head(AGENT, "main"), store.head(AGENT, "main~1")
        assert store.undone_forks(now) == [kept]
        assert session_contents(store, kept)[1:3] == whole
        assert (kept.turn, kept.messages, kept.updated_at) == (3, head.messages, head.updated_at)
        assert kept.uid not in (0, now.uid)
        assert (now.uid, now.turn) == (undone.uid, 2)
        origin = store.origin(kept)
        assert origin is not None
        assert origin == (now.uid, "main", 1, True)
        assert store.redo_head(now) == now
        assert store.origin(now) is None
        with pytest.raises(TurnNotFound):
            move_head_to(store, 3)
        assert store.data_at(now, 2) == ('{"n":1}' if what == "failed prompt" else '{"n":2}')
        assert timeline_prompts(store)[0] == "one"

    def test_a_turn_names_the_fork_that_it_made(self, store: Store) -> None:
        """A prompt after an undo names the fork that has the undone turns; without an undo there is none."""
        run_turns(store, "one", "two")
        move_head_to(store, 1)
        forks = []
        for prompt in ("instead", "next"):
            begun = begin_turn(store, prompt)
            complete_turn(store, begun.lease)
            forks.append(begun.undone_fork)
        assert forks == ["main~1", ""]

    def test_undone_forks_are_numbered(self, store: Store) -> None:
        """NAME~1, NAME~2 … in the order in which they were left; a fork kept of one has its name first."""
        run_turns(store, "one", "two")
        for number in range(1, 12):
            move_head_to(store, 1)
            run_turns(store, f"try {number}")
            assert undone_fork_names(store) == [f"main~{one}" for one in range(1, number + 1)]
        assert timeline_prompts(store, "main~1") == ["one", "two"]
        assert timeline_prompts(store, "main~11") == ["one", "try 10"]
        move_head_to(store, 1, "main~11")
        run_turns(store, "there", name="main~11")
        assert undone_fork_names(store, "main~11") == ["main~11~1"]
        assert undone_fork_names(store)[-2:] == ["main~11", "main~11~1"]

    def test_undone_forks_are_listed_if_asked_for(self, store: Store) -> None:
        """A list leaves them out unless told not to, before its limit counts; by name they are found."""
        run_turns(store, "one", "two")
        run_turns(store, "hello", name="other")
        move_head_to(store, 1)
        head = run_turns(store, "instead")
        kept = store.head(AGENT, "main~1")

        assert [summary.name for summary in store.sessions()] == ["main", "other"]
        assert [summary.name for summary in store.sessions(limit=2)] == ["main", "other"]
        listed = store.sessions(with_undone_forks=True)
        assert [summary.name for summary in listed] == ["main", "main~1", "other"]
        (summary,) = (summary for summary in listed if summary.uid == kept.uid)
        assert (summary.turns, summary.preview) == (2, "two")
        assert summary.origin == ForkOrigin(head.uid, "main", 1, is_undone_fork=True)
        assert store.resolve("main~1") == store.resolve(f"{AGENT}/main~1") == [kept]

        run_turns(store, "three", name="main~1")
        assert [summary.name for summary in store.sessions(with_undone_forks=True)] == [
            "main~1",
            "main",
            "other",
        ]
        run_turns(store, "three")
        assert [summary.name for summary in store.sessions(with_undone_forks=True)] == [
            "main",
            "main~1",
            "other",
        ]

    def test_an_undone_fork_can_be_gone_on_with(self, store: Store) -> None:
        """An undone fork is continued, undone, redone and forked like any session; its parent stays."""
        run_turns(store, "one")
        run_turn(store, "two", key="k", data='{"n":2}')
        run_turns(store, "three")
        move_head_to(store, 1)
        head = run_turns(store, "instead")

        moved = move_head_to(store, 2, "main~1")
        assert (timeline_prompts(store, "main~1"), store.redo_head(moved).turn) == (["one", "two"], 3)
        move_head_to(store, 3, "main~1")
        begun = begin_turn(store, "four", "main~1").lease
        assert (begun.turn, begun.data) == (4, '{"last": "three", "turn": 3}')
        complete_turn(store, begun, data='{"n":4}')
        move_head_to(store, 2, "main~1")
        assert replay_turn(store, "two", "k", "main~1").entry.data == '{"n":2}'
        edit_data(store, '{"n":5}', "main~1")
        assert (timeline_prompts(store, "main~1"), store.sessions(with_undone_forks=True)[0].preview) == (
            ["one", "two", ""],
            "two",
        )
        assert timeline_prompts(store, "main~1~1") == ["one", "two", "three", "four"]
        assert store.messages(store.head(AGENT, "main~1~1"), 5, 8)[1:] == [
            *(Message("user", "four"), Message("assistant", "ok"))
        ]
        assert store.head(AGENT, "main") == head
        assert timeline_prompts(store) == ["one", "instead"]

    def test_a_key_counts_where_its_turn_is(self, store: Store) -> None:
        """An undone fork replays the keys on its branch, its session those of all its own turns."""
        run_turn(store, "one", key="both")
        run_turn(store, "two", key="left", reply="left")
        move_head_to(store, 1)
        run_turn(store, "instead", key="new", reply="new")

        assert replay_turn(store, "one", "both").entry.turn == 1
        assert replay_turn(store, "one", "both", "main~1").entry.turn == 1
        assert replay_turn(store, "two", "left").entry.reply == "left"
        assert replay_turn(store, "two", "left", "main~1").entry.reply == "left"
        assert run_turn(store, "another", "main~1", key="new").turn == 3
        assert replay_turn(store, "instead", "new").entry.reply == "new"
        run_turn(store, "there", "main~1", key="there")
        assert run_turn(store, "here", key="there").turn == 3

    def test_undone_forks_are_renamed_with_their_session(self, store: Store) -> None:
        """They are named after it, whatever it is called; a name that somebody else has is passed over."""
        self._family(store)
        run_turns(store, "mine", name="new~1")
        before = [session_contents(store, fork)[1] for fork in store.undone_forks(store.head(AGENT, "main"))]

        head = store.rename(store.head(AGENT, "main"), "new", wait=0, pause=sleep)

        assert undone_fork_names(store, "new") == ["new~2", "new~2~1", "new~3"]
        assert [session_contents(store, fork)[1] for fork in store.undone_forks(head)] == before
        assert timeline_prompts(store, "new~1") == ["mine"]
        assert store.resolve("main~1") == store.resolve("main~1~1") == []

    def test_undone_forks_go_to_another_agent_with_their_session(self, store: Store) -> None:
        """They become that agent's too, under names that are free there; a person's fork stays."""
        self._family(store)
        store.fork(store.head(AGENT, "main~1"), "mine")
        store.begin(TurnRequest("another", "new~1", "theirs", wait=0), sleep)
        before = [session_contents(store, fork)[1] for fork in store.undone_forks(store.head(AGENT, "main"))]

        head = store.rename(store.head(AGENT, "main"), "new", agent="another", wait=0, pause=sleep)

        forks = store.undone_forks(head)
        assert [(fork.agent, fork.name) for fork in forks] == [
            ("another", "new~2"),
            ("another", "new~2~1"),
            ("another", "new~3"),
        ]
        assert [session_contents(store, fork)[1] for fork in forks] == before
        assert [store.head("another", fork.name) for fork in forks] == forks
        assert [one.name for one in store.sessions(agent=AGENT, with_undone_forks=True)] == ["mine"]
        assert len(store.search(["there"], agent="another", with_undone_forks=True)) == 1

    def test_undone_forks_are_deleted_with_their_session(self, store: Store) -> None:
        """They go where it goes, and the forks kept of them; what a person forked stays."""
        self._family(store)
        store.fork(store.head(AGENT, "main~1~1"), "mine")
        run_turns(store, "mine", name="main~0")
        before = store_contents(store, "mine")[0]

        store.delete(store.head(AGENT, "main"))

        assert [summary.name for summary in store.sessions(with_undone_forks=True)] == ["main~0", "mine"]
        assert store_contents(store, "mine")[0] == before
        assert [finding for finding in store.health() if finding.level == "problem"] == []

    def test_a_busy_undone_fork_is_not_deleted(self, store: Store) -> None:
        """While a turn runs on a fork that would go too, nothing at all is deleted."""
        self._family(store)
        lease = begin_turn(store, "running", "main~1~1").lease
        before = [store_contents(store, name) for name in ("main", "main~1", "main~1~1", "main~2")]

        for name in ("main", "main~1", "main~1~1"):
            with pytest.raises(SessionBusy):
                store.delete(store.head(AGENT, name))

        assert [store_contents(store, name) for name in ("main", "main~1", "main~1~1", "main~2")] == before
        store.delete(store.head(AGENT, "main~2"))
        complete_turn(store, lease)
        store.delete(store.head(AGENT, "main"))
        assert store.sessions(with_undone_forks=True) == []

    def test_deleting_an_undone_fork_leaves_its_session_whole(self, store: Store) -> None:
        """Only what nobody else can reach is gone for good, and the key of a turn that is gone is free."""
        run_turns(store, "one", "two")
        run_turn(store, "three", key="k")
        move_head_to(store, 2)
        run_turns(store, "instead")
        move_head_to(store, 1)
        run_turn(store, "again", key="l")
        move_head_to(store, 1)
        session, other = store.head(AGENT, "main"), store.head(AGENT, "main~2")
        before = session_contents(store, session), session_contents(store, other)

        store.delete(store.head(AGENT, "main~1"))

        assert (session_contents(store, session), session_contents(store, other)) == before
        assert undone_fork_names(store) == ["main~2"]
        assert replay_turn(store, "again", "l").entry.turn == 2
        assert run_turn(store, "another", key="k").turn == 2  # which keeps "again" as main~3
        store.delete(store.head(AGENT, "main~2"))
        store.delete(store.head(AGENT, "main~3"))
        assert (timeline_prompts(store), undone_fork_names(store)) == (["one", "another"], [])
        assert run_turn(store, "yet another", key="l").turn == 3
        assert [finding for finding in store.health() if finding.level == "problem"] == []

    def test_an_undone_fork_takes_no_used_name(self, store: Store) -> None:
        """A session that a person named NAME~1 stays; long names are cut to fit the number."""
        run_turns(store, "mine", name="main~1")
        run_turns(store, "mine too", name="main~7")
        run_turns(store, "not counted", name="main~x")
        run_turns(store, "one", "two")
        move_head_to(store, 1)
        run_turns(store, "instead")
        assert undone_fork_names(store) == ["main~8"]
        assert timeline_prompts(store, "main~1") == ["mine"]

        long = "ü" * 254
        for ending in ("ab", "cd"):
            for number in range(1, 7):
                run_turns(store, "one", f"try {number}", name=long + ending)
                move_head_to(store, 0, long + ending)
        forks = [undone_fork_names(store, long + ending) for ending in ("ab", "cd")]
        assert [len(names) for names in forks] == [5, 5]
        assert len({*forks[0], *forks[1]}) == 10
        assert {len(name) for names in forks for name in names} == {256}

    def test_the_data_after_any_turn_of_any_line(self, store: Store) -> None:
        """Key order, escapes and big numbers survive hundreds of changes, lines left, edits and forks."""
        fields: dict[str, Any] = {"z": "ü\0🦜", "big": 2**200, "padding": ["x" * 20] * 30, "a": {"n": 0}}
        lines: dict[str, list[str]] = {"main": ["{}"]}

        def change(count: int, name: str = "main") -> None:
            for _ in range(count):
                data = lines[name]
                fields["a"]["n"] += 1
                if len(data) % 50 == 0:
                    fields[f"k{len(data)}"] = fields.pop("padding", ["y" * 20] * 30)
                    edit_data(store, json.dumps(fields), name)
                else:
                    run_turn(store, "p", name, data=json.dumps(fields))
                data.append(json.dumps(fields))

        def undo(to: int, kept: str, name: str = "main") -> None:
            move_head_to(store, to, name)
            lines[kept] = lines[name]
            lines[name] = lines[name][: to + 1]
            change(1, name)

        change(290)
        undo(240, "main~1")
        change(60)
        undo(180, "main~2")
        change(90)
        store.fork(store.head_at(store.head(AGENT, "main"), 200), "fork")
        lines["fork"] = lines["main"][:201]
        change(70, "fork")
        change(10, "main~1")
        undo(100, "main~1~1", "main~1")
        for name, data in lines.items():
            head = store.head(AGENT, name)
            assert [entry.data for entry in timeline_entries(store, head, with_data=True)] == data[1:], name
            assert [store.data_at(head, number) for number in range(len(data))] == data, name

    @staticmethod
    def _family(store: Store) -> None:
        """A session with two undone forks, the first of which has an undone fork of its own."""
        run_turns(store, "one", "two", "three")
        move_head_to(store, 2)
        run_turns(store, "instead")
        move_head_to(store, 1)
        run_turns(store, "again")
        move_head_to(store, 1, "main~1")
        run_turns(store, "there", name="main~1")
