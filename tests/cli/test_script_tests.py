"""`flue test`: conversation scripts, and sessions exported as scripts."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.hostile_texts import HOSTILE, OBEYED
from support.imported_modules import HEAVY_MODULES, imported_modules
from support.real_terminal import Terminal

from flue_cli.jsondata.strict import dumps
from flue_cli.script_tests.checks import StepOutcome, check_step
from flue_cli.script_tests.parser import parse_script
from flue_cli.script_tests.runner import PlayedTurn
from flue_cli.script_tests.updater import update_script
from flue_cli.stores.memory.store import MemoryStore
from flue_cli.stores.records import Entry, Failure
from flue_cli.transcripts.flue_script import export

if TYPE_CHECKING:
    from conftest import Flue

SAMPLES = Path(__file__).parents[1] / "scripts"
WILD = """
import sys, time
from flue_cli import Reply
print("loaded")
def agent(prompt, session, context):
    session.data["n"] = session.data.get("n", 0) + 1
    match prompt:
        case "fail": raise ValueError("as asked")
        case "now": return context.now.isoformat()
        case "dice": return str(context.random.random())
        case "turn": return f"{context.turn} {[message.content for message in session.history]}"
        case "weather": return "it is " + context.record("weather", lambda: print("called") or "hot")
        case "swallow":
            try: context.record("weather", lambda: 1)
            except Exception: return "no matter"
        case "sleep":
            print("sleeping", flush=True)
            time.sleep(60)
        case "mixed": session.data.update(flag=True, one=1, inner={"a": 1, "b": [1, {"c": 2}]})
        case "tools": return Reply("used", messages=[{"role": "tool", "content": "42"}])
    return prompt
