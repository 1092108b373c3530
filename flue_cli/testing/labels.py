"""Labels: names that a person gives to entries of a timeline, and takes off again."""

from __future__ import annotations

import pytest

from flue_cli.errors import SessionChanged, TurnNotFound
from flue_cli.stores.contract import Store
from flue_cli.testing.run_turns import (
    AGENT,
    edit_data,
    move_head_to,
    run_failed_turn,
    run_turns,
    timeline_entries,
)


def _labels(store: Store, name: str = "main") -> list[str]:
    return [entry.label for entry in timeline_entries(store, store.head(AGENT, name))]


class LabelCases:
    """Labels: names that a person gives to entries of a timeline, and takes off again."""

    def test_every_kind_of_entry_can_have_a_label(self, store: Store) -> None:
        """A label is set, replaced and taken off; the head stays exactly as it was."""
        run_turns(store, "one", "two")
        run_failed_turn(store, "three")
        head = edit_data(store, '{"n":1}')
        for turn in range(1, 5):
            store.set_label(head, turn, f"label {turn} \N{PARTY POPPER}")
        assert _labels(store) == [f"label {turn} \N{PARTY POPPER}" for turn in range(1, 5)]
        store.set_label(head, 2, "better")
        store.set_label(head, 3, "")
        assert _labels(store)[1:3] == ["better", ""]
        assert store.head(AGENT, "main") == head

    def test_a_label_needs_an_entry(self, store: Store) -> None:
        """A turn that is not there is TurnNotFound, also turn 0; a deleted session is SessionChanged."""
        head = run_turns(store, "one")
        for turn in (0, 2, -1):
            with pytest.raises(TurnNotFound):
                store.set_label(head, turn, "x")
        store.delete(head)
        with pytest.raises(SessionChanged):
            store.set_label(head, 1, "x")

    def test_a_label_is_seen_on_every_branch_with_its_entry(self, store: Store) -> None:
        """An entry that a session shares with its undone fork has one label, given before or after."""
        head = run_turns(store, "one", "two", "three")
        store.set_label(head, 1, "start")
        move_head_to(store, 2)
        run_turns(store, "four")
        (undone,) = store.undone_forks(store.head(AGENT, "main"))
        store.set_label(store.head(AGENT, "main"), 2, "here it parts")
        store.set_label(undone, 3, "the other way")
        assert _labels(store) == ["start", "here it parts", ""]
        assert _labels(store, undone.name) == ["start", "here it parts", "the other way"]

    def test_undone_entries_keep_their_labels(self, store: Store) -> None:
        """A label can be set on a turn that was undone, and is there after redo."""
        run_turns(store, "one", "two")
        head = move_head_to(store, 1)
        store.set_label(store.redo_head(head), 2, "undone")
        move_head_to(store, 2)
        assert _labels(store) == ["", "undone"]

    def test_a_fork_copies_labels(self, store: Store) -> None:
        """A fork and an imported session have the labels of their entries, and change their own only."""
        head = run_turns(store, "one", "two")
        store.set_label(head, 1, "first")
        fork = store.fork(head, "fork")
        entries = timeline_entries(store, head, with_data=True)
        store.import_session(AGENT, "imported", entries)
        store.set_label(fork, 1, "mine")
        assert [_labels(store, name)[0] for name in ("main", "fork", "imported")] == [
            "first",
            "mine",
            "first",
        ]
