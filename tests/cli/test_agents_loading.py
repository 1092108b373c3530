"""Agents are loaded each in a module of its own, from files and from installed packages."""

from __future__ import annotations

import os
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.agent_search_path import SAYS, Folders, write

from flue_cli.agents import discovery
from flue_cli.agents.description import describe
from flue_cli.errors import AgentError

if TYPE_CHECKING:
    from conftest import Flue


def call(agent: discovery.Agent) -> Any:
    return agent.function("hi", None, None)


# Loading


def test_an_agent_runs_in_a_module_of_its_own(folders: Folders) -> None:
    """An agent has its file and a private module name, and leaves the import system as it was."""
    path = write(folders.user / "book_keeper.py", "agent = lambda *_: (__name__, __file__)\n")
    search, modules = list(sys.path), set(sys.modules)
    name, file = call(folders.load("book-keeper"))

    assert file == str(path)
    assert name == "flue_cli.agents.loaded.book-keeper"
    assert sys.path == search
    assert {module for module in set(sys.modules) - modules if "keeper" in module} == {name}


def test_agents_of_like_names_do_not_share_a_module(folders: Folders) -> None:
    """`a.b` and `a-b` are two agents, and each keeps a module of its own."""
    write(folders.user / "a.b.py", "import sys\nagent = lambda *_: sys.modules[__name__].__file__\n")
    write(folders.user / "a-b.py", "import sys\nagent = lambda *_: sys.modules[__name__].__file__\n")
    dotted, hyphened = folders.load("a.b"), folders.load("a-b")

    assert call(dotted).endswith("a.b.py")
    assert call(hyphened).endswith("a-b.py")


def test_a_package_is_an_agent_with_modules_of_its_own(folders: Folders) -> None:
    """A folder with `__init__.py` is an agent, and imports its own modules relatively, at any time."""
    write(
        folders.user / "pack/__init__.py",
        """
        '''In parts.'''
        from .now import word
        def agent(prompt, session, context):
            from .later import number
            return f"{word} {number}"
        """,
    )
    write(folders.user / "pack/now.py", "word = 'part'\n")
    write(folders.user / "pack/later.py", "from . import now\nnumber = len(now.word)\n")

    assert folders.describe("pack")[:3] == ("In parts.", "In parts.", "")
    assert call(folders.load("pack")) == "part 4"


def test_an_agent_imports_the_modules_beside_it(folders: Folders) -> None:
    """A file `helpers.py` is imported as `.helpers`, by every agent a copy of its own, and is not on the path."""
    source = """
        from . import helpers
        from .helpers import count
        def agent(prompt, session, context):
            from .later import word
            count.append(word)
            return f"{len(helpers.count)} {helpers.__name__}"
    """
    write(folders.user / "helpers.py", "from .later import word\ncount = [word]\n")
    write(folders.user / "later.py", "word = 'x'\n")
    write(folders.user / "one.py", source)
    write(folders.user / "two.py", source)
    search = list(sys.path)
    one, two = folders.load("one"), folders.load("two")

    assert [call(one), call(one), call(two)] == [
        "2 flue_cli.agents.loaded.one.helpers",
        "3 flue_cli.agents.loaded.one.helpers",
        "2 flue_cli.agents.loaded.two.helpers",
    ]
    assert sys.path == search
    assert "helpers" not in sys.modules


def test_an_agent_may_define_classes_of_every_kind(folders: Folders) -> None:
    """Dataclasses and pickles, which look their module up by name, work in an agent's file."""
    write(
        folders.user / "classy.py",
        """
        from __future__ import annotations
        import pickle
        from dataclasses import dataclass
        from typing import ClassVar
        @dataclass
        class Task:
            name: str
            kind: ClassVar[str] = "task"
        def agent(prompt, session, context):
            return pickle.loads(pickle.dumps(Task("tea"))).name
        """,
    )

    assert call(folders.load("classy")) == "tea"


def test_an_agent_is_compiled_without_our_settings(folders: Folders) -> None:
    """Annotations in an agent's file are what they are in any file, whatever Flue's own files import."""
    write(folders.user / "typed.py", "def agent(prompt: str, *_): return agent.__annotations__['prompt']\n")

    assert call(folders.load("typed")) is str


