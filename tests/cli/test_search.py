"""`flue sessions search`, and /search in the chat: everything that was said is found by its words."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.fake_terminal import ChatDriver, echo
from support.hostile_texts import HOSTILE, OBEYED
from support.real_terminal import CTRL_D, ENTER, Terminal

from flue_cli.render.search_hits import hit_excerpt
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import SearchHit
from flue_cli.stores.search_query import SearchQuery
from flue_cli.stores.sqlite.search.fts_index import index_state
from flue_cli.testing.run_turns import AGENT, begin_turn, complete_turn, move_head_to, run_turn, run_turns
from flue_cli.testing.search import answered_entries, prompts_of_hits, search_prompts

if TYPE_CHECKING:
    from conftest import Flue

ECHO = """
def agent(prompt, session, context):
    return "you said " + prompt
"""
TEXTS = st.text("aAbß1İ_-+*\"'é\u0301日本語한กน. \n\0🦜", min_size=1, max_size=30)


def say(flue: Flue, session: str, *prompts: str, agent: str = "echo") -> None:
    flue.agent(agent, ECHO)
    for prompt in prompts:
        assert flue("chat", agent, "-s", session, stdin=prompt).code == 0


def found(flue: Flue, *arguments: str) -> list[list[str]]:
    done = flue("sessions", "search", *arguments, stdin=None)
    assert (done.code, done.err) == (0, "")
    return [line.split("\t") for line in done.out.splitlines()]


# The command


def test_hits_in_a_pipe(flue: Flue) -> None:
    """A line each, newest first: agent, session, turn, time, excerpt; --agent and --limit filter."""
    say(flue, "one", "hello\tthere\nand there")
    say(flue, "two", "Hello again", agent="other")
    flue("sessions", "rename", "two", "renamed")

    hits = found(flue, "HELLO")

    assert [(*hit[:3], hit[4]) for hit in hits] == [
        ("other", "renamed", "1", "Hello again"),
        ("echo", "one", "1", "hello there and there"),
    ]
    (exported,) = json.loads(flue("sessions", "export", "one").out)["turns"]
    assert hits[1][3] == exported["started_at"]
    assert found(flue, "hello", "--agent", "echo") == hits[1:]
    assert found(flue, "hello", "--limit", "1") == hits[:1]
    assert found(flue, "hello", "there") == found(flue, "there hello") == hits[1:]


def test_hits_as_json(flue: Flue) -> None:
    """--json is a list of documents with all of prompt and reply; an empty one if nothing is found."""
    say(flue, "ä", "C++ über alles")

    done = flue("sessions", "search", "c++", "--json", stdin=None)

    assert done.out.isascii()
    (document,) = json.loads(done.out)
    assert document.pop("at").endswith("Z")
    assert document == {
        "agent": "echo",
        "session": "ä",
        "turn": 1,
        "prompt": "C++ über alles",
        "reply": "you said C++ über alles",
    }
    assert flue("sessions", "search", "c#", "--json", stdin=None) == (0, "[]\n", "")


def test_nothing_found_is_no_error(flue: Flue) -> None:
    """Without a store, or without a turn that has the words, the result is empty; an empty query is 2."""
    assert found(flue, "anything") == []
    assert not flue.store.exists()
    say(flue, "one", "hello -x")
    assert found(flue, "anything") == []
    assert [hit[1] for hit in found(flue, "--", "-x")] == ["one"]
    for query in ("", " \t\n"):
        done = flue("sessions", "search", query, stdin=None)
        assert (done.code, done.out) == (2, "")
        assert "nothing to look for" in done.err


def test_twenty_hits_unless_told_otherwise(flue: Flue) -> None:
    """The newest 20, more with --limit, everything with --all; --rank puts the best before the newest."""
    say(flue, "one", "parrot parrot")
    with closing(open_store(str(flue.store))) as store:
        store.import_session("echo", "many", answered_entries(f"the parrot {number}" for number in range(24)))

    assert [len(found(flue, "parrot", *more)) for more in ((), ("--limit", "22"), ("--all",))] == [20, 22, 25]
    assert found(flue, "parrot")[0][1:3] == ["many", "24"]
    assert found(flue, "parrot", "--rank")[0][1] == "one"


def test_what_was_undone_needs_all(flue: Flue) -> None:
    """What is not part of a conversation any more is only found with --all, in the fork that was kept."""
    say(flue, "talk", "one parrot", "two parrots")
    assert flue("sessions", "undo", "talk").code == 0
    assert [hit[1:3] for hit in found(flue, "parrots")] == []
    say(flue, "talk", "another")

    assert found(flue, "parrots") == []
    assert [hit[1:3] for hit in found(flue, "parrots", "--all")] == [["talk~1", "2"]]
    assert [hit[1:3] for hit in found(flue, "parrot", "--all")] == [["talk~1", "2"], ["talk", "1"]]


@pytest.mark.parametrize("query", ['"', '""', "*", "NOT", "x:y", "(", "c++", "日本", "\udcff"])
def test_a_query_is_no_syntax(flue: Flue, query: str) -> None:
    """Whatever is typed is looked for as it is."""
    with closing(open_store(str(flue.store))) as store:
        run_turn(store, "hello")
        run_turn(store, '""" * NOT x:y ( c++ 日本')
    assert len(found(flue, query)) == (query != "\udcff")


def test_nothing_obeys_what_was_said(flue: Flue) -> None:
    """Foreign text in a hit is one line, and harmless."""
    with closing(open_store(str(flue.store))) as store:
        for text in HOSTILE.values():
            run_turn(store, f"find me {text}\n\ttwo", reply=text)

    hits = found(flue, "find", "--all")

    assert len(hits) == len(HOSTILE)
    for hit in hits:
        assert len(hit) == 5
        assert not OBEYED & set("".join(hit))


def test_a_table_on_a_terminal(flue: Flue) -> None:
    """Hits are a table in which the words stand out; that nothing was found, or not all, is said."""
    with closing(open_store(str(flue.store))) as store:
        store.import_session(
            "echo", "birds", answered_entries(f"{'words before ' * 9}the parrot {n}" for n in range(3))
        )

    def screen(*arguments: str) -> tuple[str, bytes]:
        with closing(
            Terminal(
                [*flue.command, "sessions", "search", *arguments], cwd=flue.folder, env=flue.env, columns=100
            )
        ) as terminal:
            assert terminal.ended() == 0
            return terminal.everything, terminal.raw

    text, raw = screen("parrot", "--limit", "2")
    assert "excerpt" in text
    assert "the parrot 2" in text
    assert "words before" in text
    assert b"\x1b[1;33mparrot\x1b[0m" in raw
    assert "there are more: --limit N, or --all" in text
    assert "there are more" not in screen("parrot")[0]
    assert "nothing was found" in screen("cat")[0]


def test_searching_in_the_chat(driver: ChatDriver) -> None:
    """/search looks through all sessions, and says what it takes."""
    run_turns(driver.store, "an old parrot", name="elsewhere")

    page = driver.chat(
        echo,
        "a new parrot" + ENTER,
        "/search PARROT" + ENTER,
        "/search cat" + ENTER,
        "/search" + ENTER,
        CTRL_D,
    )

    lines = [line for line in page.splitlines() if "elsewhere" in line or "work" in line]
    assert any("a new" in line for line in lines)
    assert any("an old" in line for line in lines)
    assert "nothing was found" in page
    assert "error: /search takes the words to look for" in page


# Excerpts


@given(text=TEXTS, before=st.integers(0, 200), after=st.integers(0, 200))
def test_an_excerpt_shows_what_was_found(text: str, before: int, after: int) -> None:
    """Whatever stands around them, a word that was looked for is marked, and little else is shown."""
    for word in text.split():
        query = SearchQuery([word])
        whole = "so much " * before + text + " and more" * after
        assert query.matches(whole, None)
        pieces = hit_excerpt(SearchHit("agent", "name", 1, 1, 1, whole, "reply"), query)
        marked = [piece for piece, is_word in pieces if is_word]
        assert word.casefold() in [piece.casefold() for piece in marked]
        shown = "".join(piece for piece, _ in pieces)
        assert len(shown) <= 102
        assert shown.startswith("…") or whole.startswith(shown[:1]) or whole[0].isspace()


def test_an_excerpt_is_of_what_says_more() -> None:
    """The reply's, if more of the words are in it."""
    hit = SearchHit("agent", "name", 1, 1, 1, "salt", "pepper, salt")
    assert hit_excerpt(hit, SearchQuery(["salt", "pepper"])) == [
        ("pepper", True),
        (", ", False),
        ("salt", True),
    ]
    assert hit_excerpt(hit, SearchQuery(["salt"])) == [("salt", True)]


# The index


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "flue.db"


@pytest.fixture
def store(path: Path) -> Iterator[Store]:
    opened = open_store(str(path))
    yield opened
    opened.close()


@pytest.fixture
def index_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Searches look nothing through that they could look up."""
    monkeypatch.setattr("flue_cli.stores.sqlite.search.fts_index.SCANNED_ENTRIES", 0)


def upto(path: Path) -> tuple[int, bool, int]:
    """How far the index goes, whether it has words to let go of, and how far it could go."""
    with closing(sqlite3.connect(path)) as db:
        return index_state(db)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], max_examples=60)
@given(texts=st.lists(TEXTS, min_size=2, max_size=4), queries=st.lists(TEXTS, max_size=3), data=st.data())
def test_the_index_finds_what_looking_through_finds(
    index_alone: None, store: Store, texts: list[str], queries: list[str], data: st.DataObject
) -> None:
    """Every word of a text finds it, and a query the same turns as if each had been looked at."""
    if store.head(AGENT, "some").uid:
        store.delete(store.head(AGENT, "some"))
    store.import_session(AGENT, "some", answered_entries(texts))
    words = [word for text in texts for word in text.split()]
    pieces = [word[data.draw(st.integers(0, len(word) - 1)) :] for word in words]
    for text in texts:
        assert all(text in prompts_of_hits(store.search([word])) for word in text.split())
    for query in (*queries, *words, *pieces, " ".join(data.draw(st.permutations(words))[:2])):
        expected = [
            text
            for text in reversed(texts)
            if query.split() and SearchQuery(query.split()).matches(text, "ok")
        ]
        assert search_prompts(store, query) == expected


def test_the_index_is_never_far_behind(index_alone: None, path: Path, store: Store) -> None:
    """Turns bring it up to date, also one that began before others and ended after them."""
    late = begin_turn(store, "LATE prompt", "late").lease
    for number in range(300):
        run_turn(store, f"hello {number}")
    done, _, newest = upto(path)
    assert newest - 64 <= done < newest
    complete_turn(store, late, reply="LATEREPLY")

    assert [hit.reply for hit in store.search(["latereply"])] == ["LATEREPLY"]
    assert [hit.reply for hit in store.search(["late", "prompt"])] == ["LATEREPLY"]
    assert [finding for finding in store.health() if finding.level == "problem"] == []


def test_a_search_catches_up_unless_somebody_writes(path: Path, store: Store) -> None:
    """What a copy left to be done is done by the next search; it finds everything without."""
    store.import_session(AGENT, "many", answered_entries(f"hello {number}" for number in range(1500)))
    assert upto(path)[0] == 0
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert search_prompts(store, "hello 7") == [
            f"hello {n}" for n in range(1499, -1, -1) if str(n).startswith("7")
        ]
        other.execute("ROLLBACK")
    assert upto(path)[0] == 0

    assert len(search_prompts(store, "hello")) == 1500
    assert upto(path) == (1000, False, 1500)


def test_an_older_store_is_searched(path: Path, store: Store) -> None:
    """A store that a Flue without an index made is found through from the first search on."""
    store.import_session(AGENT, "old", answered_entries(f"hello parrot{number}" for number in range(700)))
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        for statement in (
            "DROP TABLE words",
            "DROP TABLE indexed",
            "DELETE FROM _sqlite_migrations WHERE name = 'index_of_words'",
            "PRAGMA user_version = 2",
        ):
            db.execute(statement)

    assert search_prompts(store, "parrot3")[0] == "hello parrot399"
    assert search_prompts(store, "parrot699") == ["hello parrot699"]
    assert upto(path) == (700, False, 700)


def test_words_that_an_older_flue_indexed_decomposed(index_alone: None, path: Path, store: Store) -> None:
    """A Flue that indexed texts as they were left the pieces of decomposed words: they are found composed."""
    texts = [f"e\u0301clair {number}" for number in range(20)]
    store.import_session(AGENT, "old", answered_entries(texts))
    store.close()
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("INSERT INTO words (words) VALUES ('delete-all')")
        for number in range(20):
            db.execute("INSERT INTO words (rowid, said) VALUES (?, ?)", (number + 1, f"e clair {number} ok"))
        db.execute("UPDATE indexed SET upto = 20")
        db.execute("DELETE FROM _sqlite_migrations WHERE name = 'index_of_composed_words'")
        db.execute("PRAGMA user_version = 4")

    assert search_prompts(store, "éclair 7") == ["e\u0301clair 7"]
    assert [finding for finding in store.health() if finding.level == "problem"] == []


SECRETS = [f"{number * 7919 % 9973:04}Hunter{number:03}" for number in range(200)]


def secrets(path: Path, change: Callable[[str], str] = str.lower) -> int:
    """How many endings of the secret words are in the store's files."""
    content = b"".join(file.read_bytes() for file in path.parent.iterdir() if file.is_file())
    return sum(change(secret)[6:].encode() in content for secret in SECRETS)


def keep_secrets(store: Store, *, undone: bool = False) -> str:
    """A session that is in the index, between others; or a kept fork that is. Its name."""
    store.import_session(AGENT, "before", answered_entries(f"before {number}" for number in range(100)))
    store.reindex()
    store.import_session(AGENT, "secret", answered_entries(["shared", *SECRETS]))
    if undone:
        move_head_to(store, 1, "secret")
        run_turns(store, "instead", name="secret")
    store.import_session(AGENT, "after", answered_entries(f"after {number}" for number in range(400)))
    assert search_prompts(store, SECRETS[0], with_undone_forks=True)
    return "secret~1" if undone else "secret"


@pytest.mark.parametrize("undone", [False, True], ids=["session", "kept fork"])
@pytest.mark.parametrize("size", ["small", "large"])
def test_no_word_of_a_deleted_session_is_in_the_index(
    path: Path, store: Store, size: str, undone: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not in the store's files either: at once, or where that would take long, when the store is closed."""
    if size == "large":
        monkeypatch.setattr("flue_cli.stores.sqlite.search.fts_index.SMALL_INDEX", 0)
    name = keep_secrets(store, undone=undone)
    assert secrets(path, str) > 100
    assert secrets(path) > 100  # which is how the index spells them

    store.delete(store.head(AGENT, name))
    if size == "large":
        assert upto(path)[1]
        store.close()

    assert secrets(path, str) == secrets(path) == 0
    assert search_prompts(store, SECRETS[0], with_undone_forks=True) == []
    assert search_prompts(store, "shared") == (["shared"] if undone else [])
    assert len(search_prompts(store, "before 9")) == 11
    assert [finding for finding in store.health() if finding.level == "problem"] == []


def test_what_a_crash_left_in_the_index_goes_with_the_next_search(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A process that dies between deleting a session and clearing the index is made up for."""
    monkeypatch.setattr("flue_cli.stores.sqlite.search.fts_index.SMALL_INDEX", 0)
    dying = open_store(str(path))
    keep_secrets(dying)
    dying.delete(dying.head(AGENT, "secret"))
    with closing(open_store(str(path))) as store:
        assert any("still in the full-text index" in finding.message for finding in store.health())
        search_prompts(store, "anything")
        assert not any("still in the full-text index" in finding.message for finding in store.health())
        assert secrets(path) == 0
    dying.close()


DAMAGES = {
    "out of step": "INSERT INTO words (words, rowid, said) VALUES ('delete', 7, 'hello parrot6 ok')",
    "damaged": "UPDATE words_data SET block = x'0102030405060708' WHERE id > 10",
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_an_index_that_is_wrong_is_noticed_and_made_anew(flue: Flue, damage: str) -> None:
    """`flue doctor` says what is wrong and what to do about it, and then all is well."""
    with closing(open_store(str(flue.store))) as store:
        store.import_session(
            AGENT, "some", answered_entries(f"hello parrot{number}" for number in range(700))
        )
        store.reindex()
    with closing(sqlite3.connect(flue.store)) as db, db:
        db.execute(damage)

    told = flue("doctor", stdin=None)
    assert told.code == 1
    assert "flue sessions search --reindex" in told.out

    assert [hit[2] for hit in found(flue, "parrot6", "--reindex", "--limit", "1000")][-1] == "7"
    assert flue("doctor", stdin=None).code == 0


def test_searching_while_others_talk(store: Store) -> None:
    """A search sees all of a turn or nothing, and stands in nobody's way."""
    over = threading.Event()
    failed: list[Any] = []

    def looks() -> None:
        try:
            while not over.is_set():
                for hit in store.search(["hello"], ranked=True):
                    assert hit.reply is None or hit.reply == hit.prompt
        except BaseException as error:
            failed.append(error)
            raise
        finally:
            store.disconnect()

    searching = [threading.Thread(target=looks) for _ in range(2)]
    for one in searching:
        one.start()
    for number in range(150):
        run_turn(store, f"hello {number}", reply=f"hello {number}")
    over.set()
    for one in searching:
        one.join()
    assert failed == []
    assert len(store.search(["hello"])) == 150


def test_a_turn_needs_nothing_that_cuts_words() -> None:
    """Starting up is quick: what only searches need is not loaded for a turn."""
    modules = subprocess.run(
        [sys.executable, "-c", "import sys, flue_cli.stores.sqlite.store; print(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    assert not {name for name in modules if name.endswith((".search_query", ".tokenizer", ".find"))}
