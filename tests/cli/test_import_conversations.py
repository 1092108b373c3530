"""`flue sessions import`: what ChatGPT, Claude.ai and ShareGPT give people to take away."""

from __future__ import annotations

import copy
import json
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flue_cli.errors import UsageError
from flue_cli.stores.memory.store import MemoryStore
from flue_cli.transcripts import reader
from flue_cli.transcripts.detect_format import kind_of
from flue_cli.transcripts.import_session import NameAssigner, bring
from flue_cli.transcripts.import_source import Source

if TYPE_CHECKING:
    from conftest import Flue

DATA = Path(__file__).resolve().parents[1] / "data"
CHATGPT = json.loads((DATA / "chatgpt-conversations.json").read_text())
CLAUDE = json.loads((DATA / "claude-conversations.json").read_text())
SHAREGPT = json.loads((DATA / "sharegpt.json").read_text())


def exported(flue: Flue, session: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(flue("sessions", "export", session, stdin=None).out)
    return found


def texts(document: dict[str, Any]) -> list[tuple[str, str | None]]:
    """The prompt and the reply of each turn."""
    return [
        (turn["messages"][0]["content"], turn["messages"][-1]["content"] if not turn["error"] else None)
        for turn in document["turns"]
    ]


def chat(*nodes: tuple[str, str | None, str, str], current: str | None = None, title: str = "t") -> str:
    """A ChatGPT export of one conversation: (id, parent, role, text) of each message."""
    mapping = {
        key: {
            "parent": parent,
            "message": {"author": {"role": role}, "content": {"content_type": "text", "parts": [text]}},
        }
        for key, parent, role, text in nodes
    }
    return json.dumps([{"title": title, "mapping": mapping, "current_node": current}])


def test_conversations_of_chatgpt(flue: Flue) -> None:
    """The branch shown last is the session, others are its forks; titles are names; times and models are kept."""
    done = flue("sessions", "import", str(DATA / "chatgpt-conversations.json"), stdin=None)

    assert done.code == 0
    assert done.err.endswith("skipped: conversation 4: no messages\n5 imported, 1 skipped\n")
    main = exported(flue, "chatgpt/Litres in a barrel")
    assert [prompt for prompt, _ in texts(main)] == [
        "How many litres are in a barrel of oil?",
        "And is this one?",
    ]
    assert main["turns"][0]["started_at"] == "2024-12-01T09:00:00.125000Z"
    assert main["turns"][0]["meta"]["chatgpt"][-1] == {"model": "o3"}
    fork = exported(flue, "Litres in a barrel-fork-1")
    assert texts(fork) == [
        ("How many litres are in a barrel of oil?", "About 159 litres."),
        ("Thanks!", "You're welcome!"),
    ]
    assert fork["forked_from"] == {"agent": "chatgpt", "session": "Litres in a barrel", "turn": 0}
    assert texts(exported(flue, "New chat")) == [("Bonjour", "Bonjour ! Comment puis-je vous aider ?")]
    assert texts(exported(flue, "New chat-2")) == [("Are you there?", None)]


def test_calls_and_instructions_of_chatgpt(flue: Flue) -> None:
    """Thoughts, calls and results stand between prompt and reply; hidden instructions are no prompt."""
    flue("sessions", "import", str(DATA / "chatgpt-conversations.json"), stdin=None)

    turn = exported(flue, "Litres in a barrel")["turns"][0]
    openai = json.loads(
        flue("sessions", "export", "Litres in a barrel", "--format", "openai", stdin=None).out
    )

    assert [message["role"] for message in turn["messages"]] == [
        "user",
        "assistant",
        "assistant",
        "tool",
        "assistant",
    ]
    assert turn["messages"][2]["tool_calls"][0]["function"]["name"] == "python"
    assert turn["meta"]["original"]["before"][0]["content"] == "The user lives in Lisbon.\nAnswer briefly."
    assert [message["role"] for message in openai["messages"]] == [
        "system", "user", "assistant", "tool", "assistant", "user", "assistant",
    ]  # fmt: skip


def test_replies_of_chatgpt_are_markdown(flue: Flue) -> None:
    """An export of what was imported lays the replies out."""
    flue("sessions", "import", str(DATA / "chatgpt-conversations.json"), stdin=None)

    page = flue("sessions", "export", "Litres in a barrel", "--format", "html", stdin=None).out

    assert "<strong>159 litres</strong>" in page
    assert "<table>" in page


def test_conversations_of_claude(flue: Flue) -> None:
    """Newer exports are trees, older ones lists of texts; blocks become messages, attachments are kept."""
    done = flue("sessions", "import", str(DATA / "claude-conversations.json"), stdin=None)

    assert done.code == 0
    main = exported(flue, "claude/Reading a café's menu")
    assert texts(main) == [
        ("Please summarise the menu.", "- Soup: 4.50\n\n- Bread: 1.20"),
        ("And the tea?", "Tea is **2**."),
    ]
    roles = [message["role"] for message in main["turns"][0]["messages"]]
    assert roles == ["user", "assistant", "assistant", "assistant", "tool", "assistant"]
    assert main["turns"][0]["started_at"] == "2025-11-28T17:05:46.423148Z"
    original = main["turns"][0]["meta"]["original"]["user"]["content"]
    assert original[1]["file"]["extracted_content"] == "Soup 4.50\nBread 1.20\nTea 2"
    fork = exported(flue, "Reading a café's menu-fork-1")
    assert texts(fork) == [("Please summarise the menu.", "Soup, bread and tea.")]
    old = exported(flue, CLAUDE[1]["uuid"])
    assert texts(old) == [("Old exports have only text.", "Then I read that.")]


@pytest.mark.parametrize("form", ["list", "lines", "one"])
def test_conversations_of_sharegpt(flue: Flue, form: str) -> None:
    """A list, one a line, or one alone; calls, results and instructions go with their turn."""
    content = {
        "list": json.dumps(SHAREGPT, indent=1),
        "lines": "\n".join(map(json.dumps, SHAREGPT)),
        "one": json.dumps(SHAREGPT[1]),
    }[form]

    done = flue("sessions", "import", "-", stdin=content)

    assert done.code == 0
    turn = exported(flue, "sharegpt/QWJhYvA_1")["turns"][0]
    assert [message["role"] for message in turn["messages"]] == ["user", "assistant", "tool", "assistant"]
    assert turn["messages"][2]["tool_call_id"] == turn["messages"][1]["tool_calls"][0]["id"]
    assert turn["meta"]["original"]["before"] == [{"role": "system", "content": "You are a weather bot."}]
    if form != "one":
        assert texts(exported(flue, "QWJhYvA_0")) == [("What is 2 + 2?", "**4**."), ("Times 3?", "12.")]


@pytest.mark.parametrize("name", ["chatgpt-conversations", "claude-conversations", "sharegpt"])
def test_conversations_are_imported_once(flue: Flue, name: str) -> None:
    """The same file again changes nothing; --again and --agent work as for any other file."""
    flue("sessions", "import", str(DATA / f"{name}.json"), stdin=None)

    same = flue("sessions", "import", str(DATA / f"{name}.json"), stdin=None)
    again = flue("sessions", "import", str(DATA / f"{name}.json"), "--again", "--agent", "mine", stdin=None)

    assert same.code == 0
    assert "imported" not in same.err
    assert again.code == 0
    assert "imported mine/" in again.err


def test_forks_follow_the_names_that_were_given(flue: Flue) -> None:
    """Two conversations of one title, and a title that cannot be a name: each fork knows its own origin."""
    nodes = [("1", None, "user", "q"), ("2", "1", "assistant", "a"), ("3", "1", "assistant", "b")]
    title = "-\x1b[31m same/title"
    content = json.dumps([*json.loads(chat(*nodes, title=title)), *json.loads(chat(*nodes, title=title))])

    done = flue("sessions", "import", "-", stdin=content)

    assert "\x1b" not in done.err
    names = [line.split("\t")[1] for line in flue("sessions", "list", stdin=None).out.splitlines()]
    assert len(set(names)) == 4
    origins = {name: exported(flue, f"chatgpt/{name}")["forked_from"] for name in names}
    roots = [name for name, origin in origins.items() if origin is None]
    assert sorted(origin["session"] for origin in origins.values() if origin) == sorted(roots)


def test_a_fork_begins_where_it_differs(flue: Flue) -> None:
    """Another prompt after an answer is a fork at that turn; another answer one before it."""
    nodes = [
        ("1", None, "user", "q"),
        ("2", "1", "assistant", "a"),
        ("3", "2", "user", "old"),
        ("4", "3", "assistant", "b"),
        ("5", "2", "user", "new"),
        ("6", "5", "assistant", "c"),
        ("7", "5", "assistant", "d"),
    ]  # fmt: skip

    flue("sessions", "import", "-", stdin=chat(*nodes, current="7"))

    origins = {name: exported(flue, name)["forked_from"]["turn"] for name in ("t-fork-1", "t-fork-2")}
    assert texts(exported(flue, "t")) == [("q", "a"), ("new", "d")]
    assert origins == {"t-fork-1": 1, "t-fork-2": 1}


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (chat(("1", "2", "user", "q"), ("2", "1", "assistant", "a"), current="1"), "lead in a circle"),
        (chat(("1", "1", "user", "q")), "lead in a circle"),
        (chat(("1", "0", "user", "q")), "message 0 is missing"),
        (chat(("1", None, "user", "q"), current="9"), "message 9 is missing"),
        (chat(("1", None, "narrator", "q")), "with a role (user, assistant, system, tool)"),
        ('[{"mapping": []}]', 'needs a "mapping" of messages'),
        ('[{"mapping": {"1": 5}}]', "message 1 is not an object"),
        ('[{"chat_messages": {}}]', 'needs "chat_messages", a list'),
        ('[{"chat_messages": [{"sender": "bot"}]}]', 'needs a "sender": human or assistant'),
        ('{"conversations": [{"from": "alien", "value": "x"}]}', "is \"from\" 'alien'"),
        ('{"conversations": [{"from": "human", "value": 5}]}', 'needs a "value", which is text'),
        ('{"conversations": 5}', "a JSON object with the keys conversations"),
        ('[{"title": "t", "steps": []}]', "a JSON list of objects with the keys title, steps"),
        ("5", "JSON, but neither an object nor a list"),
        ("PK\x03\x04...", "a ZIP archive"),
        ("<!DOCTYPE html>", "an HTML or XML document"),
        ("hello", "is not JSON"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_said(flue: Flue, content: str, complaint: str) -> None:
    """It is 2: the error describes what the file is or where it is wrong, and nothing is kept."""
    done = flue("sessions", "import", "-", stdin=content)

    assert (done.code, done.out) == (2, "")
    assert complaint in done.err
    assert "Traceback" not in done.err
    assert flue("sessions", "list", stdin=None).out == ""


def test_what_can_be_imported_is_named(flue: Flue) -> None:
    """The hint for a file that is nothing of it names all that can be, and what to do with an archive."""
    other = flue("sessions", "import", "-", stdin='{"a": 1}')
    archive = flue("sessions", "import", "-", stdin=b"PK\x03\x04")

    for name in ("Flue", "ChatGPT", "Claude.ai", "ShareGPT", "OpenAI", "llm", "openai-agents"):
        assert name in other.err
    assert "unpack it, and import the conversations.json in it" in archive.err


def test_a_bad_conversation_keeps_no_other_out(flue: Flue) -> None:
    """The others are imported, and the error names the one that was not."""
    content = json.dumps(
        [{"mapping": {"1": {"parent": "1", "message": None}}}, *CHATGPT[1:2], {"mapping": 5}]
    )

    done = flue("sessions", "import", "-", stdin=content)

    assert done.code == 2
    assert "imported chatgpt/New chat (1 turn)" in done.err
    assert 'conversation 3 needs a "mapping" of messages' in done.err


def test_a_long_chain_with_many_branches_ends(flue: Flue) -> None:
    """Branches of a tree that was made to be huge are left out and counted; nothing hangs."""
    nodes: list[tuple[str, str | None, str, str]] = [("0", None, "user", "q")]
    nodes += [(str(n), str(n - 1), "assistant", "a") for n in range(1, 40_000)]
    nodes += [(f"x{n}", "39999", "assistant", "b") for n in range(3000)]

    done = flue("sessions", "import", "-", stdin=chat(*nodes))

    assert done.code == 0
    assert "of its branches, which are too many" in done.err


ODD = st.sampled_from(
    [None, True, 0, -1, 1e300, "", "x", "\ud800", [], {}, [1], {"a": 1}, ["x", {"text": 5}]]
)


@given(st.data())
def test_odd_values_anywhere_are_errors_and_never_bugs(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    """Whatever stands in a place of an export, it is imported or refused with a sentence."""
    document = copy.deepcopy(data.draw(st.sampled_from([CHATGPT, CLAUDE, SHAREGPT])))
    place: Any = document
    while True:
        keys = list(place) if isinstance(place, dict) else list(range(len(place)))
        key = data.draw(st.sampled_from(keys))
        child = place[key]
        if not isinstance(child, dict | list) or not child or data.draw(st.booleans()):
            break
        place = child
    place[key] = data.draw(ODD)
    path = tmp_path_factory.mktemp("odd") / "conversations.json"
    path.write_text(json.dumps(document))
    store, names = MemoryStore(), NameAssigner("", "", "openai")

    with Source(str(path)) as source, suppress(UsageError):
        for session in reader(kind_of(source))(source, lambda _: None):
            with suppress(UsageError):
                agent, name = names.of(session)
                bring(store, session, agent, name, again=False)
