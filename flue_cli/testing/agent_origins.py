"""Origins of agents: agents of one name from two places do not share a session unknowingly."""

from __future__ import annotations

import pytest

from flue_cli.errors import OtherAgent
from flue_cli.stores.contract import Store
from flue_cli.testing.run_turns import (
    AGENT,
    begin_turn,
    complete_turn,
    move_head_to,
    replay_turn,
    run_turn,
    run_turns,
    sleep,
    store_contents,
)

SHOP, BLOG = "shop/agents/parrot.py", "blog/agents/parrot.py"


class AgentOriginCases:
    """Origins of agents: agents of one name from two places do not share a session unknowingly."""

    def test_the_first_origin_is_that_of_the_session(self, store: Store) -> None:
        """A session has no origin until a prompt brings one; prompts without one always pass."""
        assert store.agent_origins(store.head(AGENT, "main")) == ()
        head = run_turns(store, "no origin")
        assert store.agent_origins(head) == ()
        run_turn(store, "one", agent_origin=SHOP)
        run_turn(store, "two", agent_origin=SHOP)
        run_turns(store, "no origin again")
        assert store.agent_origins(head) == (SHOP,)
        assert store.sessions()[0].agent_origins == (SHOP,)

    def test_another_origin_is_refused(self, store: Store) -> None:
        """An agent from another place is OtherAgent, named with both places, and nothing changes."""
        run_turn(store, "one", agent_origin=SHOP)
        before = store_contents(store)
        with pytest.raises(OtherAgent, match=f"{SHOP}.*{BLOG}"):
            begin_turn(store, "two", agent_origin=BLOG)
        assert store_contents(store) == before

    def test_another_origin_is_refused_without_waiting(self, store: Store) -> None:
        """While a turn runs, an agent from another place is refused at once, not after the wait."""
        lease = begin_turn(store, "one", agent_origin=SHOP).lease

        def pause(*_: object) -> None:
            raise AssertionError("it waited")

        with pytest.raises(OtherAgent):
            begin_turn(store, "two", agent_origin=BLOG, wait=10, pause=pause)
        complete_turn(store, lease)

    def test_an_adopted_session_has_both_origins(self, store: Store) -> None:
        """A prompt that adopts the session adds its origin; from then on agents of both places answer."""
        run_turn(store, "one", agent_origin=SHOP)
        head = run_turn(store, "two", agent_origin=BLOG, adopts=True)
        run_turn(store, "three", agent_origin=SHOP)
        run_turn(store, "four", agent_origin=BLOG)
        assert store.agent_origins(head) == (SHOP, BLOG)

    def test_a_key_is_answered_before_the_origin_is_checked(self, store: Store) -> None:
        """A retry of a completed turn gets its reply, as before any other check."""
        run_turn(store, "one", key="k", agent_origin=SHOP, reply="yes")
        assert replay_turn(store, "one", "k", agent_origin=BLOG).entry.reply == "yes"

    def test_forks_have_the_origins_of_their_session(self, store: Store) -> None:
        """A fork, an undone fork and a renamed session belong to the same agents as before."""
        run_turn(store, "one", agent_origin=SHOP)
        head = run_turn(store, "two", agent_origin=SHOP)
        fork = store.fork(head, "fork")
        move_head_to(store, 1)
        run_turn(store, "three", agent_origin=SHOP)
        renamed = store.rename(store.head(AGENT, "main"), "moved", wait=0, pause=sleep)
        (undone,) = store.undone_forks(renamed)
        assert [store.agent_origins(session) for session in (fork, renamed, undone)] == [(SHOP,)] * 3

    def test_a_session_given_to_another_agent_leaves_its_origins(self, store: Store) -> None:
        """The next agent, wherever it comes from, may go on with a session, and its undone forks."""
        run_turns(store, "one")
        run_turn(store, "two", agent_origin=SHOP)
        move_head_to(store, 1)
        run_turn(store, "instead", agent_origin=SHOP)
        moved = store.rename(store.head(AGENT, "main"), "main", agent="other", wait=0, pause=sleep)
        (undone,) = store.undone_forks(moved)
        assert [store.agent_origins(session) for session in (moved, undone)] == [(), ()]
        run_turn(store, "three", agent="other", agent_origin=BLOG)
        assert store.agent_origins(moved) == (BLOG,)

    def test_a_deleted_session_leaves_no_origin(self, store: Store) -> None:
        """A session that is made anew under a deleted one's name belongs to nobody yet."""
        head = run_turn(store, "one", agent_origin=SHOP)
        store.delete(head)
        head = run_turn(store, "two", agent_origin=BLOG)
        assert store.agent_origins(head) == (BLOG,)

    def test_sessions_are_listed_by_project(self, store: Store) -> None:
        """With a project's folder, sessions that belong to other projects are not listed."""
        origins = [SHOP, BLOG, SHOP, "", "shopping/agents/parrot.py", BLOG, "sample"]
        for name, origin in zip("abcdefg", origins, strict=True):
            run_turn(store, "hi", name, agent_origin=origin)
        run_turn(store, "hi", "b", agent_origin=SHOP, adopts=True)
        assert [session.name for session in store.sessions(project="shop")] == ["b", "g", "d", "c", "a"]
        assert [session.name for session in store.sessions(project="shop", limit=1)] == ["b"]
        assert [session.name for session in store.sessions(project="s%p")] == ["g", "d"]
