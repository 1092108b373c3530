"""`flue sessions import`: what Flue and other programs wrote, read in again."""

from __future__ import annotations

import json
import shutil
import sqlite3
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.foreign_databases import ITEMS, LLM_NEW, LLM_OLD, agents_database, make_database
from support.sessions import FAILING_AGENT, say

from flue_cli.agents.api import Message
from flue_cli.stores.memory.store import MemoryStore
from flue_cli.stores.records import Entry, Failure
from flue_cli.transcripts import exporter, reader
from flue_cli.transcripts.detect_format import kind_of
from flue_cli.transcripts.import_session import bring
from flue_cli.transcripts.import_source import Source

if TYPE_CHECKING:
    from pathlib import Path

    from conftest import Done, Flue


def imported(flue: Flue, content: str | bytes, *options: str) -> Done:
    """Import it from standard input."""
    return flue("sessions", "import", "-", *options, stdin=content)


def document(flue: Flue, session: str) -> dict[str, Any]:
    """What a session's export says."""
    found: dict[str, Any] = json.loads(flue("sessions", "export", session, stdin=None).out)
    return found


def listed(flue: Flue) -> list[str]:
    return ["/".join(line.split("\t")[:2]) for line in flue("sessions", "list", stdin=None).out.splitlines()]


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_what_was_exported_comes_back(flue: Flue, form: str) -> None:
    """Into another store, every turn is as it was: failed ones, edits, keys, meta, times, data."""
    flue.agent("failing", FAILING_AGENT)
    say(flue, "failing", "ä", "one", "fail")
    flue("chat", "failing", "-s", "ä", "--turn-key", "k", "two", stdin=None)
    flue("sessions", "set", "ä", "x", '{"b": 1.0, "a": [1e300, null]}', stdin=None)
    text = flue("sessions", "export", "ä", "--format", form, stdin=None).out

    done = imported(flue, text, "--store", "other.db")
    back = flue("sessions", "export", "ä", "--format", form, "--store", "other.db", stdin=None).out

    assert done == (0, "", "imported failing/ä (4 turns)\n")
    assert back.splitlines()[1:] == text.splitlines()[1:]


def test_the_same_again_is_left_alone(flue: Flue) -> None:
    """Content that is there is skipped, other content is 4 and changes nothing, --again takes a free name."""
    say(flue, "greeting", "a", "hello")
    text = flue("sessions", "export", "a", stdin=None).out

    same = imported(flue, text)
    say(flue, "greeting", "a", "more")
    other = imported(flue, text)
    again = imported(flue, text, "--again")
    third = imported(flue, text, "--again")

    assert same == (0, "", "greeting/a is here already, with the same content\n")
    assert other.code == 4
    assert "with other content" in other.err
    assert (again.err, third.err) == ("imported greeting/a-2 (1 turn)\n", "imported greeting/a-3 (1 turn)\n")
    assert len(document(flue, "a")["turns"]) == 2
    assert document(flue, "a-2")["turns"] == json.loads(text)["turns"]


def test_many_sessions_of_one_file(flue: Flue) -> None:
    """All of them come, forks know where they came from, and one that is in the way keeps no other out."""
    say(flue, "greeting", "a", "hello", "again")
    flue("sessions", "fork", "a", "b", "--at", "1", stdin=None)
    say(flue, "journal", "c", "hello")
    text = flue("sessions", "export", "--all", stdin=None).out

    done = imported(flue, text, "--store", "other.db")
    changed = text.replace('"hello"', '"other"', 1)
    clash = imported(flue, changed, "--store", "other.db")

    assert done.code == 0
    assert done.err.endswith("\n3 imported\n")
    flue.env["FLUE_STORE"] = "other.db"
    assert document(flue, "b")["forked_from"] == {"agent": "greeting", "session": "a", "turn": 1}
    assert clash.code == 4
    assert "2 here already, 1 not imported" in clash.err


