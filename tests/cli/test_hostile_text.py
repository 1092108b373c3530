"""Nothing that an agent, a name, a path or an error says can harm the terminal."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.hostile_texts import HOSTILE, OBEYED
from support.terminal_output import on_a_terminal

if TYPE_CHECKING:
    from conftest import Flue

OUR_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
OUR_NOTICES = re.compile(r"\x1b\[1;31m(?=error:)|(?<=error:)\x1b\[0m|\x1b\[2m|\x1b\[22m")
ECHO = "def agent(prompt, session, context):\n    return prompt"
STREAM = "def agent(prompt, session, context):\n    for start in range(0, len(prompt), 3):\n        yield prompt[start:start + 3]"
FAIL = "def agent(prompt, session, context):\n    raise ValueError(prompt)"


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("source", [ECHO, STREAM, FAIL], ids=["reply", "stream", "error"])
def test_what_an_agent_says_is_harmless(flue: Flue, name: str, source: str) -> None:
    """On a terminal every reply and error is shown, and none of it obeyed; as JSON it is exact."""
    flue.agent("says", source)

    seen = OUR_NOTICES.sub("", on_a_terminal(flue, "chat", "says", "-s", "a", "--", HOSTILE[name]))
    document = json.loads(flue("chat", "says", "-s", "a", "--json", "--", HOSTILE[name], stdin=None).out)

    assert not OBEYED & set(seen)
    if name in ("markup", "html", "long"):
        assert HOSTILE[name] in seen
    said = document["reply"] if document["reply"] is not None else document["error"]["message"]
    assert said.endswith(HOSTILE[name])
    assert document["prompt"] == HOSTILE[name]


@pytest.mark.parametrize(
    "command", [("list",), ("show", "says/a"), ("show", "says/a", "--last", "1"), ("list", "--json")]
)
def test_what_was_said_is_listed_harmlessly(flue: Flue, command: tuple[str, ...]) -> None:
    """A list and a conversation are in colour, and the colours are ours."""
    flue.agent("says", ECHO)
    for text in HOSTILE.values():
        flue("chat", "says", "-s", "a", "--", text, stdin=None)

    assert not OBEYED & set(OUR_COLOURS.sub("", on_a_terminal(flue, "sessions", *command)))
    assert not OBEYED & set(flue("sessions", *command, stdin=None).err)


@pytest.mark.parametrize("name", [name for name in HOSTILE if name != "long"])
def test_names_and_options_are_harmless(flue: Flue, name: str) -> None:
    """An unknown agent, session, option or command is repeated in the error without being obeyed."""
    for command in (
        ("chat", f"x{HOSTILE[name]}", "hi"),
        ("chat", "greeting", "-s", f"x{HOSTILE[name]}", "--json", "hi"),
        ("chat", "greeting", "-r", f"x{HOSTILE[name]}", "hi"),
        ("chat", "greeting", f"--no-{HOSTILE[name]}", "hi"),
        ("chat", "greeting", "--timeout", HOSTILE[name], "hi"),
        ("chat", "greeting", "--store", f"/nowhere/{HOSTILE[name]}/x:y", "--wait", "x"),
        ("chat", "greeting", "--agents", HOSTILE[name], "hi"),
        ("sessions", "show", f"x{HOSTILE[name]}"),
        (f"x{HOSTILE[name]}",),
    ):
        assert not OBEYED & set(OUR_COLOURS.sub("", on_a_terminal(flue, *command))), command


def test_descriptions_are_harmless(flue: Flue) -> None:
    """An agent's docstring and its broken source are shown and not obeyed."""
    hostile = "".join(text for name, text in HOSTILE.items() if name != "long")
    flue.agent("described", f"{hostile!r}\n{ECHO}")
    flue.agent("broken", "def agent(:\n")
    flue.agent("loud", f"raise ValueError({hostile!r})")

    for command in (("agents", "list"), ("agents", "show", "described"), ("chat", "loud", "--verbose", "hi")):
        assert not OBEYED & set(OUR_COLOURS.sub("", on_a_terminal(flue, *command))), command
    assert flue("agents", "list", stdin=None).out.count("\n") == 6


def test_paths_are_harmless(flue: Flue) -> None:
    """A folder's name is text too."""
    folder = flue.folder / "\x1b[31mred\u202e"
    folder.mkdir()
    (folder / "greeting.py").write_text("1 / 0")

    seen = OUR_NOTICES.sub("", on_a_terminal(flue, "chat", "greeting", "--agents", str(folder), "hi"))

    assert not OBEYED & set(seen)
    assert "^[[31mred<U+202E>" in seen
    assert not OBEYED & set(
        OUR_COLOURS.sub("", on_a_terminal(flue, "agents", "list", "--agents", str(folder)))
    )