"""


def write(flue: Flue, text: str, name: str = "x.flue") -> Path:
    """A script of the agent `wild` in the working folder."""
    if not (flue.home / "agents" / "wild.py").exists():
        flue.agent("wild", WILD)
    path = flue.folder / name
    path.write_text(text)
    return path


def test_the_samples_pass(flue: Flue) -> None:
    """Scripts of the shipped agents pass, a line a file and a summary; a folder means what is in it."""
    done = flue("test", str(SAMPLES), stdin=None)

    *files, summary = done.out.splitlines()
    assert files == [f"{SAMPLES}/greeting.flue ....", f"{SAMPLES}/task_planner.flue ....."]
    assert summary.startswith("9 passed in ")
    assert (done.code, done.err) == (0, "")
    assert not flue.home.exists()


def test_what_is_different_is_shown(flue: Flue) -> None:
    """Every failure has its place, the prompt and a diff, made safe; the rest of the script goes on."""
    write(
        flue,
        "# mine\nagent: wild\n\n> one\n> two\n  one\n  three\n\n> a\ndata: {\"n\": 3}\n\n"
        "> now\nmatches: \\d\\d\\.\n\n> fail\n\n> last\n  last\n",
    )  # fmt: skip

    done = flue("test", "x.flue", stdin=None)

    assert done.code == 1
    assert done.err == "loaded\n"
    report, _, summary = done.out.rpartition("\n\n")
    assert report == (
        "x.flue FFFF.\n\n"
        "x.flue:6: the reply differs\n> one\n> two\n one\n-three\n+two\n\n"
        'x.flue:10: the data differs\n> a\n {\n-  "n": 3\n+  "n": 2\n }\n\n'
        "x.flue:13: the reply does not match\n> now\n-\\d\\d\\.\n+2026-01-01T00:00:02+00:00\n\n"
        "x.flue:15: the turn failed: the agent failed: ValueError: as asked "
        f"({flue.home}/agents/wild.py:8)\n> fail\nhint: --verbose shows the traceback"
    )
    assert summary.startswith("1 passed, 4 failed in ")
    assert "raise ValueError" in flue("test", "x.flue", "--verbose", stdin=None).out


def test_a_difference_in_blanks_can_be_seen(flue: Flue) -> None:
    """Where the texts look alike they are shown as JSON."""
    write(flue, 'agent: wild\nprompt: "a \\u001b"\n  a ^[\n')

    assert '\n-"a ^["\n+"a \\u001b"\n' in flue("test", "x.flue", stdin=None).out


@pytest.mark.parametrize(
    ("expected", "passes"),
    [
        ("  mixed", True),
        ("matches: m.*d", True),
        ("matches: mix", False),
        ('data: {"inner": {"b": [1, {"c": 2.0}], "a": 1}, "one": 1.0, "flag": true, "n": 1}', True),
        ('data: {"n": 1}', False),
        ('data includes: {"inner": {"a": 1}}', True),
        ('data includes: {"inner": {"b": [1]}}', False),
        ('data includes: {"inner": {"b": [1, {}]}}', False),
        ('data includes: {"flag": 1}', False),
        ('data includes: {"one": true}', False),
        ('data includes: {"none": null}', False),
        ("data includes: {}", True),
        ("fails:", False),
        ("# nothing", True),
    ],
)
def test_what_can_be_expected(expected: str, passes: bool) -> None:
    """Replies exactly or by a pattern, data exactly or in part; as in JSON true is not 1, and 1.0 is."""
    script = parse_script(f"agent: wild\n> mixed\n{expected}\n", "x.flue")
    data = {"n": 1, "flag": True, "one": 1, "inner": {"a": 1, "b": [1, {"c": 2}]}}

    assert (not check_step(script.steps[0], StepOutcome("mixed", data))) == passes


def test_a_turn_may_have_to_fail(flue: Flue) -> None:
    """`fails:` wants an error, of a type or of any; the failed turn leaves no trace."""
    write(
        flue,
        "agent: wild\n> fail\nfails: exception\ndata: {}\n> fail\nfails:\n> turn\n  3 []\n> fail\nfails: exit\n",
    )

    done = flue("test", "x.flue", stdin=None)

    assert done.out.startswith(
        "x.flue ...F\n\nx.flue:10: the turn failed with a different error\n> fail\n-exit\n+exception: "
    )


def test_nothing_is_left_to_chance(flue: Flue) -> None:
    """Clock and seed are the same in every run; a turn or the script may set them, and the number too."""
    text = "agent: wild\n> now\n\n> now\n\n> dice\n\n> dice\nseed: 7\n\n> dice\nseed: 7\n\n> turn\nturn: 40\n\n> now\nnow: 2020-02-02T02:02+02:00\n\n> now\n"
    path = write(flue, text)

    assert flue("test", "x.flue", "--update", stdin=None).code == 0
    replies = [step.expectations[0].value for step in parse_script(path.read_text(), "x.flue").steps]
    assert flue("test", "x.flue", stdin=None).code == 0

    assert replies[:2] == ["2026-01-01T00:00:00+00:00", "2026-01-01T00:00:01+00:00"]
    assert replies[2] != replies[3] == replies[4]
    assert replies[5].startswith("40 ['now'")
    assert replies[6:] == ["2020-02-02T00:02:00+00:00", "2020-02-02T00:02:01+00:00"]
    path.write_text(
        "agent: wild\nnow: 2000-01-01\nseed: 7\n> now\n  2000-01-01T00:00:00+00:00\n> dice\nseed: 7\n  "
        + replies[3]
    )
    assert flue("test", "x.flue", stdin=None).code == 0


def test_recorded_calls_are_answered(flue: Flue) -> None:
    """A `call:` is answered from the script; one that has no answer there fails the turn, even unseen."""
    write(
        flue,
        'agent: wild\n> weather\n  it is cold\ncall: {"name": "weather", "result": "cold"}\n'
        '> weather\n  it is hot\n> swallow\n  no matter\ncall: {"name": "other", "result": 1}\n',
    )

    done = flue("test", "x.flue", stdin=None)

    assert done.err.count("called") == 1
    assert done.out.startswith(
        "x.flue ..F\n\nx.flue:7: the agent made the call 'weather', which has no answer here\n"
    )


def test_history_and_edits(flue: Flue) -> None:
    """The agent has the history of the turns above, tool messages too; an edit is a step of its own."""
    write(
        flue,
        "agent: wild\n> tools\n\nedit: {\"n\": 10}\n\n> turn\n  3 ['tools', '42', 'used']\ndata: {\"n\": 11}\n",
    )

    assert flue("test", "x.flue", stdin=None).code == 0


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("> hi\n", 1, "the agent is missing"),
        ("agent: Wild!\n", 1, "agent: 'Wild!' cannot be an agent's name"),
        ("agent: wild\nagent: wild\n", 2, "there is a second 'agent:'"),
        ("agent: wild\nsession: -x\n", 2, "session: a session name cannot start with a hyphen"),
        ("agent: wild\ndata: {}\n", 2, "'data:' belongs below a prompt"),
        ("agent: wild\n  reply\n", 2, "a reply belongs below a prompt"),
        ("agent: wild\n> a\nagent: wild\n", 3, "'agent:' belongs above the first prompt"),
        ("agent: wild\n> a\n  b\n# c\n  d\n", 5, "this turn already expects a reply"),
        ("agent: wild\n> a\n  b\nmatches: b\n", 4, "this turn already expects a reply"),
        ("agent: wild\n> a\nfails:\n  b\n", 4, "a turn that fails has no reply"),
        ("agent: wild\n> a\ndata: {}\ndata: {}\n", 4, "there is a second 'data:'"),
        ("agent: wild\n> a\ndata: {\"a\": NaN}\n", 3, "data: NaN is not JSON"),
        ("agent: wild\n> a\ndata: []\n", 3, "data: not a JSON object"),
        ("agent: wild\n> a\ndata: {\n", 3, "data: not valid JSON"),
        ("agent: wild\n> a\nreply: \"a\"\nreply: a\n", 4, "reply: not valid JSON"),
        ("agent: wild\nprompt: \"\\ud800\"\n", 2, "prompt: it: lone surrogate"),
        ("agent: wild\n> a\nmatches: (\n", 3, "matches: not a valid regular expression: missing )"),
        ("agent: wild\n> a\nnow: yesterday\n", 3, "now: not a time like"),
        ("agent: wild\n> a\nseed: -1\n", 3, "seed: not a whole number"),
        ("agent: wild\n> a\nturn: 0\n", 3, "turn: turns begin with 1"),
        ("agent: wild\n> a\ncall: {\"name\": \"x\", \"reslt\": 1}\n", 3, "call: it needs one of result, "),
        ("agent: wild\nedit: {}\nseed: 1\n", 3, "'seed:' belongs below a prompt, not below an edit"),
        ("agent: wild\n> a\nreplay: \"a\"\n", 3, "there is no field 'replay'\nhint: did you mean reply?"),
        ("agent: wild\n\n a\n", 3, "not a prompt, reply or field"),
        ("agent: wild\n\x1b[31m: a\n", 2, "there is no field '^[[31m'"),
    ],
)  # fmt: skip
def test_a_script_that_cannot_be_understood(text: str, line: int, words: str) -> None:
    """It is refused as unusable input, with file and line."""
    with pytest.raises(Exception, match=f"^x.flue:{line}: ") as raised:
        parse_script(text, "x.flue")

    error: Any = raised.value
    assert error.exit_code == 2
    shown = error.message.replace("\x1b", "^[") + f"\nhint: {error.hint}"
    assert shown.startswith(f"x.flue:{line}: {words}")


def test_what_cannot_be_played(flue: Flue) -> None:
    """A script that is not valid, or whose agent is missing, is an error with its place; the others are played."""
    write(flue, "agent: wild\n> hi\n", "a.flue")
    write(flue, "agent: wild\n\n> hi\nsed: 1\n", "b.flue")
    write(flue, "# c\nagent: wilt\n> hi\n", "c.flue")
    (flue.folder / "d.flue").write_bytes(b"agent: wild\n> \xff\n")
    write(flue, "agent: wild\n> hi\n", "e.flue")

    done = flue("test", "--junit", "report.xml", stdin=None)

    assert done.code == 1
    assert done.out.startswith("""\