def test_a_name_of_ones_own(flue: Flue) -> None:
    """--session and --agent name it; several sessions cannot have one name, and none of them is kept."""
    say(flue, "greeting", "a", "hello")
    say(flue, "greeting", "b", "hello")

    one = imported(
        flue, flue("sessions", "export", "a", stdin=None).out, "--session", "n", "--agent", "other"
    )
    both = imported(flue, flue("sessions", "export", "a", "b", stdin=None).out, "--session", "m")

    assert one.err == "imported other/n (1 turn)\n"
    assert (both.code, both.out) == (2, "")
    assert "has several" in both.err
    assert sorted(listed(flue)) == ["greeting/a", "greeting/b", "other/n"]


def test_lists_of_messages(flue: Flue) -> None:
    """A turn begins at each user message; what stands before it is not lost; without an answer: interrupted."""
    messages = [
        {"role": "system", "content": "be kind"},
        {"role": "user", "content": "one"},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]},
        {"role": "tool", "tool_call_id": "1", "content": "42"},
        {"role": "assistant", "content": "it is 42", "name": "bot"},
        {"role": "user", "content": [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {}}]},
        {"role": "assistant", "content": "nice"},
        {"role": "user", "content": "and now?"},
    ]  # fmt: skip
    (flue.folder / "talk.json").write_text(json.dumps(messages))

    done = flue("sessions", "import", "talk.json", stdin=None)
    found = document(flue, "talk")
    back = json.loads(flue("sessions", "export", "talk", "--format", "openai", stdin=None).out)

    assert (done.code, done.err.splitlines()[0]) == (0, "imported openai/talk (3 turns)")
    assert [turn["outcome"] for turn in found["turns"]] == ["completed", "completed", "interrupted"]
    assert [turn["messages"][0]["content"] for turn in found["turns"]] == ["one", "look", "and now?"]
    assert found["turns"][0]["messages"][-1] == {"role": "assistant", "content": "it is 42"}
    assert back["messages"] == messages
    assert flue("sessions", "import", "talk.json", stdin=None).err.startswith("openai/talk is here already")


USER = {"role": "user", "content": "q"}
ANSWER = {"role": "assistant", "content": "the answer"}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function"}]}
RESULT = {"role": "tool", "tool_call_id": "1", "content": "late note"}


@pytest.mark.parametrize(
    "behind",
    [
        [RESULT],
        [CALL, RESULT],
        [{"role": "system", "content": "be brief"}, RESULT],
        [RESULT, {"role": "system", "content": "be brief"}],
    ],
)
def test_an_answer_with_messages_behind_it_is_the_reply(flue: Flue, behind: list[dict[str, Any]]) -> None:
    """A turn that ends in a tool's message has its reply, and an export gives every message back in order."""
    messages = [USER, ANSWER, *behind, {"role": "user", "content": "more"}, ANSWER, *behind]

    done = imported(flue, json.dumps(messages), "--session", "s")

    assert done == (0, "", "imported openai/s (2 turns)\n")
    assert [turn["outcome"] for turn in document(flue, "s")["turns"]] == ["completed", "completed"]
    assert (
        flue("sessions", "show", "s", stdin=None).out == "[1]\n> q\nthe answer\n\n[2]\n> more\nthe answer\n"
    )
    back = json.loads(flue("sessions", "export", "s", "--format", "openai", stdin=None).out)
    assert back["messages"] == messages


def test_the_last_of_several_answers_is_the_reply(flue: Flue) -> None:
    """Answers, calls and results before the last answer stay between prompt and reply."""
    messages = [USER, {"role": "assistant", "content": "a moment"}, CALL, RESULT, ANSWER]

    imported(flue, json.dumps(messages), "--session", "s")

    turns = document(flue, "s")["turns"]
    assert [turn["messages"] for turn in turns] == [messages]
    assert turns[0]["meta"] == {}


def test_prompts_in_a_row_are_all_kept(flue: Flue) -> None:
    """A prompt that was not answered is a turn marked interrupted, a note says so, and exports have it."""
    messages = [USER, CALL, RESULT, {"role": "user", "content": "second"}, ANSWER]

    done = imported(flue, json.dumps(messages), "--session", "s")

    assert done.err == (
        "imported openai/s (2 turns)\nnote: 1 prompt has no answer in it: marked interrupted, not in the history\n"
    )
    assert [turn["outcome"] for turn in document(flue, "s")["turns"]] == ["interrupted", "completed"]
    assert "> q" in flue("sessions", "show", "s", stdin=None).out
    back = json.loads(flue("sessions", "export", "s", "--format", "openai", stdin=None).out)
    assert back["messages"] == messages


