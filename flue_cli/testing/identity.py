"""Facts that a store tells of itself: its URL, its files, and if it outlives the process."""

from __future__ import annotations

import os
from contextlib import closing

from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.testing.run_turns import AGENT, run_turns


class IdentityCases:
    """Facts that a store tells of itself: its URL, its files, and if it outlives the process."""

    def test_a_store_is_found_again_by_its_url(self, store: Store) -> None:
        """The URL opens a store that says the same of itself and, unless ephemeral, has the sessions."""
        head = run_turns(store, "hello")

        with closing(open_store(store.url)) as again:
            assert (again.url, again.files) == (store.url, store.files)
            assert again.is_ephemeral is store.is_ephemeral
            if not store.is_ephemeral:
                assert again.head(AGENT, head.name) == head

    def test_what_ends_with_the_process_has_no_files(self, store: Store) -> None:
        """An ephemeral store names no files; the main file of another one is there after a turn."""
        run_turns(store, "hello")

        if store.is_ephemeral:
            assert store.files == ()
        else:
            assert all(os.path.isfile(file) for file in store.files[:1])

    def test_files_are_named_in_full(self, store: Store) -> None:
        """Every file has an absolute path, and none is named twice."""
        assert all(os.path.isabs(file) for file in store.files)
        assert len(set(store.files)) == len(store.files)
