"""What was said is found again: whatever its characters, whatever line it is on, until it is deleted."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from flue_cli.agents.api import Message
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry, SearchHit
from flue_cli.testing.run_turns import (
    AGENT,
    begin,
    edit,
    everything,
    failed_turn,
    finish,
    forgotten,
    move,
    sleep,
    talk,
    turn,
)
from flue_cli.testing.search_texts import FOUND, HOSTILE, NOT_FOUND


def said(hits: Iterable[SearchHit]) -> list[str]:
    """The prompts of what was found."""
    return [hit.prompt for hit in hits]


def search(store: Store, query: str, *, ranked: bool = False, kept: bool = False) -> list[str]:
    """The prompts of all that a query finds."""
    return said(store.search(query.split(), ranked=ranked, with_undone_forks=kept))


def answered(prompts: Iterable[str]) -> list[Entry]:
    """Completed turns, to be brought."""
    return [
        Entry(1, "prompt", "completed", None, prompt, "ok", (), 1, 2, None, {}, "{}") for prompt in prompts
    ]


class SearchCases:
    """What was said is found again: whatever its characters, whatever line it is on, until it is deleted."""

    # Words

    def test_what_was_typed_is_found_as_it_was_typed(self, store: Store) -> None:
        """No query is syntax, none is an error: a turn is found by each of its words, and by no other."""
        for number, text in enumerate(HOSTILE):
            turn(store, f"before {text}" if number % 2 else "none", reply=text)
        turns = [(hit.prompt, hit.reply or "") for hit in store.search(["none"]) + store.search(["before"])]
        assert len(turns) == len(HOSTILE)

        for query in (*HOSTILE, "\udcff", "\ud800x"):
            words = query.split()
            found = {(hit.prompt, hit.reply) for hit in store.search(words)}
            must = {texts for texts in turns if set(words) <= set(" ".join(texts).split())}
            may = {
                texts
                for texts in turns
                if all(word.casefold() in "\n".join(texts).casefold() for word in words)
            }
            assert must <= found <= may, query

    def test_case_and_beginnings_of_words(self, store: Store) -> None:
        """Case is ignored; the word that is found may go on, but has no letter before it."""
        for query, text in FOUND.items():
            turn(store, text, reply="b")
            assert search(store, query)[:1] == [text], query
        for number, (query, text) in enumerate(NOT_FOUND.items()):
            turn(store, text, f"another {number}", agent="another")
            found = store.search(query.split(), agent="another")
            assert text not in said(hit for hit in found if hit.name == f"another {number}"), query

    def test_all_words_must_be_in_one_turn(self, store: Store) -> None:
        """In its prompt or its reply, in any order, also twice; words of two turns are nobody's."""
        turn(store, "salt and pepper", reply="oil")
        turn(store, "vinegar", reply="salt")

        assert search(store, "oil salt") == search(store, "SALT oil salt") == ["salt and pepper"]
        assert search(store, "salt") == ["vinegar", "salt and pepper"]
        assert search(store, "pepper vinegar") == search(store, "salt sugar") == []
        assert store.search([]) == []

    def test_only_what_was_said_is_found(self, store: Store) -> None:
        """Data, keys, names, messages between and reasons of failure are not what was said."""
        assert store.search(["anything"]) == []
        assert store.sessions() == []
        turn(
            store, "hello", "words", data='{"words":1}', key="words", meta={"words": 1},
            messages=[Message("tool", "words")],
        )  # fmt: skip
        edit(store, '{"words":2}', "words")
        failed_turn(store, "hello again", "words")
        assert store.search(["words"]) == store.search(["agent_error"]) == store.search(["broke"]) == []

    # What comes first

    def test_the_newest_come_first(self, store: Store) -> None:
        """In the order in which the prompts were recorded, over all sessions; a limit cuts the rest off."""
        for number in range(6):
            turn(store, f"hello {number}", f"session {number % 2}", agent=("one", "two")[number % 2])
        first = begin(store, "hello 6", "first").lease
        turn(store, "hello 7", "second")
        finish(store, first)

        assert search(store, "hello") == [f"hello {number}" for number in range(7, -1, -1)]
        assert said(store.search(["hello"], limit=2)) == ["hello 7", "hello 6"]
        assert said(store.search(["hello"], agent="two")) == ["hello 5", "hello 3", "hello 1"]
        assert said(store.search(["hello"], agent="two", limit=1)) == ["hello 5"]
        assert store.search(["hello"], limit=0) == store.search(["hello"], agent="three") == []

    def test_the_best_come_first_if_asked_for(self, store: Store) -> None:
        """Prompts above replies, then whoever is more about it; of equals, the newest."""
        turn(store, "old", reply="parrot")
        turn(store, "the parrot is one word of " + "many " * 99)
        turn(store, "a parrot, a parrot and a parrot")
        turn(store, "new", reply="parrot")
        turn(store, "parrot and cat", reply="both")
        turn(store, "cat", reply="parrot")

        found = store.search(["parrot"], ranked=True)

        assert said(found)[:2] == ["a parrot, a parrot and a parrot", "parrot and cat"]
        assert said(found)[2].startswith("the parrot is one word")
        assert said(found)[3:] == ["cat", "new", "old"]
        assert store.search(["parrot"], ranked=True, limit=3) == found[:3]
        assert search(store, "cat parrot", ranked=True) == ["parrot and cat", "cat"]

    def test_a_hit_says_where_it_is(self, store: Store) -> None:
        """Agent, session, its uid, turn, when it began, prompt and reply; the names are today's."""
        turn(store, "zero")
        head = turn(store, "one parrot", reply="Polly")
        (entry,) = store.entries(head, 2, 2)
        head = store.rename(head, "other", wait=0, pause=sleep)

        (hit,) = store.search(["parrot"])

        assert hit == (AGENT, "other", head.uid, 2, entry.started_at, "one parrot", "Polly")

    # Turns of all kinds

    def test_prompts_without_a_reply_are_found(self, store: Store) -> None:
        """Failed, interrupted, and while they run: by their prompts, each once."""
        failed_turn(store, "parrot fails")
        forgotten(store, "parrot crashes", "crashed")
        lease = begin(store, "parrot runs").lease
        running = ["parrot runs", "parrot crashes", "parrot fails"]
        assert search(store, "parrot") == running
        assert [(hit.turn, hit.reply) for hit in store.search(["runs"])] == [(2, None)]

        finish(store, lease, reply="parrot")
        turn(store, "next", "crashed")
        assert search(store, "parrot") == running
        assert [(hit.turn, hit.reply) for hit in store.search(["runs"])] == [(2, "parrot")]

    def test_what_was_undone_is_found_only_if_asked_for(self, store: Store) -> None:
        """In its own session until something else is said, then in the kept fork; once, if in both."""
        talk(store, "one", "two parrots", "three parrots")
        move(store, 1)

        def found(*, kept: bool) -> list[tuple[str, int, str]]:
            return [
                (hit.name, hit.turn, hit.prompt) for hit in store.search(["parrots"], with_undone_forks=kept)
            ]

        assert found(kept=False) == []
        assert found(kept=True) == [("main", 3, "three parrots"), ("main", 2, "two parrots")]
        move(store, 2)
        assert found(kept=False) == [("main", 2, "two parrots")]
        talk(store, "other parrots")
        assert found(kept=False) == [("main", 3, "other parrots"), ("main", 2, "two parrots")]
        assert found(kept=True) == [
            ("main", 3, "other parrots"),
            ("main~1", 3, "three parrots"),
            ("main", 2, "two parrots"),
        ]
        begin(store, "running parrots", "main~1")
        assert found(kept=True)[0] == ("main~1", 4, "running parrots")
        assert found(kept=False) == [("main", 3, "other parrots"), ("main", 2, "two parrots")]

    def test_copies_are_found_beside_what_was_copied(self, store: Store) -> None:
        """A fork by a person, and what was brought: they count as recorded when the copy was made."""
        talk(store, "parrot", "cat")
        fork = store.fork(store.head(AGENT, "main"), "fork")
        store.import_session(AGENT, "brought", answered(["parrot again", "dog"]))
        turn(store, "a parrot at last")

        found = [(hit.name, hit.turn) for hit in store.search(["parrot"])]

        assert found == [("main", 3), ("brought", 1), ("fork", 1), ("main", 1)]
        store.delete(store.head(AGENT, "main"))
        assert [hit.uid for hit in store.search(["cat"])] == [fork.uid]

    # Deleting

    def test_what_was_deleted_is_not_found(self, store: Store) -> None:
        """Nor are its kept forks; what took its place is, and so is what others share with it."""
        talk(store, "shared parrot", "kept parrot")
        move(store, 1)
        talk(store, "parrot")
        talk(store, "other parrot", name="other")
        store.delete(store.head(AGENT, "main~1"))
        assert search(store, "parrot", kept=True) == ["other parrot", "parrot", "shared parrot"]

        store.delete(store.head(AGENT, "main"))
        assert search(store, "parrot", kept=True) == ["other parrot"]
        talk(store, "parrot anew", "cat")
        assert search(store, "parrot", kept=True) == ["parrot anew", "other parrot"]
        assert search(store, "kept", kept=True) == search(store, "shared", kept=True) == []

    # Large stores

    @pytest.mark.parametrize("anew", [False, True], ids=["as it is", "made anew"])
    def test_old_turns_are_found_among_many(self, store: Store, anew: bool) -> None:
        """However many there are, one is found by any word, and the newest first; deleted ones are not."""
        store.import_session(
            AGENT, "old", answered(f"old parrot{number} c++ 日本{number}" for number in range(700))
        )
        store.import_session(AGENT, "gone", answered(f"gone parrot{number}" for number in range(100)))
        store.import_session(AGENT, "new", answered(f"new parrot{number}" for number in range(700)))
        store.fork(store.head(AGENT, "old"), "fork")
        store.delete(store.head(AGENT, "gone"))
        before = everything(store, "old")
        if anew:
            store.reindex()

        assert search(store, "parrot699") == [
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
        assert search(store, "old gone") == search(store, "gone") == search(store, "arrot1") == []
        assert [hit.turn for hit in store.search(["old", "parrot1"], agent=AGENT, limit=3)] == [200, 199, 198]
        assert everything(store, "old") == before
        assert [finding for finding in store.health() if finding.level == "problem"] == []