@pytest.mark.parametrize(
    ("text", "sessions"),
    [
        ('{"messages": [{"role": "user", "content": "a"}]}', ["openai/imported"]),
        ('[\n{"role": "user",\n"content": "a"}]', ["openai/imported"]),
        ('{"role": "user", "content": "a"}\n{"role": "assistant", "content": "b"}\n', ["openai/imported"]),
        ('\ufeff{"messages": [{"role": "user", "content": "a"}]}\r\n[{"role": "user", "content": "b"}]',
         ["openai/imported-1", "openai/imported-2"]),
    ],
)  # fmt: skip
def test_forms_of_lists(flue: Flue, text: str, sessions: list[str]) -> None:
    """A document, a message a line, a conversation a line: told apart by what is in them."""
    assert imported(flue, text).code == 0
    assert sorted(listed(flue)) == sessions


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (b"", "is empty"),
        (b"hello", "line 1 column 1"),
        (b'{"a": 1}', "nothing that can be imported"),
        (b'[{"role": "user", "content": "a"}, {"role": "user", "content": NaN}]', "NaN"),
        (b'[{"role": "user", "content": "a", "content": "b"}]', 'the key "content" twice'),
        (b'[{"role": "user", "content": "\xff"}]', "not UTF-8 at byte 30"),
        (b'[{"role": "user", "content": "a"}, 5]', "messages[1]"),
        (b'[{"role": "user", "content": "a"}, {"role": "wizard", "content": ""}]', "messages[1]"),
        (b'[{"role": "user", "content": "\\ud800"}]', "surrogate"),
        (b'[{"role": "system", "content": "a"}]', "no message by the user"),
        (b'{"flue": 2, "agent": "a", "session": "s", "turns": []}', "newer Flue"),
        (b'{"flue": 1, "agent": "a", "session": "s", "turns": [{"outcome": "odd"}]}', "turns[0]"),
        (b'{"flue": 1, "agent": "A!", "session": "s", "turns": []}', "agent's name"),
        (b'{"flue": 1, "agent": "a", "session": "s", "data": {"x": 1}, "turns": []}', "do not lead to"),
    ],
)
def test_what_cannot_be_used(flue: Flue, text: bytes, complaint: str) -> None:
    """Is 2, with the place; nothing is kept."""
    done = imported(flue, text)

    assert (done.code, done.out) == (2, "")
    assert complaint in done.err
    assert done.err.count("error:") == 1
    assert listed(flue) == []


def test_a_file_cut_off_leaves_nothing_of_its_session(flue: Flue) -> None:
    """The sessions before it are whole; of the broken one there is nothing, and its line is named."""
    say(flue, "greeting", "a", "hello")
    say(flue, "greeting", "b", "hello", "more")
    text = flue("sessions", "export", "a", "b", stdin=None).out

    done = imported(flue, text[:-40], "--store", "other.db")

    assert done.code == 2
    assert "error: line 5" in done.err
    flue.env["FLUE_STORE"] = "other.db"
    assert listed(flue) == ["greeting/a"]