def test_a_fingerprint_names_a_version(folders: Folders) -> None:
    """A changed file is loaded as it is now, even within the same second, under another fingerprint."""
    write(folders.user / "moving.py", SAYS.format(1))
    first = folders.load("moving")
    again = folders.load("moving")
    write(folders.user / "moving.py", SAYS.format(2))
    second = folders.load("moving")

    assert (call(first), call(second)) == ("1", "2")
    assert first.fingerprint == again.fingerprint != second.fingerprint


def test_an_agent_called_json_does_not_stand_in_for_the_module(flue: Flue) -> None:
    """Agents named like modules of Python work, and other agents import the real ones."""
    write(flue.folder / "agents/json.py", SAYS.format("I am an agent"))
    write(flue.folder / "agents/typing.py", SAYS.format("I am an agent"))
    write(
        flue.folder / "agents/asker.py",
        "import json, typing\ndef agent(*_): return json.dumps([typing.Any is not None])\n",
    )

    assert flue("chat", "asker", "hi")[:2] == (0, "[true]\n")
    assert flue("chat", "json", "hi")[:2] == (0, "I am an agent\n")


def test_loading_leaves_no_files_behind(flue: Flue) -> None:
    """No `__pycache__` appears beside an agent that is one file."""
    flue.agent("single", textwrap.dedent(SAYS))
    assert flue("agents", "list").code == 0
    assert flue("chat", "single", "hi").code == 0

    assert os.listdir(flue.home / "agents") == ["single.py"]


def test_loading_a_package_leaves_no_files_behind(flue: Flue) -> None:
    """No `__pycache__` appears in the folder of an agent that has several files."""
    folder = flue.agent("single", textwrap.dedent(SAYS)).parent / "pack"
    write(folder / "__init__.py", "from .part import agent\n")
    write(folder / "part.py", SAYS)
    assert flue("chat", "pack", "hi").code == 0

    assert sorted(os.listdir(folder)) == ["__init__.py", "part.py"]


WORDLESS = """
    class Wordless(Exception):
        def __str__(self):
            raise ValueError("no words")
    raise Wordless
"""


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("raise ValueError('no key')", "ValueError: no key"),
        ("raise ValueError('two\\nlines')", "ValueError: two\nlines"),
        ("import sys; sys.exit('bye')", "SystemExit: bye"),
        ("import sys; sys.exit(0)", "SystemExit: 0"),
        ("raise KeyboardInterrupt", "KeyboardInterrupt"),
        ("raise GeneratorExit", "GeneratorExit"),
        ("import asyncio; raise asyncio.CancelledError", "CancelledError"),
        ("import not_installed_anywhere", "No module named 'not_installed_anywhere'"),
        ("from . import part", "ImportError"),
        ("def f(): f()\nf()", "RecursionError"),
        ("def agent(:", "SyntaxError: invalid syntax"),
        ("x = 1\0", "null bytes"),
        ("", "has no 'agent'"),
        ("def agents(*_): ...", "has no 'agent'"),
        ("agent = None", "has no 'agent'"),
        ("agent = 'hello'", "is not callable"),
        ("import sys; del sys.modules[__name__]; raise ValueError('mine')", "ValueError: mine"),
        ("def __getattr__(name): raise RuntimeError('nothing here')", "nothing here"),
        (WORDLESS, "Wordless"),
    ],
)
def test_an_agent_that_cannot_be_loaded_says_why(folders: Folders, source: str, reason: str) -> None:
    """Whatever goes wrong while a file is executed is the agent's error, and leaves no module behind."""
    path = write(folders.user / "bad.py", source)
    with pytest.raises(AgentError) as failed:
        folders.load("bad")

    assert (failed.value.type, failed.value.exit_code) == ("load", 1)
    assert failed.value.message.startswith("agent 'bad' cannot be loaded: ")
    assert reason in failed.value.message
    assert str(path) in failed.value.sentence() + failed.value.hint


def test_an_agent_that_cannot_be_read_says_why(folders: Folders) -> None:
    """A file that vanished between being found and being loaded is a load error like any other."""
    path = write(folders.user / "gone.py")
    source = folders.find("gone")
    path.unlink()

    with pytest.raises(AgentError, match="No such file") as failed:
        discovery.load_agent(source)
    assert failed.value.type == "load"
    assert describe(source).problem == "cannot be read: No such file or directory"


def test_an_agent_that_failed_can_be_loaded_once_it_is_mended(folders: Folders) -> None:
    """A file that was corrected after an error loads without leftovers of the broken one."""
    write(folders.user / "pack/__init__.py", "from .part import agent\nraise ValueError\n")
    write(folders.user / "pack/part.py", SAYS.format("old"))
    with pytest.raises(AgentError):
        folders.load("pack")
    write(folders.user / "pack/__init__.py", "from .part import agent\n")
    write(folders.user / "pack/part.py", SAYS.format("mended"))

    assert call(folders.load("pack")) == "mended"