a.flue .
b.flue E
c.flue E
d.flue E
e.flue .

b.flue:4: there is no field 'sed'
hint: did you mean seed?

c.flue:2: there is no agent 'wilt'
hint: did you mean wild?

d.flue:2: it is not UTF-8

2 passed, 3 errors in """)
    root = ElementTree.parse(flue.folder / "report.xml").getroot()
    assert (root.get("tests"), root.get("errors")) == ("5", "3")
    broken = [case for case in root.iter("testcase") if case.find("error") is not None]
    assert [(case.get("name"), case.get("file"), case.get("line")) for case in broken] == [
        ("script", "b.flue", "4"),
        ("agent", "c.flue", "2"),
        ("script", "d.flue", "2"),
    ]
    assert next(root.iter("error")).get("message") == "there is no field 'sed'"
    assert flue("test", "--update", "d.flue", stdin=None).code == 1
    assert (flue.folder / "d.flue").read_bytes() == b"agent: wild\n> \xff\n"


def test_paths_without_scripts(flue: Flue) -> None:
    """A path that is not there, and a folder without a script, are refused (3) before anything is played."""
    write(flue, "agent: wild\n> hi\n", "a.flue")
    (flue.folder / "empty").mkdir()

    assert flue("test", "a.flue", "e.flue", stdin=None) == (3, "", "error: there is no file e.flue\n")
    assert (found := flue("test", "empty", stdin=None)).code == 3
    assert "there is no *.flue file in empty" in found.err


def test_folders_are_searched(flue: Flue) -> None:
    """All *.flue files below this folder, in order, each once; not what is hidden or installed there."""
    for name in (
        "b.flue",
        "a/z.flue",
        ".hidden/x.flue",
        "venv/y.flue",
        "a/node_modules/z.flue",
        "a/notes.txt",
    ):
        (flue.folder / name).parent.mkdir(exist_ok=True)
        write(flue, "agent: wild\n> hi\n", name)
    (flue.folder / "venv" / "pyvenv.cfg").touch()

    done = flue("test", stdin=None)

    assert [line.split()[0] for line in done.out.splitlines()[:-1]] == ["b.flue", "a/z.flue"]
    assert done.err == "loaded\n"
    assert flue("test", "a", "a/z.flue", "a/notes.txt", stdin=None).out.splitlines()[:-1] == [
        "a/z.flue .",
        "a/notes.txt .",
    ]


def test_an_agent_that_cannot_be_loaded(flue: Flue) -> None:
    """Its scripts are errors, the others are played, and the exit code is 1."""
    flue.agent("broken", "def agent(")
    write(flue, "\nagent: broken\n> hi\n", "a.flue")
    write(flue, "agent: wild\n> hi\n", "b.flue")

    done = flue("test", stdin=None)

    assert done.code == 1
    assert done.out.startswith("a.flue E\nb.flue .\n\na.flue:2: agent 'broken' cannot be loaded: SyntaxError")
    assert "\n1 passed, 1 error in " in done.out


@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_update_rewrites_what_does_not_hold(flue: Flue, ending: str) -> None:
    """Only that: comments, order, blank lines and every expectation that holds stay byte for byte."""
    before = (
        "# mine\nagent: wild\n\n> one\n  eins\n\n  zwei\n#  between\ndata: {\"n\":   1}\n\n> now\nmatches: 2026.*\n> now\nmatches: x\n"
        "seed: 7\n\n\n> mixed\ndata includes: {\"n\": 9, \"inner\": {\"a\": 2}, \"gone\": 1}\n# nothing here:\n> two\n> lines\n"
        "# end\n> fail\nfails: exit\n> tools\nfails:\n"
    )  # fmt: skip
    after = (
        "# mine\nagent: wild\n\n> one\n  one\n#  between\ndata: {\"n\":   1}\n\n> now\nmatches: 2026.*\n> now\n  2026-01-01T00:00:02+00:00\n"
        "seed: 7\n\n\n> mixed\ndata includes: {\"n\": 4, \"inner\": {\"a\": 1}}\n# nothing here:\n> two\n> lines\n  two\n  lines\n"
        "# end\n> fail\nfails: exception\n> tools\n  used\n"
    )  # fmt: skip
    path = write(flue, "")
    path.write_bytes(before.replace("\n", ending).encode())
    path.chmod(0o640)
    link = flue.folder / "link.flue"
    link.symlink_to(path)

    done = flue("test", "link.flue", "--update", stdin=None)

    assert done.out.startswith("link.flue U.UUUUU\n1 passed, 6 updated in ")
    assert done.code == 0
    assert path.read_bytes().decode() == after.replace("\n", ending)
    assert link.is_symlink()
    assert path.stat().st_mode & 0o777 == 0o640
    assert flue("test", "x.flue", stdin=None).code == 0
    assert sorted(os.listdir(flue.folder)) == ["link.flue", "x.flue"]


def test_update_does_not_expect_a_failure(flue: Flue) -> None:
    """A turn that goes wrong where a reply is expected stays as it is, and the exit code is 1."""
    text = 'agent: wild\n> fail\n  fine\n\n> fail\n\n> swallow\ncall: {"name": "x", "result": 1}\n'
    path = write(flue, text)

    done = flue("test", "x.flue", "--update", stdin=None)

    assert (done.code, done.out.splitlines()[0]) == (1, "x.flue FFF")
    assert path.read_text() == text.replace("> swallow\n", "> swallow\n  no matter\n")


def test_junit(flue: Flue) -> None:
    """A report that any XML parser takes, whatever was said, in a folder that need not be there yet."""
    flue.agent("broken", "1/0")
    write(flue, "agent: broken\n> hi\n", "a.flue")
    hostile = json.dumps("".join(HOSTILE.values()) + "\ufffe\uffff\x00 ]]> <&")
    write(flue, f"agent: wild\nprompt: {hostile}\n  else\n> fine\n", "b.flue")

    done = flue("test", "--junit", "out/report.xml", stdin=None)

    root = ElementTree.parse(flue.folder / "out" / "report.xml").getroot()
    assert done.code == 1
    assert (root.get("tests"), root.get("failures"), root.get("errors")) == ("3", "1", "1")
    assert [case.get("line") for case in root.iter("testcase")] == ["1", "2", "4"]
    (failure,) = root.iter("failure")
    assert failure.get("message") == "b.flue:3: the reply differs"
    assert failure.text
    assert "-else\n" in failure.text
    assert "<U+FFFE><U+FFFF>^@ ]]> <&" in failure.text
    assert "ZeroDivisionError" in next(root.iter("error")).get("message", "")
    (flue.folder / "file").touch()
    assert flue("test", "b.flue", "--junit", "file/x.xml", stdin=None).code == 74


def test_timeout_bounds_each_turn(flue: Flue) -> None:
    """A turn that takes too long has failed; those after it are played as ever."""
    write(
        flue,
        "agent: wild\n> sleep\n\n> sleep\nfails: timeout\n\n> hi\n  hi\n\n> sleep\n\n> turn\nmatches: 5 .*\n",
    )

    done = flue("test", "x.flue", "--timeout", "0.1", stdin=None)

    assert (done.code, done.out.splitlines()[0]) == (1, "x.flue F..F.")
    assert "x.flue:2: the turn failed: the agent took longer than 0.1 s\n" in done.out


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_run(flue: Flue, signum: int) -> None:
    """What was found up to then is told, a report is written, and the exit code is the signal's."""
    write(flue, "agent: wild\n> hi\n  ho\n> sleep\n\n> hi\n")
    process = flue.start("test", "x.flue", "--junit", "x.xml")
    assert b"sleeping\n" in iter(process.stderr.readline, b"")

    process.send_signal(signum)
    out, err = process.communicate(timeout=30)

    assert process.returncode == -signum
    assert out.startswith(b"x.flue F\n\nx.flue:3: the reply differs\n")
    assert b"\n1 failed in " in out
    assert err.endswith(b"cancelled\n")
    assert len(list(ElementTree.parse(flue.folder / "x.xml").getroot().iter("testcase"))) == 1