def harmless(flue: Flue, *command: str) -> str:
    """What the command shows on a terminal, our colours taken off; nothing of it is obeyed."""
    seen = OUR_COLOURS.sub("", on_a_terminal(flue, *command))
    assert not OBEYED & set(seen), command
    assert "Traceback" not in seen
    return seen


SHORT = [name for name in HOSTILE if name != "long"]
TOGETHER = " ".join(HOSTILE[name] for name in SHORT)


@pytest.mark.slow
@pytest.mark.parametrize("line", ["x" * 10_000_000, "\x1b[31m\u202e" * 1_500_000], ids=["plain", "control"])
def test_ten_megabytes_on_one_line(flue: Flue, line: str) -> None:
    """A line of 10 MB is shown whole and harmless, as a reply, streamed and as an error; as JSON it is exact."""
    flue.agent(
        "says",
        f"LINE = {line[:1000]!r} * {len(line) // len(line[:1000])}\n"
        "def agent(prompt, session, context):\n"
        "    if prompt == 'fail':\n        raise ValueError(LINE)\n"
        "    if prompt == 'stream':\n        return iter((LINE[:5_000_001], LINE[5_000_001:]))\n    return LINE",
    )
    whole = line[:1000] * (len(line) // len(line[:1000]))

    for prompt in ("say", "stream", "fail"):
        seen = harmless(flue, "chat", "says", "-s", "a", prompt)
        assert len(seen) >= len(whole)
        document = json.loads(flue("chat", "says", "-s", "b", "--json", prompt, stdin=None).out)
        said = document["reply"] if document["reply"] is not None else document["error"]["message"]
        assert said.endswith(whole)


HALF = "a\ud800b"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        (f"return {HALF!r}", "the reply has a lone surrogate at character 1"),
        (f"return iter(['x', {HALF!r}])", "the reply has a lone surrogate at character 1"),
        (f"session.data['x'] = {HALF!r}\n    return 'x'", "data.x: lone surrogate in text"),
        (f"session.data[{HALF!r}] = 1\n    return 'x'", "has a lone surrogate"),
        (f"raise ValueError({HALF!r})", "ValueError: a<U+D800>b"),
        (f"raise type({HALF!r}.replace('\\ud800', ''), (Exception,), {{}})({HALF!r})", "a<U+D800>b"),
        (f"raise SystemExit({HALF!r})", "the agent called sys.exit("),
    ],
    ids=["reply", "stream", "data", "key", "exception", "class", "exit"],
)
def test_half_characters_are_a_named_failure(flue: Flue, body: str, problem: str) -> None:
    """Half a character, which no file could hold, fails the turn in one clear line, and in JSON too."""
    flue.agent("says", f"def agent(prompt, session, context):\n    print({HALF!r})\n    {body}")

    seen = harmless(flue, "chat", "says", "-s", "a", "--verbose" if "raise" not in body else "--wait=1", "hi")
    assert problem in seen
    done = flue("chat", "says", "-s", "a", "--json", "hi", stdin=None)
    assert (done.code, json.loads(done.out)["outcome"]) == (1, "failed")
    assert "error: " in done.err
    exported = json.loads(flue("sessions", "export", "a", stdin=None).out)
    assert [turn["outcome"] for turn in exported["turns"]] == ["failed", "failed"]


def test_half_characters_in_a_file_are_harmless(flue: Flue) -> None:
    """A docstring or a module's exception with half a character is shown and stops no command."""
    flue.agent("described", f'"""{ascii(HALF)[1:-1]}"""\n{ECHO}')
    flue.agent("loud", f"raise ValueError({HALF!r})")

    for command in (("show", "described"), ("check",), ("check", "loud")):
        assert "a<U+D800>b" in harmless(flue, "agents", *command)
    assert "described" in harmless(flue, "agents", "list")
    listed = json.loads(flue("agents", "list", "--json", stdin=None).out)
    assert HALF in [agent["description"] for agent in listed]
    checked = json.loads(flue("agents", "check", "loud", "--json", stdin=None).out)
    assert f"ValueError: {HALF} (" in checked[0]["problem"]


