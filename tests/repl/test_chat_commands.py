"""The chat's slash commands about data, sessions and texts, and what they say when they cannot."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.chat_agents import AgentFolder, saying, talking_to
from support.fake_terminal import ChatDriver, Page, echo, without_colours
from support.real_terminal import CTRL_D, ENTER

from flue_cli.agents.api import Reply
from flue_cli.errors import UsageError
from flue_cli.repl import clipboard
from flue_cli.repl.slash import COMMANDS, command_help
from flue_cli.stores.records import ABSENT, TurnRequest, TurnResult

OSC_52 = re.compile(r"\x1b\]52;c;([A-Za-z0-9+/=]*)\x07")


def lines(text: str) -> list[str]:
    return [line.rstrip() for line in without_colours(text).splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> AgentFolder:
    folder = AgentFolder(tmp_path / "agents")
    folder.write("tester", saying("old"))
    return folder


# Help


def test_help_about_one_command(driver: ChatDriver) -> None:
    """/help COMMAND, with its slash or without, tells all about it; one that is not there is an error."""
    page = driver.chat(echo, "/help data" + ENTER, "/help /undo" + ENTER, "/help dta" + ENTER, CTRL_D)

    assert "/data set PATH VALUE\n" in page
    assert "Show or edit the data.\n" in page
    assert "opens all of the data in" in page
    assert "/undo [N]\n\nUndo the last turn, or N.\n" in page
    assert "\nExample: /undo 2\n" in page
    assert "error: there is no command /dta\nhint: did you mean /data?" in page


def test_every_command_has_its_help() -> None:
    """Every command has a short summary and its usage, and an example if it takes an argument."""
    for name in COMMANDS:
        command = command_help(name)
        assert re.fullmatch(r"[A-Z].{1,27}\.", command.summary), name
        assert all(re.match(rf"({name}|/exit|/quit)\b", usage) for usage in command.usages), name
        takes_argument = any(" " in usage for usage in command.usages)
        assert all(example.startswith(f"{name} ") for example in command.examples), name
        assert bool(command.examples) == takes_argument, name
        assert command.details or name == "/help", f"{name} does not say what it keeps or loses"


@pytest.mark.parametrize(("columns", "rows"), [(80, 21), (200, 16), (60, 40)])
def test_help_fits_the_screen(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch, columns: int, rows: int
) -> None:
    """The list of commands leaves room for the prompt on 24 lines of 80 columns, and uses a wide screen."""
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setenv("LINES", "60")
    page = without_colours(driver.chat(echo, "/help" + ENTER, CTRL_D)).splitlines()[1:]

    assert len(page) <= rows
    assert max(map(len, page)) <= max(columns, 80)
    assert [line for line in page if line.endswith(" ")] == []
    assert {"Timeline", "Sessions"} <= {cell.strip() for line in page for cell in line.split("  ")}


def test_times_on_demand(driver: ChatDriver) -> None:
    """/times on adds a line with turn, time and duration to each turn, failed ones too; /times off ends it."""

    def agent(prompt: str, session: Any, context: Any) -> str:
        return str(1 / len(prompt.replace("fail", "")))

    keys = ("/times", "/times on", "a", "fail", "/times off", "b", "/times no")
    page = driver.chat(agent, *(key + ENTER for key in keys), CTRL_D)

    when = r"\d{4}-\d\d-\d\d \d\d:\d\d"
    assert "times are not shown\ntimes are shown below replies\n1.0\n" in page
    assert re.search(rf"^1\.0\nturn 1 · {when} · \d+ ms\n", page, re.MULTILINE)
    assert re.search(rf"^error: .*division by zero.*\n(.*\n)*?turn 2 · {when} · \d+ ms\n", page, re.MULTILINE)
    assert "turn 3" not in page
    assert "error: /times takes on or off" in page


@pytest.mark.parametrize("name", ["/retry", "/edit", "/discard", "/reload", "/copy", "/status", "/sessions"])
def test_commands_that_take_nothing_say_so(driver: ChatDriver, name: str) -> None:
    """What is typed behind a command that takes nothing is not silently ignored."""
    page = driver.chat(echo, "one" + ENTER, f"{name} please" + ENTER, CTRL_D)

    assert f"error: {name} takes no argument" in page
    assert driver.sent() == ["one"]


# Data


def test_the_data_as_a_tree_with_what_the_last_turn_changed(driver: ChatDriver) -> None:
    """/data shows keys and values, and marks what the last turn added, changed and removed."""
    states: list[dict[str, Any]] = [
        {"name": "Ada", "n": 1, "old": True, "tasks": [{"title": "one"}, {"title": "two"}], "tags": ["a"]},
        {"name": "Ada", "n": 2, "tasks": [{"title": "one", "done": True}], "tags": ["a", "b"], "new": {}},
    ]

    def agent(prompt: str, session: Any, context: Any) -> str:
        session.data.clear()
        session.data.update(states[context.turn - 1])
        return "done"

    page = lines(driver.chat(agent, "1" + ENTER, "2" + ENTER, "/data" + ENTER, CTRL_D))

    assert page[3:-1] == [
        '  name: "Ada"',
        "~ n: 2  (was 1)",
        "  tasks: [1]",
        "    [0]",
        '      title: "one"',
        "+     done: true",
        '-   [1]: {"title": "two"}',
        "  tags: [2]",
        '    [0]: "a"',
        '+   [1]: "b"',
        "+ new: {}",
        "- old: true",
        "+ new, ~ changed, - gone by the last turn",
    ]


def test_nothing_is_marked_when_nothing_changed(driver: ChatDriver) -> None:
    """After a turn that left the data alone, /data has no marks; before the first turn there is {}."""

    def agent(prompt: str, session: Any, context: Any) -> str:
        session.data["said"] = "this"
        return "done"

    page = lines(driver.chat(agent, "/data" + ENTER, "one" + ENTER, "two" + ENTER, "/data" + ENTER, CTRL_D))

    assert page[1:-1] == ["  {}", "done", "done", '  said: "this"']


def test_much_data_is_cut_and_counted(driver: ChatDriver) -> None:
    """Long lists and texts are shortened, with how much there is; what changed in them is still shown."""

    def agent(prompt: str, session: Any, context: Any) -> str:
        session.data.setdefault("rows", [str(number) for number in range(100)])
        session.data["text"] = "x" * 5000
        if context.turn == 2:
            session.data["rows"][50] = "changed"
        return "done"

    page = driver.chat(agent, "one" + ENTER, "two" + ENTER, "/data" + ENTER, CTRL_D)
    shown = lines(page)

    assert "  rows: [100]" in shown
    assert "    … 42 more" in shown
    assert '~   [50]: "changed"  (was "50")' in shown
    assert '    [99]: "99"' in shown
    assert '    [20]: "20"' not in shown
    assert any(line.endswith("… (5,000 characters)") for line in shown)
    assert len(shown) < 30


@pytest.mark.parametrize("colour", [True, False])
def test_marks_can_be_read_without_colour(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch, colour: bool
) -> None:
    """With NO_COLOR the tree is the same text, with signs, and no colour at all."""
    if not colour:
        monkeypatch.setenv("NO_COLOR", "1")
    page = driver.chat(echo, "one" + ENTER, "/data" + ENTER, CTRL_D)

    assert '+ said: ["one"]' in without_colours(page)
    assert ("\x1b[32m" in page) is colour


def test_hostile_data_is_shown_safe(driver: ChatDriver) -> None:
    """Keys and values with control characters in them cannot give the terminal orders."""

    def agent(prompt: str, session: Any, context: Any) -> str:
        session.data["\x1b]0;k\x07\u202e"] = {"[bold]x[/bold]": "\x1b[2J\x7f\x9b31m\u202e\ud83d\ude00"}
        return "done"

    page = driver.chat(agent, "one" + ENTER, "/data" + ENTER, CTRL_D)

    assert not re.search("[\x00-\x08\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202e]", page)
    assert "\x1b]" not in page
    assert "[bold]x[/bold]" in without_colours(page)


# Sessions


def test_a_session_gets_another_name(driver: ChatDriver) -> None:
    """/rename gives this session, with all that was said, another name; the chat goes on in it."""
    page = driver.chat(echo, "one" + ENTER, "/rename my trip" + ENTER, "two" + ENTER, "/undo" + ENTER, CTRL_D)

    assert "work is now my trip" in page
    assert "meanwhile" not in page
    assert page.endswith("resume with: flue chat tester -r 'my trip'\n")
    assert driver.sent("my trip") == ["one"]
    assert driver.store.head("tester", "work").uid == ABSENT


def test_a_session_that_is_only_a_name_gets_another(driver: ChatDriver) -> None:
    """Before anything was said, /rename makes nothing: the first prompt goes to the session of that name."""
    driver.elsewhere("hi", name="taken")
    page = driver.chat(
        echo, "/rename taken" + ENTER, "/rename trip" + ENTER, "one" + ENTER, "/status" + ENTER, CTRL_D
    )

    assert "error: session 'taken' exists already" in page
    assert "work is now trip" in page
    assert (driver.sent("trip"), driver.sent("taken")) == (["one"], ["hi"])


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("/rename", "error: /rename takes the new name"),
        ("/rename -x", "error: a session name cannot start with a hyphen"),
        ("/rename taken", "error: session 'taken' of agent 'tester' exists already"),
    ],
)
def test_a_name_that_cannot_be(driver: ChatDriver, typed: str, words: str) -> None:
    """/rename with a name that is taken or is none says so, and the session keeps its own."""
    driver.elsewhere("hi", name="taken")
    page = driver.chat(echo, "one" + ENTER, typed + ENTER, "two" + ENTER, CTRL_D)

    assert words in page
    assert driver.sent() == ["one", "two"]


def test_an_undone_fork_is_not_renamed_in_the_chat(driver: ChatDriver) -> None:
    """What undoing kept is named after its session, and is not renamed."""
    page = driver.chat(
        echo,
        *("one" + ENTER, "/undo" + ENTER, "two" + ENTER, "/resume work~1" + ENTER, "/rename own" + ENTER),
        CTRL_D,
    )

    assert "error: session 'work~1' has undone turns of 'work', and is named after it" in page
    assert "hint: copy it under another name: /fork NAME" in page


def test_a_session_is_chosen_from_a_list(driver: ChatDriver, folder: AgentFolder) -> None:
    """/sessions goes on with the session that one chooses, of another agent too; Esc leaves all as it is."""
    folder.write("other", saying("other"))
    ask = TurnRequest("other", "there", "a question", wait=0)
    begun: Any = driver.store.begin(ask, lambda seconds, holder: None)
    driver.store.commit(begun.lease, TurnResult(reply="an answer", messages=(), data="{}", meta={}))
    driver.page.when("old one\n", lambda: driver.keys.send_text("/sessions" + ENTER + "question" + ENTER))
    driver.page.when("an answer\n", lambda: driver.keys.send_text("two" + ENTER + CTRL_D))
    page = without_colours(driver.chat(talking_to(driver, folder), "one" + ENTER))

    assert "other · session there (1 turn) · /help" in page
    assert "other two\n" in page
    assert driver.sent("there", "other") == ["a question", "two"]


def test_sessions_are_listed_where_nothing_can_be_chosen(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a terminal without a cursor /sessions is a list, last used first, each with its last prompt."""
    monkeypatch.setenv("TERM", "dumb")
    driver.elsewhere("a question", name="older")
    page = lines(driver.chat(echo, "newest" + ENTER, "/sessions" + ENTER, CTRL_D))
    rows = [line.split() for line in page if line.startswith("tester ") and " · " not in line]

    assert [row[1] for row in rows] == ["work", "older"]
    assert rows[1][-2:] == ["a", "question"]