def test_old_logs_of_llm(flue: Flue) -> None:
    """Conversations with tools, system prompts, fragments, pictures; a response of none is named and skipped."""
    path = make_database(flue.folder / "logs.db", LLM_OLD)

    done = flue("sessions", "import", path, stdin=None)
    (turn,) = document(flue, "the weather")["turns"]
    (look,) = document(flue, "the weather-2")["turns"]

    assert done.code == 0
    assert "skipped: responses row 4: no conversation\n" in done.err
    assert done.err.endswith("2 imported, 1 skipped\n")
    assert [message["role"] for message in turn["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert turn["messages"][1]["tool_calls"][0]["function"] == {
        "name": "weather",
        "arguments": '{"city": "Oslo"}',
    }
    assert turn["messages"][3]["content"] == "sunny"
    assert (turn["started_at"], turn["finished_at"]) == (
        "2026-11-22T08:53:01.683905Z",
        "2026-11-22T08:53:02.200000Z",
    )
    assert turn["meta"]["original"]["before"] == [{"role": "system", "content": "be brief"}]
    assert [note["input_tokens"] for note in turn["meta"]["llm"]] == [7, 9]
    assert look["messages"][0]["content"] == "a long text\nlook"
    assert (
        look["meta"]["original"]["user"]["content"][1]["image_url"]["url"] == "data:image/png;base64,iVBORw=="
    )
    assert flue("sessions", "import", path, stdin=None).err.endswith("2 here already, 1 skipped\n")


def test_new_logs_of_llm(flue: Flue) -> None:
    """A thread is its chain of messages; one that is broken is 2, and keeps no other out."""
    path = make_database(flue.folder / "logs.db", LLM_NEW)

    done = flue("sessions", "import", path, stdin=None)
    first, second = document(flue, "what time")["turns"]

    assert done.code == 2
    assert "error: thread 2: message gone is missing" in done.err
    assert "skipped: turns row 3: no thread" in done.err
    assert first["messages"][0]["content"] == "read FRAGMENT"
    assert [message["role"] for message in first["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert first["messages"][3]["content"] == "it is noon"
    assert first["meta"]["original"]["assistant"]["parts"][0] == {"type": "reasoning", "text": "let me see"}
    assert first["started_at"] == "2026-11-22T08:51:20.000000Z"
    assert first["finished_at"] == "2026-11-22T08:51:22.500000Z"
    assert (second["outcome"], second["messages"][0]["content"]) == ("interrupted", "thanks")
    assert listed(flue) == ["llm/what time"]


def test_sessions_of_openai_agents(flue: Flue) -> None:
    """Calls made together stay together, as models demand; a name that cannot be one is made valid."""
    path = flue.folder / "agents.db"
    agents_database(path).close()

    done = flue("sessions", "import", str(path), "--agent", "shopper", stdin=None)
    one, two, three = document(flue, "user/1")["turns"]
    history = json.loads(flue("sessions", "export", "user/1", "--format", "openai", stdin=None).out)[
        "messages"
    ]

    assert done.err.splitlines()[0] == "imported shopper/user/1 (3 turns)"
    assert one["messages"][1]["content"] == "Hi Alice"
    assert two["messages"][0]["content"] == "add milk and eggs"
    assert two["messages"][1]["item"] == ITEMS[3]
    assert [call["id"] for call in two["messages"][2]["tool_calls"]] == ["c1", "c2"]
    assert three["outcome"] == "interrupted"
    assert three["messages"][1]["tool_calls"][0]["id"] == "c3"
    assert [message["role"] for message in history] == [
        "user",
        "assistant",
        "user",
        "assistant",
        "tool",
        "tool",
        "assistant",
        "user",  # its call was not answered, and no model takes such a one
    ]
    assert all(set(message) <= {"role", "content", "tool_calls", "tool_call_id"} for message in history)
    assert one["started_at"] == "2026-11-22T08:54:05.000000Z"


@pytest.mark.parametrize("state", ["in use", "left by a crash", "quiet"])
def test_a_database_is_left_as_it_is(flue: Flue, tmp_path: Path, state: str) -> None:
    """In use, with a log that a crash left, or quiet: all of it is read, no file changes, appears or goes."""
    there = tmp_path / "there"
    there.mkdir()
    open_one = agents_database(tmp_path / "live.db", wal=True)
    if state == "in use":
        path = tmp_path / "live.db"
    else:
        for ending in ("", "-wal"):
            shutil.copy(tmp_path / f"live.db{ending}", there / f"agents.db{ending}")
        path = there / "agents.db"
        if state == "quiet":
            sqlite3.connect(path).close()
            sqlite3.connect(path).execute("PRAGMA wal_checkpoint(TRUNCATE)").connection.close()
    files = {
        file: file.read_bytes()
        for file in path.parent.glob(f"{path.name}*")
        if not file.name.endswith("-shm")
    }
    names = sorted(file.name for file in path.parent.glob(f"{path.name}*"))

    done = flue("sessions", "import", str(path), stdin=None)

    assert done.err.splitlines()[0] == "imported openai/user/1 (3 turns)"
    assert {file: file.read_bytes() for file in files} == files
    assert names == sorted(file.name for file in path.parent.glob(f"{path.name}*"))
    open_one.close()


def test_a_damaged_message_keeps_its_session_out(flue: Flue) -> None:
    """A conversation with a hole would look like a whole one: it is 2, with the row."""
    db = agents_database(flue.folder / "agents.db")
    db.execute("UPDATE agent_messages SET message_data = '{' WHERE id = 5")
    db.commit()
    db.close()

    done = flue("sessions", "import", "agents.db", stdin=None)

    assert done.code == 2
    assert "error: agent_messages row 5 is not JSON" in done.err
    assert listed(flue) == []


def test_databases_that_are_something_else(flue: Flue) -> None:
    """A store of Flue is told how, an unknown one and a broken one are 2; none comes through a pipe."""
    say(flue, "greeting", "a", "hello")
    other = make_database(flue.folder / "other.db", "CREATE TABLE x (y)")
    (flue.folder / "broken.db").write_bytes(b"SQLite format 3\0" + b"\xff" * 2000)

    ours = flue("sessions", "import", str(flue.store), stdin=None)

    assert ours.code == 2
    assert "export --all" in ours.err
    assert flue("sessions", "import", other, stdin=None).code == 2
    assert flue("sessions", "import", "broken.db", stdin=None).code == 2
    assert flue("sessions", "import", "missing.db", stdin=None).code == 2
    assert imported(flue, (flue.folder / "other.db").read_bytes()).code == 2
    assert flue("sessions", "import", other, "--format", "word", stdin=None).code == 2


texts = st.text(max_size=12)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | texts | st.floats(allow_nan=False, allow_infinity=False),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(texts, below, max_size=3),
    max_leaves=6,
)  # fmt: skip
objects = st.dictionaries(texts, json_values, max_size=3)
times = st.integers(0, 4_000_000_000_000_000)


@st.composite
def entries(draw: st.DrawFn) -> Entry:
    """Any settled entry."""
    outcome = draw(st.sampled_from(["completed", "failed", "cancelled", "interrupted"]))
    is_edit = outcome == "completed" and draw(st.booleans())
    is_answered = outcome == "completed" and not is_edit
    extra = st.dictionaries(texts.filter(lambda key: key not in ("role", "content")), json_values, max_size=2)
    between = st.lists(
        st.builds(Message, st.sampled_from(["assistant", "tool", "system"]), json_values, extra), max_size=2
    )
    return Entry(
        turn=0,
        kind="edit" if is_edit else "prompt",
        outcome=outcome,
        key=None,
        prompt="" if is_edit else draw(texts),
        reply=draw(texts) if is_answered else None,
        messages=() if is_edit else tuple(draw(between)),
        started_at=draw(times),
        finished_at=draw(st.none() | times),
        error=None if outcome == "completed" else Failure("why", draw(texts)),
        meta=draw(objects),
        data=json.dumps(draw(objects), separators=(",", ":")),
    )


@given(found=st.lists(entries(), max_size=4), form=st.sampled_from(["json", "jsonl"]))
def test_whatever_is_written_is_read_again(
    tmp_path_factory: pytest.TempPathFactory, found: list[Entry], form: str
) -> None:
    """Any conversation is the same after it was exported and imported, and knows itself as the same."""
    store, other = MemoryStore(), MemoryStore()
    head = store.import_session("a", "s", found)
    path = tmp_path_factory.mktemp("transcript") / "one"
    path.write_text("".join(exporter(form)(store, head, 1)))

    for was_there in (False, True):
        with Source(str(path)) as source:
            for one in reader(kind_of(source))(source, pytest.fail):
                brought = bring(other, one, one.agent, one.name, again=False)
        assert brought.was_there == was_there

    assert list(other.entries(brought.head, 1, 9, with_data=True)) == list(
        store.entries(head, 1, 9, with_data=True)
    )