def test_an_agent_that_does_not_stop(flue: Flue) -> None:
    """The run ends with 124, and what was found is told."""
    flue.agent(
        "deaf",
        "import time\ndef agent(p, s, c):\n  while p == 'hang':\n    try: time.sleep(1)\n    except BaseException: pass\n  return p",
    )
    (flue.folder / "x.flue").write_text("agent: deaf\n> hi\n  hi\n> hang\n")

    done = flue("test", "--timeout", "0.1", stdin=None)

    assert done.code == 124
    assert done.out.startswith(
        "x.flue .F\n\nx.flue:4: the turn failed: the agent took longer than 0.1 s\n> hang\n"
    )
    assert "\n1 passed, 1 failed in " in done.out


def test_colours_on_a_terminal_only(flue: Flue) -> None:
    """A person sees what is wrong in red; what was said cannot reach the terminal as it is."""
    hostile = json.dumps("".join(text for name, text in HOSTILE.items() if name != "long"))
    write(flue, f"agent: wild\n> fine\n  fine\n\nprompt: {hostile}\n  else\n")
    command = [*flue.command, "test", "x.flue"]

    terminal = Terminal(command, cwd=flue.folder, env=flue.env)
    terminal.until(lambda: terminal.over, "the end")
    shown = terminal.raw.decode()
    plain = Terminal(command, cwd=flue.folder, env=flue.env | {"NO_COLOR": "1"})
    plain.until(lambda: plain.over, "the end")

    assert "\x1b[32m.\x1b[0m\x1b[1;31mF\x1b[0m" in shown
    assert "\x1b[31m-else\x1b[0m" in shown
    for part in shown.split("\x1b["):
        assert not set(part.replace("\r\n", "")) & (OBEYED | {"\x1b"})
    assert "\x1b[31m" not in plain.raw.decode()
    assert "\x1b" not in flue("test", "x.flue", stdin=None).out


