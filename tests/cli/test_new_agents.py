"""Beginning an agent from a template, and checking agents before they are needed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.requirements import needs_root

from flue_cli.cli.agents import TEMPLATES

if TYPE_CHECKING:
    from conftest import Flue

PROJECT = Path(__file__).parents[2]


def test_a_new_agent_can_be_talked_to(flue: Flue) -> None:
    """The first minute: a new agent answers, remembers, and is listed with its description."""
    made = flue("agents", "new", "mine", stdin=None)
    assert made == (0, "agents/mine.py\n", "talk to it with: flue chat mine\n")

    assert flue("chat", "mine", "-s", "a", "hello", stdin=None).out == '1: "hello". I will remember that.\n'
    assert (
        flue("chat", "mine", "-s", "a", "again", stdin=None).out
        == '2: "again". Before that you said: "hello".\n'
    )
    described = "Counts what you say, and remembers the last thing."
    assert f"mine\t{described}\t./agents\t" in flue("agents", "list", stdin=None).out


def test_a_new_agent_that_hides_a_sample(flue: Flue) -> None:
    """A new agent with the name of a sample is used in its place here, which is said."""
    assert flue("agents", "new", "greeting", stdin=None) == (
        0,
        "agents/greeting.py\n",
        "note: in this folder it is used in place of Flue's sample 'greeting'\n"
        "talk to it with: flue chat greeting\n",
    )


def test_a_new_agent_that_is_hidden(flue: Flue) -> None:
    """If an agent of the name is found before ./agents, it is said where, and how to talk to the new one."""
    other = flue.folder / "other"
    other.mkdir()
    (other / "mine.py").write_text("def agent(prompt, session, context): return 'other'")

    done = flue("agents", "new", "mine", stdin=None, env={"FLUE_AGENTS": str(other)})

    assert done.err.startswith("note: flue chat mine uses ./other/mine.py, which comes before ./agents\n")
    assert "hint: the new one is flue chat agents/mine.py\n" in done.err


@pytest.mark.parametrize("template", TEMPLATES)
def test_every_template_is_sound(flue: Flue, template: str) -> None:
    """Each template loads, has a description, and passes a strict type checker."""
    flue("agents", "new", "mine", "--template", template, stdin=None)

    assert flue("agents", "check", "mine", stdin=None).out.startswith("mine\tok\t")
    (mine,) = [
        agent
        for agent in json.loads(flue("agents", "list", "--json", stdin=None).out)
        if agent["name"] == "mine"
    ]
    assert mine["description"]
    command = [
        sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, str(flue.folder / "agents" / "mine.py"),
    ]  # fmt: skip
    assert subprocess.run(command, cwd=PROJECT, capture_output=True, check=False).returncode == 0


@pytest.mark.parametrize(
    ("template", "reply"), [("echo", "You said: one two\n"), ("streaming", "You said: one two \n")]
)
def test_templates_answer(flue: Flue, template: str, reply: str) -> None:
    """The echo and the streaming template answer as they say."""
    flue("agents", "new", "mine", "--template", template, stdin=None)

    assert flue("chat", "mine", "-s", "a", "one two", stdin=None).out == reply


@pytest.mark.parametrize(
    ("arguments", "code", "problem"),
    [
        (("mine",), 4, "there is an agent 'mine' here already: "),
        (("other_one",), 4, "there is an agent 'other-one' here already: "),
        (("pack",), 4, "there is an agent 'pack' here already: "),
        (("Mine",), 2, "'Mine' cannot be an agent's name"),
        (("../mine",), 2, "'../mine' cannot be an agent's name"),
        (("fresh", "--template", "xml"), 2, "there is no template 'xml'"),
    ],
)
def test_what_cannot_be_begun(flue: Flue, arguments: tuple[str, ...], code: int, problem: str) -> None:
    """Nothing that is there is overwritten, in either spelling, and a bad name makes no file."""
    folder = flue.folder / "agents"
    (folder / "pack").mkdir(parents=True)
    for path in (folder / "mine.py", folder / "other-one.py", folder / "pack" / "__init__.py"):
        path.write_text("# precious")
    before = sorted(folder.rglob("*"))

    done = flue("agents", "new", *arguments, stdin=None)

    assert (done.code, done.out) == (code, "")
    assert done.err.startswith(f"error: {problem}")
    assert sorted(folder.rglob("*")) == before
    assert {path.read_text() for path in before if path.is_file()} == {"# precious"}


def test_a_folder_that_cannot_be_written(flue: Flue) -> None:
    """What is in the way of ./agents is named, and stays."""
    (flue.folder / "agents").write_text("a file")

    done = flue("agents", "new", "mine", stdin=None)

    assert (done.code, done.err) == (4, "error: agents is in the way\n")


BROKEN = {
    "raises": ("print('loud')\nraise ValueError('oops')", "cannot be loaded: ValueError: oops"),
    "exits": ("raise SystemExit(0)", "cannot be loaded: SystemExit: 0"),
    "vanishes": ("import os\nos._exit(0)", "its process ends with 0 while it is loaded"),
    "crashes": (
        "import os\nos.kill(os.getpid(), 11)",
        "its process is ended by SIGSEGV while it is loaded",
    ),
    "empty": ("", "has no 'agent'"),
    "number": ("agent = 3", "its 'agent' is not callable"),
    "typo": ("def agent(:", "cannot be loaded: SyntaxError: invalid syntax"),
    "few": ("def agent(prompt): ...", "does not take three arguments: too many positional arguments"),
    "many": ("def agent(a, b, c, d): ...", "does not take three arguments: missing a required argument: 'd'"),
}
SOUND = {
    "plain": "def agent(prompt, session, context): ...",
    "default": "def agent(a, b, c, d=1): ...",
    "any": "def agent(*all): ...",
    "method": "class A:\n    def __call__(self, a, b, c): ...\nagent = A()",
    "partial": "import functools\ndef f(x, a, b, c): ...\nagent = functools.partial(f, 1)",
    "builtin": "agent = print",
    "spoils": "import sys, json\nsys.modules.clear()\njson.dumps = None\ndef agent(a, b, c): ...",
}


def test_what_is_wrong_with_agents_is_said(flue: Flue) -> None:
    """Every agent is loaded by itself: what is wrong with one is said, and hides and spoils no other."""
    for name, (source, _) in BROKEN.items():
        flue.agent(name, source)
    for name, source in SOUND.items():
        flue.agent(name, source)
    flue.agent("Bad Name", SOUND["plain"])

    done = flue("agents", "check", stdin=None)

    found = {name: problem for name, problem, _ in (line.split("\t") for line in done.out.splitlines())}
    assert done.code == 1
    for name, (_, problem) in BROKEN.items():
        assert problem in found[name], name
    assert "cannot be an agent's name" in found["Bad Name"]
    assert {name for name, problem in found.items() if problem == "ok"} == {
        *SOUND, "greeting", "journal", "task-planner",
    }  # fmt: skip
    assert "loud" in done.err


def test_some_agents_can_be_checked(flue: Flue) -> None:
    """Only the named agents are loaded; the exit code tells whether they are sound."""
    flue.agent("sound", SOUND["plain"])
    broken = flue.agent("broken", "raise ValueError('oops')")
    flue.agent("other", "import pathlib\npathlib.Path('ran').touch()")

    assert flue("agents", "check", "sound", stdin=None).code == 0
    done = flue("agents", "check", "sound", "broken", "--json", "--verbose", stdin=None)
    assert done.code == 1
    assert [agent["problem"] for agent in json.loads(done.out)] == [
        None,
        f"agent 'broken' cannot be loaded: ValueError: oops ({broken}:1)",
    ]
    assert "Traceback" in done.err
    assert flue("agents", "check", "nobody", stdin=None).code == 3
    assert not (flue.folder / "ran").exists()


def test_a_check_can_be_ended(flue: Flue) -> None:
    """Ctrl-C ends the check of an agent that never finishes loading, and leaves no process behind."""
    flue.agent(
        "endless",
        "import os, pathlib, time\npathlib.Path('pid').write_text(str(os.getpid()))\ntime.sleep(99)",
    )
    process = flue.start("agents", "check", "endless", stdin=subprocess.DEVNULL)
    pid = flue.folder / "pid"
    while not (pid.exists() and pid.read_text()):
        assert process.poll() is None
    process.send_signal(2)

    assert process.wait(timeout=10) in (-2, 130)
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)


def test_somebody_elses_agents_are_not_loaded(flue: Flue) -> None:
    """An agent in a ./agents that belongs to another user is not run by a check either."""
    needs_root()
    folder = flue.folder / "agents"
    folder.mkdir()
    (folder / "theirs.py").write_text("import pathlib\npathlib.Path('ran').touch()\n" + SOUND["plain"])
    os.chown(folder, 65534, 65534)

    done = flue("agents", "check", "--json", stdin=None)

    (theirs,) = [agent for agent in json.loads(done.out) if agent["name"] == "theirs"]
    assert "belongs to another user" in theirs["problem"]
    assert done.code == 1
    assert not (flue.folder / "ran").exists()