def test_no_sessions_are_listed(driver: ChatDriver) -> None:
    """/sessions says so when there is none."""
    assert "there are no sessions yet" in driver.chat(echo, "/sessions" + ENTER, CTRL_D)


# Texts


@pytest.mark.parametrize(
    ("name", "begins"),
    [
        ("talk.json", "{"),
        ("talk.md", "#"),
        ("talk.flue", "agent: tester"),
        ("talk.html", "<!"),
        ("a b.txt", ""),
    ],
)
def test_a_session_is_written_to_a_file(
    driver: ChatDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, begins: str
) -> None:
    """/export FILE writes the session as its ending says, private; a file that is there is refused."""
    monkeypatch.chdir(tmp_path)
    page = driver.chat(echo, "one" + ENTER, f"/export {name}" + ENTER, f"/export {name}" + ENTER, CTRL_D)
    written = (tmp_path / name).read_text()

    assert f"written to {name}\n" in page
    assert f"error: {name} exists already\nhint: choose another name\n" in page
    assert written.startswith(begins)
    assert "one" in written
    assert (tmp_path / name).stat().st_mode & 0o777 == 0o600


def test_a_session_is_written_under_its_own_name(
    driver: ChatDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """/export alone, or with a folder, names the file after agent and session."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there").mkdir()
    driver.chat(echo, "one" + ENTER, "/export" + ENTER, "/export there" + ENTER, CTRL_D)

    for path in (tmp_path / "tester_work.json", tmp_path / "there" / "tester_work.json"):
        assert json.loads(path.read_text())["turns"][0]["messages"][0]["content"] == "one"


@pytest.mark.parametrize("typed", ["/export x.json", "/copy"])
def test_there_is_nothing_to_take_elsewhere(
    driver: ChatDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, typed: str
) -> None:
    """Before anything was said there is nothing to export or to copy."""
    monkeypatch.chdir(tmp_path)
    page = driver.chat(echo, typed + ENTER, CTRL_D)

    assert page.splitlines()[1].startswith("error: ")
    assert not (tmp_path / "x.json").exists()
    assert "\x1b]52" not in page


def test_the_last_reply_is_copied(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """/copy hands the last reply to the terminal, exactly, in a form that can give it no other order."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setenv("TERM", "xterm")
    reply = "naïve \x1b]52;c;evil\x07 日本\n"

    def agent(prompt: str, session: Any, context: Any) -> str:
        if prompt == "fail":
            raise ValueError
        return reply

    page = driver.chat(agent, "one" + ENTER, "fail" + ENTER, "/copy" + ENTER, CTRL_D)
    (copied,) = OSC_52.findall(page)

    assert base64.b64decode(copied).decode() == reply
    assert f"the last reply ({len(reply)} characters) is copied by OSC 52, if the terminal takes it" in page


class Programs:
    """Programs for the clipboard that write what they get into a file."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def add(self, name: str, code: int = 0) -> None:
        path = self.folder / name
        path.write_text(
            f'#!/bin/sh\n/bin/cat > "{self.folder}/{name}.got"\necho "$@" > "{path}.args"\nexit {code}\n'
        )
        path.chmod(0o755)

    def got(self, name: str) -> str | None:
        path = self.folder / f"{name}.got"
        return path.read_text() if path.exists() else None


@pytest.fixture
def programs(tmp_path: Path) -> Programs:
    return Programs(tmp_path / "bin")


@pytest.mark.parametrize(
    ("name", "variable"),
    [("wl-copy", "WAYLAND_DISPLAY"), ("xclip", "DISPLAY"), ("pbcopy", ""), ("tmux", "TMUX")],
)
def test_a_program_of_the_desktop_is_used(programs: Programs, name: str, variable: str) -> None:
    """A clipboard program that is there, with a desktop to talk to, gets the text and is named."""
    programs.add(name)
    env = {"PATH": str(programs.folder), "TERM": "dumb", **({variable: ":0"} if variable else {})}

    assert clipboard.copy_to_clipboard("hello", page_of_a_terminal(), env) == name
    assert programs.got(name) == "hello"


def test_no_program_is_used_without_a_desktop(programs: Programs) -> None:
    """A program that has nothing to talk to, or fails, is not said to have copied anything."""
    for name in ("wl-copy", "xclip", "tmux"):
        programs.add(name)
    programs.add("pbcopy", code=1)
    page = page_of_a_terminal()

    with pytest.raises(UsageError, match="the clipboard cannot be reached"):
        clipboard.copy_to_clipboard("hello", page, {"PATH": str(programs.folder), "TERM": "dumb"})
    assert programs.got("xclip") is None
    assert page.text == ""


def test_a_long_text_is_not_sent_to_the_terminal(programs: Programs) -> None:
    """What terminals would cut is left to the programs, and with none of them is an error."""
    page = page_of_a_terminal()
    env = {"PATH": str(programs.folder), "TERM": "xterm"}

    with pytest.raises(UsageError) as error:
        clipboard.copy_to_clipboard("x" * 75_000, page, env)
    assert "only short texts" in error.value.hint
    programs.add("pbcopy")
    assert clipboard.copy_to_clipboard("x" * 75_000, page, env) == "pbcopy"
    assert "\x1b" not in page.text


def test_the_next_prompt_is_written_in_the_editor(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch, programs: Programs
) -> None:
    """/editor opens the editor, beginning with what stands behind it; the text waits in the line for Enter."""
    seen = programs.folder / "seen"
    editor = programs.folder / "editor"
    editor.write_text(f'#!/bin/sh\nls -l "$1" > {seen}\nprintf "and\\nmore\\n" >> "$1"\n')
    editor.chmod(0o755)
    monkeypatch.setenv("VISUAL", str(editor))
    driver.chat(echo, "/editor some" + ENTER, "!" + ENTER, CTRL_D)

    assert driver.sent() == ["some\nand\nmore!"]
    assert seen.read_text().startswith("-rw-------")
    assert not Path(seen.read_text().split()[-1]).exists()


@pytest.mark.parametrize(
    ("editor", "words"),
    [
        ("true", "nothing was written"),
        ("false", "error: the editor failed with exit code 1: nothing was saved"),
        ("rm", "error: the text from the editor cannot be read: "),
        ("no-such-editor", "error: the editor 'no-such-editor' cannot be started"),
        (r"sh -c 'printf \\377 > $0'", "error: the text from the editor cannot be read: "),
    ],
)
def test_an_editor_that_gives_nothing(
    driver: ChatDriver, monkeypatch: pytest.MonkeyPatch, editor: str, words: str
) -> None:
    """When nothing usable comes from the editor that is said, and nothing is sent."""
    monkeypatch.setenv("VISUAL", editor)
    page = driver.chat(echo, "/editor" + ENTER, "one" + ENTER, CTRL_D)

    assert page.splitlines()[1].startswith(words)
    assert driver.sent() == ["one"]


# How things stand


def spender(*, usage: Callable[[int], Any]) -> Callable[..., Reply]:
    def agent(prompt: str, session: Any, context: Any) -> Reply:
        return Reply("done", meta={"usage": usage(context.turn)})

    return agent


def test_usage_is_summed_up(driver: ChatDriver) -> None:
    """/usage shows what each of the newest turns took, and all together, nested numbers too."""
    agent = spender(
        usage=lambda turn: {
            "tokens": 1000 * turn,
            "cost": 0.25,
            "model": "m",
            "details": {"cached": turn, "cut": True},
        }
    )
    page = driver.chat(
        agent, "1" + ENTER, "2" + ENTER, "/data set x 1" + ENTER, "3" + ENTER, "/usage 2" + ENTER, CTRL_D
    )
    rows = [line.split() for line in page.splitlines() if "tokens" in line]

    assert [row[:2] + row[4:] for row in rows] == [
        "turn 2 tokens 2,000, cost 0.25, details.cached 2".split(),
        "turn 4 tokens 4,000, cost 0.25, details.cached 4".split(),
        "3 turns tokens 7,000, cost 0.75, details.cached 7".split(),
    ]


@pytest.mark.parametrize("numbers", [None, {}, "many", ["7"], {"model": "m"}])
def test_no_usage_was_recorded(driver: ChatDriver, numbers: Any) -> None:
    """Where the agent recorded nothing, /usage says so, and still shows the time."""
    page = driver.chat(
        spender(usage=lambda turn: numbers), "/usage" + ENTER, "1" + ENTER, "/usage" + ENTER, CTRL_D
    )

    assert page.splitlines()[1] == "nothing has been said yet"
    assert re.search(r"^1 turn +\d+ ms  the agent recorded no usage$", page, re.MULTILINE)


def test_how_things_stand(driver: ChatDriver, folder: AgentFolder) -> None:
    """/status shows agent, file, session, turn, sizes and store; a changed file and undone turns too."""
    conversation = talking_to(driver, folder)
    driver.page.when("undone", lambda: folder.write("tester", saying("new")))
    page = driver.chat(
        conversation,
        "one" + ENTER,
        "two" + ENTER,
        "/data set x 1" + ENTER,
        "/undo 2" + ENTER,
        "/status" + ENTER,
        CTRL_D,
    )
    rows = dict(line.split(maxsplit=1) for line in page.splitlines() if re.match(r"[a-z]+ {2,}\S", line))

    assert rows["agent"] == "tester"
    assert rows["file"] == f"{folder.path / 'tester.py'} (./agents)"
    assert rows["loaded"].startswith("just now, source crc32:")
    assert rows["loaded"].endswith(", changed since: /reload loads it")
    assert rows["session"] == "work (last used just now)"
    assert rows["turn"] == "1, 2 undone: /redo"
    assert rows["history"] == "2 messages"
    assert rows["data"] == "2 bytes"
    assert rows["store"] == f"sqlite:///{driver.file.resolve()}"
    assert rows["now"] == "idle"


def test_how_things_stand_before_anything_was_said(driver: ChatDriver) -> None:
    """/status makes no session, and says that this one is new."""
    page = driver.chat(echo, "/status" + ENTER, CTRL_D)

    assert "session  work (new)" in page
    assert driver.store.sessions() == []


def page_of_a_terminal() -> Any:
    return Page()


@pytest.mark.parametrize("command", ["/rename tester/trip", "/fork tester/trip", "/new tester/trip"])
def test_a_new_name_may_be_given_with_our_agent(driver: ChatDriver, command: str) -> None:
    """AGENT/NAME with the agent that we talk to is NAME, as it is for /resume."""
    driver.chat(echo, "one" + ENTER, command + ENTER, "two" + ENTER, CTRL_D)

    assert driver.store.head("tester", "trip").turn > 0
    assert driver.store.head("tester", "tester/trip").turn == 0