def test_a_session_becomes_a_script(flue: Flue) -> None:
    """Exported, it passes against the agent that made it: clock, chance, calls and turn numbers included."""
    write(flue, "agent: wild\n")
    prompts = ["now", "fail", "dice", "weather", "tools", "turn", *HOSTILE.values(), "mixed"]
    made = flue("chat", "wild", "-s", ' "a/b: ', "--lines", stdin="\n".join(prompts[:1]))
    for part in (prompts[1:2], prompts[2:]):
        flue("chat", "wild", "-s", ' "a/b: ', "--lines", stdin="\n".join(part))
    assert made.code == 0

    assert flue("sessions", "export", ' "a/b: ', "-o", "s.flue", stdin=None) == (0, "", "")
    text = (flue.folder / "s.flue").read_text()
    done = flue("test", "s.flue", stdin=None)

    assert (done.code, done.out.splitlines()[0]) == (0, "s.flue " + "." * (len(prompts) - 1))
    assert "called" not in done.err
    assert text.startswith('agent: wild\nsession: " \\"a/b: "\n\n> now\n  20')
    assert "# turn 2 was not completed (failed): the agent failed: ValueError: as asked\n# > fail\n" in text
    assert not set(text) & OBEYED
    assert flue("sessions", "export", ' "a/b: ', "--format", "script", stdin=None).out == text


