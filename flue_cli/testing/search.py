"""Full-text search: every prompt and reply is found, on every branch, until it is deleted."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from flue_cli.agents.api import Message
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, SearchHit
from flue_cli.testing.run_turns import (
    AGENT,
    begin_expired_turn,
    begin_turn,
    complete_turn,
    edit_data,
    move_head_to,
    run_failed_turn,
    run_turn,
    run_turns,
    sleep,
    store_contents,
)
from flue_cli.testing.search_texts import FOUND_WORDS, HOSTILE_TEXTS, MISSING_WORDS
from flue_cli.text import fold_text


def prompts_of_hits(hits: Iterable[SearchHit]) -> list[str]:
    """The prompts of what was found."""
    return [hit.prompt for hit in hits]


def search_prompts(
    store: Store, query: str, *, ranked: bool = False, with_undone_forks: bool = False
) -> list[str]:
    """The prompts of all that a query finds."""
    return prompts_of_hits(store.search(query.split(), ranked=ranked, with_undone_forks=with_undone_forks))


def answered_entries(prompts: Iterable[str]) -> list[Entry]:
    """Completed turns, to be imported."""
    return [
        Entry(1, "prompt", "completed", None, prompt, "ok", (), 1, 2, None, {}, "{}") for prompt in prompts
    ]


class SearchCases:
    """Full-text search: every prompt and reply is found, on every branch, until it is deleted."""

    # Words

    def test_what_was_typed_is_found_as_it_was_typed(self, store: Store) -> None:
        """No query is syntax, none is an error: a turn is found by each of its words, and by no other."""
        for number, text in enumerate(HOSTILE_TEXTS):
            run_turn(store, f"before {text}" if number % 2 else "none", reply=text)
        turns = [(hit.prompt, hit.reply or "") for hit in store.search(["none"]) + store.search(["before"])]
        assert len(turns) == len(HOSTILE_TEXTS)

        for query in (*HOSTILE_TEXTS, "\udcff", "\ud800x"):
            words = query.split()
            found = {(hit.prompt, hit.reply) for hit in store.search(words)}
            must = {texts for texts in turns if set(words) <= set(" ".join(texts).split())}
            may = {
                texts
                for texts in turns
                if all(fold_text(word) in fold_text("\n".join(texts)) for word in words)
            }
            assert must <= found <= may, query

    def test_case_and_beginnings_of_words(self, store: Store) -> None:
        """Case is ignored; the word that is found may go on, but has no letter before it."""
        for query, text in FOUND_WORDS.items():
            run_turn(store, text, reply="b")
            assert search_prompts(store, query)[:1] == [text], query
        for number, (query, text) in enumerate(MISSING_WORDS.items()):
            run_turn(store, text, f"another {number}", agent="another")
            found = store.search(query.split(), agent="another")
            assert text not in prompts_of_hits(hit for hit in found if hit.name == f"another {number}"), query

    def test_all_words_must_be_in_one_turn(self, store: Store) -> None:
        """In its prompt or its reply, in any order, also twice; words of two turns are nobody's."""
        run_turn(store, "salt and pepper", reply="oil")
        run_turn(store, "vinegar", reply="salt")

        assert (
            search_prompts(store, "oil salt") == search_prompts(store, "SALT oil salt") == ["salt and pepper"]
        )
        assert search_prompts(store, "salt") == ["vinegar", "salt and pepper"]
        assert search_prompts(store, "pepper vinegar") == search_prompts(store, "salt sugar") == []
        assert store.search([]) == []

    def test_only_what_was_said_is_found(self, store: Store) -> None:
        """Data, keys, names, messages between and reasons of failure are not what was said."""
        assert store.search(["anything"]) == []
        assert store.sessions() == []
        run_turn(
            store, "hello", "words", data='{"words":1}', key="words", meta={"words": 1},
            messages=[Message("tool", "words")],
        )  # fmt: skip
        edit_data(store, '{"words":2}', "words")
        run_failed_turn(store, "hello again", "words")
        assert store.search(["words"]) == store.search(["agent_error"]) == store.search(["broke"]) == []

    # What comes first

    def test_the_newest_come_first(self, store: Store) -> None:
        """In the order in which the prompts were recorded, over all sessions; a limit cuts the rest off."""
        for number in range(6):
            run_turn(store, f"hello {number}", f"session {number % 2}", agent=("one", "two")[number % 2])
        first = begin_turn(store, "hello 6", "first").lease
        run_turn(store, "hello 7", "second")
        complete_turn(store, first)

        assert search_prompts(store, "hello") == [f"hello {number}" for number in range(7, -1, -1)]
        assert prompts_of_hits(store.search(["hello"], limit=2)) == ["hello 7", "hello 6"]
        assert prompts_of_hits(store.search(["hello"], agent="two")) == ["hello 5", "hello 3", "hello 1"]
        assert prompts_of_hits(store.search(["hello"], agent="two", limit=1)) == ["hello 5"]
        assert store.search(["hello"], limit=0) == store.search(["hello"], agent="three") == []

    def test_the_best_come_first_if_asked_for(self, store: Store) -> None:
        """Prompts above replies, then whoever is more about it; of equals, the newest."""
        run_turn(store, "old", reply="parrot")
        run_turn(store, "the parrot is one word of " + "many " * 99)
        run_turn(store, "a parrot, a parrot and a parrot")
        run_turn(store, "new", reply="parrot")
        run_turn(store, "parrot and cat", reply="both")
        run_turn(store, "cat", reply="parrot")

        found = store.search(["parrot"], ranked=True)

        assert prompts_of_hits(found)[:2] == ["a parrot, a parrot and a parrot", "parrot and cat"]
        assert prompts_of_hits(found)[2].startswith("the parrot is one word")
        assert prompts_of_hits(found)[3:] == ["cat", "new", "old"]
        assert store.search(["parrot"], ranked=True, limit=3) == found[:3]
        assert search_prompts(store, "cat parrot", ranked=True) == ["parrot and cat", "cat"]

    def test_a_hit_says_where_it_is(self, store: Store) -> None:
        """Agent, session, its uid, turn, when it began, prompt and reply; the names are today's."""
        run_turn(store, "zero")
        head = run_turn(store, "one parrot", reply="Polly")
        (entry,) = store.entries(head, 2, 2)
        head = store.rename(head, "other", wait=0, pause=sleep)

        (hit,) = store.search(["parrot"])

        assert hit == (AGENT, "other", head.uid, 2, entry.started_at, "one parrot", "Polly")

    # Turns of all kinds

    def test_prompts_without_a_reply_are_found(self, store: Store) -> None:
        """Failed, interrupted, and while they run: by their prompts, each once."""
        run_failed_turn(store, "parrot fails")
        begin_expired_turn(store, "parrot crashes", "crashed")
        lease = begin_turn(store, "parrot runs").lease
        running = ["parrot runs", "parrot crashes", "parrot fails"]
        assert search_prompts(store, "parrot") == running
        assert [(hit.turn, hit.reply) for hit in store.search(["runs"])] == [(2, None)]

        complete_turn(store, lease, reply="parrot")
        run_turn(store, "next", "crashed")
        assert search_prompts(store, "parrot") == running
        assert [(hit.turn, hit.reply) for hit in store.search(["runs"])] == [(2, "parrot")]

    def test_what_was_undone_is_found_only_if_asked_for(self, store: Store) -> None:
        """An undone turn is found in its session, and in the undone fork once there is one; never twice."""
        run_turns(store, "one", "two parrots", "three parrots")
        move_head_to(store, 1)

        def found(*, kept: bool) -> list[tuple[str, int, str]]:
            return [
                (hit.name, hit.turn, hit.prompt) for hit in store.search(["parrots"], with_undone_forks=kept)
            ]

        assert found(kept=False) == []
        assert found(kept=True) == [("main", 3, "three parrots"), ("main", 2, "two parrots")]
        move_head_to(store, 2)
        assert found(kept=False) == [("main", 2, "two parrots")]
        run_turns(store, "other parrots")
        assert found(kept=False) == [("main", 3, "other parrots"), ("main", 2, "two parrots")]
        assert found(kept=True) == [
            ("main", 3, "other parrots"),
            ("main~1", 3, "three parrots"),
            ("main", 2, "two parrots"),
        ]
        begin_turn(store, "running parrots", "main~1")
        assert found(kept=True)[0] == ("main~1", 4, "running parrots")
        assert found(kept=False) == [("main", 3, "other parrots"), ("main", 2, "two parrots")]

    def test_copies_are_found_beside_what_was_copied(self, store: Store) -> None:
        """Turns of a fork and of an imported session count as recorded when the copy was made."""
        run_turns(store, "parrot", "cat")
        fork = store.fork(store.head(AGENT, "main"), "fork")
        store.import_session(AGENT, "imported", answered_entries(["parrot again", "dog"]))
        run_turn(store, "a parrot at last")

        found = [(hit.name, hit.turn) for hit in store.search(["parrot"])]

        assert found == [("main", 3), ("imported", 1), ("fork", 1), ("main", 1)]
        store.delete(store.head(AGENT, "main"))
        assert [hit.uid for hit in store.search(["cat"])] == [fork.uid]

    # Deleting

    def test_what_was_deleted_is_not_found(self, store: Store) -> None:
        """Deleted undone forks are not found; turns that other sessions share with them are."""
        run_turns(store, "shared parrot", "kept parrot")
        move_head_to(store, 1)
        run_turns(store, "parrot")
        run_turns(store, "other parrot", name="other")
        store.delete(store.head(AGENT, "main~1"))
        assert search_prompts(store, "parrot", with_undone_forks=True) == [
            "other parrot",
            "parrot",
            "shared parrot",
        ]

        store.delete(store.head(AGENT, "main"))
        assert search_prompts(store, "parrot", with_undone_forks=True) == ["other parrot"]
        run_turns(store, "parrot anew", "cat")
        assert search_prompts(store, "parrot", with_undone_forks=True) == ["parrot anew", "other parrot"]
        assert (
            search_prompts(store, "kept", with_undone_forks=True)
            == search_prompts(store, "shared", with_undone_forks=True)
            == []
        )

    # Large stores

    @pytest.mark.parametrize("anew", [False, True], ids=["as it is", "made anew"])
    def test_old_turns_are_found_among_many(self, store: Store, anew: bool) -> None:
        """However many there are, one is found by any word, and the newest first; deleted ones are not."""
        store.import_session(
            AGENT, "old", answered_entries(f"old parrot{number} c++ 日本{number}" for number in range(700))
        )
        store.import_session(AGENT, "gone", answered_entries(f"gone parrot{number}" for number in range(100)))
        store.import_session(AGENT, "new", answered_entries(f"new parrot{number}" for number in range(700)))
        store.fork(store.head(AGENT, "old"), "fork")
        store.delete(store.head(AGENT, "gone"))
        before = store_contents(store, "old")
        if anew:
            store.reindex()

        assert search_prompts(store, "parrot699") == [
            "old parrot699 c++ 日本699",
            "new parrot699",
            "old parrot699 c++ 日本699",
        ]
        assert [(hit.name, hit.turn) for hit in store.search(["本4", "OLD", "c+"])][-111:] == [
            ("old", number + 1)
            for number in sorted(range(700), key=lambda n: -n)
            if str(number).startswith("4")
        ]
        assert len(store.search(["c++"])) == len(store.search(["++"])) == 1400
        assert len(store.search(["parrot"], limit=1000)) == 1000
        assert (
            search_prompts(store, "old gone")
            == search_prompts(store, "gone")
            == search_prompts(store, "arrot1")
            == []
        )
        assert [hit.turn for hit in store.search(["old", "parrot1"], agent=AGENT, limit=3)] == [200, 199, 198]
        assert store_contents(store, "old") == before
        assert [finding for finding in store.health() if finding.level == "problem"] == []