@pytest.mark.parametrize("text", [TOGETHER, f"{TOGETHER}\n\r\n\t{TOGETHER}\r"], ids=["a line", "lines"])
def test_what_was_said_comes_back_exactly(flue: Flue, text: str) -> None:
    """Prompt, reply and data come back character for character through every kind of JSON, all of it ASCII."""
    flue.agent(
        "keeps",
        "def agent(prompt, session, context):\n    session.data['x'] = {prompt: prompt}\n    return prompt",
    )
    document = flue("chat", "keeps", "-s", "a", "--json", "--", text, stdin=None).out
    events = flue("chat", "keeps", "-s", "b", "--output-format", "stream-json", "--", text, stdin=None).out
    shown = flue("sessions", "show", "a", "--json", stdin=None).out
    exported = flue("sessions", "export", "a", stdin=None).out
    lines = flue("sessions", "export", "a", "--format", "jsonl", stdin=None).out

    assert all(output.isascii() for output in (document, events, shown, exported, lines))
    turn = json.loads(document)
    assert (turn["prompt"], turn["reply"], turn["data"]) == (text, text, {"x": {text: text}})
    *_, delta, completed = map(json.loads, events.splitlines())
    assert (delta["text"], completed["reply"], completed["data"]) == (text, text, {"x": {text: text}})
    for kept in (
        json.loads(shown)["turns"][0],
        json.loads(exported)["turns"][0],
        json.loads(lines.splitlines()[1]),
    ):
        assert [message["content"] for message in kept["messages"]] == [text, text]
        assert kept["data"] == {"x": {text: text}}


@pytest.mark.parametrize("form", ["json", "jsonl", "md", "txt"])
def test_exports_to_a_terminal_are_harmless(flue: Flue, form: str) -> None:
    """Every format of an export can be looked at on a terminal."""
    flue.agent("says", ECHO)
    for name in SHORT:
        flue("chat", "says", "-s", "a", "--", HOSTILE[name], stdin=None)

    seen = harmless(flue, "sessions", "export", "a", "--format", form)
    assert "List<String>" in seen or form == "md"


@pytest.mark.parametrize("text", [TOGETHER, TOGETHER.replace("/", "").replace(":", "")], ids=["all", "name"])
def test_settings_and_files_are_harmless(flue: Flue, text: str) -> None:
    """What comes from the environment, config.toml, file names and options is shown and not obeyed."""
    usual = dict(flue.env)
    commands: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("FLUE_STORE", ("sessions", "list")),
        ("FLUE_STORE", ("config", "show")),
        ("FLUE_STORE", ("doctor",)),
        ("FLUE_AGENTS", ("doctor",)),
        ("FLUE_AGENTS", ("config", "show")),
        ("TERM", ("doctor",)),
        ("VISUAL", ("config", "edit")),
    )
    command: tuple[str, ...]
    for variable, command in commands:
        flue.env = usual | {variable: f"/nowhere/{text}"}
        harmless(flue, *command)
    flue.env = usual
    for command in (
        ("agents", "new", text),
        ("agents", "new", "x", "--template", text),
        ("agents", "check", text),
        ("chat", "greeting", "--output-format", text, "hi"),
        ("doctor", "--store", f"x{text}://y"),
        ("config", text),
        ("sessions", "rename", "nobody", text),
        ("sessions", "export", "nobody", "--format", text),
    ):
        harmless(flue, *command)

    file = Path(flue("config", "path", stdin=None).out.strip())
    file.parent.mkdir(parents=True, exist_ok=True)
    for content in (f"{json.dumps(text)} = 1", f"agents = [{json.dumps(text)}]", text):
        file.write_text(content)
        harmless(flue, "sessions", "list")
        harmless(flue, "doctor")
    file.unlink()
    if "/" not in text:
        flue.agent(text[:80], "1 / 0")
        for command in (("agents", "list"), ("agents", "check"), ("doctor",)):
            harmless(flue, *command)


@pytest.mark.parametrize(
    "name", ["[bold red]x[/] [/nope]", "List<String> &amp;", "a\U0001f99cb", "$(reboot) `x` ;"]
)
def test_names_are_shown_as_they_are(flue: Flue, name: str) -> None:
    """A session's name is never taken for markup, HTML or a command, wherever it is shown."""
    flue("chat", "greeting", "-s", name, "hello", stdin=None)

    assert name in harmless(flue, "sessions", "list")
    assert flue("sessions", "list", stdin=None).out.split("\t")[1] == name
    assert json.loads(flue("sessions", "list", "--json", stdin=None).out)[0]["session"] == name
    assert "hello" in harmless(flue, "sessions", "show", name)
    assert name in harmless(flue, "sessions", "rename", name, "greeting-too")