def test_flue_test_imports_nothing_heavy(flue: Flue) -> None:
    """In a pipe `flue test` never pays for rich, asyncio or a store."""
    loaded = imported_modules(flue, "test", str(SAMPLES / "greeting.flue"))

    assert not loaded & (HEAVY_MODULES | {"sqlite3", "xml"})


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=12) | st.text(
    ' \n\r\ta>#"\\:\x1b\u202e\u3000', max_size=12
)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(TEXTS, below, max_size=3),
    max_leaves=8,
)
DATA = st.dictionaries(TEXTS, VALUES, max_size=3)
CALLS = st.lists(st.fixed_dictionaries({"name": TEXTS, "result": VALUES}), max_size=2)


@st.composite
def timelines(draw: st.DrawFn) -> list[Entry]:
    """What a session may have been through."""
    entries: list[Entry] = []
    data = "{}"
    for turn in range(1, draw(st.integers(1, 6)) + 1):
        kind, outcome = draw(
            st.sampled_from(
                [
                    ("prompt", "completed"),
                    ("prompt", "failed"),
                    ("edit", "completed"),
                    ("prompt", "interrupted"),
                ]
            )
        )
        if outcome == "completed":
            data = dumps(draw(DATA))
        meta = {"seed": draw(st.integers(0, 2**48))} | ({"calls": calls} if (calls := draw(CALLS)) else {})
        entries.append(
            Entry(
                turn, kind, outcome, None, draw(TEXTS) if kind == "prompt" else "",
                draw(TEXTS) if (kind, outcome) == ("prompt", "completed") else None, (),
                draw(st.integers(0, 4_000_000_000_000_000)), None,
                None if outcome == "completed" else Failure("exception", draw(TEXTS)), meta, data,
            )
        )  # fmt: skip
    return entries