@pytest.mark.parametrize(
    "source",
    [
        "raise ValueError('two\\nlines \\x1b[31m')",
        "import sys; sys.exit(0)",
        "agent = 1",
        "def agent(:",
        WORDLESS,
    ],
)
def test_a_load_error_is_a_line_and_an_exit_code(flue: Flue, source: str) -> None:
    """A chat with a broken agent ends with exit code 1, an error on one line, a hint, and no reply."""
    flue.agent("bad", textwrap.dedent(source))
    done = flue("chat", "bad", "hi")

    assert (done.code, done.out) == (1, "")
    assert [line.split(" ")[0] for line in done.err.splitlines()] == ["error:", "hint:"]
    assert "Traceback" not in done.err
    assert "\x1b" not in done.err


# Agents of installed packages


def install(site: Path, entry_points: str, files: dict[str, str]) -> None:
    """A package as pip would leave it, which must not be imported: that writes `imported`."""
    info = site / "wonder_agents-1.0.dist-info"
    write(info / "METADATA", "Metadata-Version: 2.1\nName: wonder-agents\nVersion: 1.0\n")
    write(info / "entry_points.txt", "[flue.agents]\n" + entry_points)
    for name, source in files.items():
        write(site / name, "open('imported', 'w').close()\n" + textwrap.dedent(source))


def test_agents_of_packages_are_found_without_importing_them(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An installed package offers agents, of which none is imported before it is asked for."""
    install(
        tmp_path / "site",
        "oracle = wonder.deep.oracle:agent\nmind_reader = wonder\nbroken = wonder.not_there\n",
        {
            "wonder/__init__.py": SAYS.format("thoughts"),
            "wonder/deep/__init__.py": "",
            "wonder/deep/oracle.py": SAYS.format("42"),
        },
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    found = [
        source for source in discovery.list_agents(folders.settings) if source.origin.startswith("package")
    ]
    problems = [describe(source).problem for source in found]
    folders.find("oracle")
    imported = Path("imported").exists() or "wonder" in sys.modules

    assert [source[:3] for source in found] == [
        ("mind-reader", str(tmp_path / "site/wonder/__init__.py"), "package wonder-agents"),
        ("oracle", str(tmp_path / "site/wonder/deep/oracle.py"), "package wonder-agents"),
    ]
    assert problems == ["", ""]
    assert not imported
    try:
        assert call(folders.load("oracle")) == "42"
        assert call(folders.load("mind_reader")) == "thoughts"
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "wonder"]:
            del sys.modules[name]


def test_a_package_may_call_its_agent_what_it_likes(
    folders: Folders, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An entry point may name any object, inside of another, too, and is then not called broken."""
    install(
        tmp_path / "site",
        "plain = manywonders:oracle\ninner = manywonders:Oracle.speak\n",
        {
            "manywonders.py": """
                def oracle(prompt, session, context):
                    return "42"
                class Oracle:
                    speak = staticmethod(oracle)
            """
        },
    )
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    try:
        problems = [folders.describe(name).problem for name in ("plain", "inner")]
        replies = [call(folders.load(name)) for name in ("plain", "inner")]
    finally:
        sys.modules.pop("manywonders", None)

    assert problems == ["", ""]
    assert replies == ["42", "42"]


def test_an_agent_of_ones_own_beats_a_packages(flue: Flue, tmp_path: Path) -> None:
    """The command offers agents of packages after all others, and says which package they are of."""
    install(
        tmp_path / "site",
        "greeting = wonder\noracle = wonder:agent\n",
        {"wonder.py": "'''Knows.'''\n" + textwrap.dedent(SAYS.format("42"))},
    )
    env = {"PYTHONPATH": str(tmp_path / "site")}
    lines = [line.split("\t") for line in flue("agents", "list", env=env).out.splitlines()]
    listing_imported = (flue.folder / "imported").exists()
    asked = flue("chat", "oracle", "why?", env=env)

    assert [line[:1] + line[2:3] for line in lines] == [
        ["greeting", "sample"],
        ["journal", "sample"],
        ["oracle", "package wonder-agents"],
        ["task-planner", "sample"],
    ]
    assert not listing_imported
    assert asked[:2] == (0, "42\n")