@given(
    entries=timelines(),
    name=st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp", "Cf"]), min_size=1),
)
def test_a_script_loses_nothing(entries: list[Entry], name: str) -> None:
    """Whatever was said, kept and recorded comes back from the script, turn by turn."""
    import unicodedata

    name = unicodedata.normalize("NFC", name.lstrip("-") or "a")
    store = MemoryStore()

    text = "".join(export(store, store.import_session("wild", name, entries), 1))
    script = parse_script(text, "x.flue")

    assert (script.agent, script.session) == ("wild", name)
    kept = [entry for entry in entries if entry.outcome == "completed"]
    assert len(script.steps) == len(kept)
    turn, data = 0, "{}"
    for step, entry in zip(script.steps, kept, strict=True):
        turn = step.turn or turn + 1
        assert turn == entry.turn
        expected = {one.kind: one.value for one in step.expectations}
        if entry.kind == "edit":
            assert (step.prompt, step.edit) == (None, entry.data)
        else:
            assert (step.prompt, expected["reply"]) == (entry.prompt, entry.reply)
            unchanged = expected["data"] == "unchanged"
            assert (data if unchanged else dumps(expected["data"])) == entry.data
            assert (step.now, step.seed) == (entry.started_at, entry.meta["seed"])
            assert list(step.calls or ()) == entry.meta.get("calls", [])
        data = entry.data


def test_a_part_of_a_session_is_a_script() -> None:
    """It begins with the data of that moment, and its turns keep their numbers."""
    turns = [
        Entry(
            turn, "prompt", "completed", None, f"p{turn}", f"r{turn}", (), 0, 1, None, {}, f'{{"n":{turn}}}'
        )
        for turn in (1, 2, 3, 4)
    ]

    store = MemoryStore()

    text = "".join(export(store, store.import_session("wild", "a", turns), 3))

    start, *steps = parse_script(text, "x.flue").steps
    assert (start.prompt, start.edit) == (None, '{"n":2}')
    assert [(step.prompt, step.turn) for step in steps] == [("p3", 3), ("p4", None)]


@given(expected=TEXTS, found=TEXTS, data=DATA, wanted=DATA)
def test_an_updated_script_passes(
    expected: str, found: str, data: dict[str, Any], wanted: dict[str, Any]
) -> None:
    """Whatever was expected and whatever was found, the new text expects what was found, and no more changes."""
    before = (
        f"# top\nagent: wild\n\n> one\nreply: {json.dumps(expected)}\n#middle\ndata: {json.dumps(wanted)}\n\n"
        f"> two\ndata includes: {json.dumps(wanted)}\n\n> three\n\n# end"
    )
    outcome = StepOutcome(found, data)

    def played(text: str) -> list[PlayedTurn]:
        return [
            PlayedTurn(step, 1, outcome, check_step(step, outcome), 0.0)
            for step in parse_script(text, "x").steps
        ]

    after = update_script(parse_script(before, "x"), played(before)).text

    assert not any(turn.failures for turn in played(after))
    assert update_script(parse_script(after, "x"), played(after)).text == after
    assert [line for line in after.split("\n") if line.startswith(("#", ">", "agent"))] == [
        line for line in before.split("\n") if line.startswith(("#", ">", "agent"))
    ]
