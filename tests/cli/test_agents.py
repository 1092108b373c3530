"""Agents are found in a fixed order, described without being run, and loaded each in a module of its own."""

from __future__ import annotations

import json
import os
import sys
import textwrap
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.requirements import needs_root

from flue_cli.agents import discovery
from flue_cli.agents.description import Description, describe
from flue_cli.errors import AgentError, AgentNotFound, BadName, UsageError
from flue_cli.settings import Settings

if TYPE_CHECKING:
    from conftest import Flue

SAYS = """
    def agent(prompt, session, context):
        return "{}"
"""


class Folders:
    """Everywhere an agent may be: `named` (--agents), `env` (FLUE_AGENTS), `here` (./agents), `user`."""

    def __init__(self, root: Path) -> None:
        self.named = root / "named"
        self.env = root / "env"
        self.here = root / "work" / "agents"
        self.user = root / "home" / "agents"
        for folder in (self.named, self.env, self.here, self.user):
            folder.mkdir(parents=True)
        self.settings = Settings(
            home=str(root / "home"),
            store="memory:",
            agent_dirs=(str(self.named),),
            agent_path=(str(self.env), str(root / "not there")),
        )

    def find(self, name: str) -> discovery.AgentSource:
        return discovery.find_agent(self.settings, name)

    def load(self, name: str) -> discovery.Agent:
        return discovery.load_agent(self.find(name))

    def describe(self, name: str) -> Description:
        (source,) = [source for source in discovery.list_agents(self.settings) if source.name == name]
        return describe(source)


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Folders]:
    made = Folders(tmp_path)
    monkeypatch.chdir(tmp_path / "work")
    yield made
    for name in [name for name in sys.modules if name.startswith("_flue_agent_")]:
        del sys.modules[name]


def write(path: Path, source: str = SAYS) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(textwrap.dedent(source))
    return path


def call(agent: discovery.Agent) -> Any:
    return agent.function("hi", None, None)


# Where agents are


def test_the_nearest_agent_wins(folders: Folders) -> None:
    """Of agents of one name, --agents beats FLUE_AGENTS, then ./agents, the user's own and the samples."""
    assert folders.find("greeting").origin == "sample"
    for folder, origin in [
        (folders.user, "user"),
        (folders.here, "./agents"),
        (folders.env, "FLUE_AGENTS"),
        (folders.named, "--agents"),
    ]:
        path = write(folder / "greeting.py")
        assert folders.find("greeting")[:3] == ("greeting", str(path), origin)


def test_folders_are_searched_in_the_order_given(folders: Folders) -> None:
    """With several folders for agents, the one named first wins."""
    write(folders.named / "a.py")
    write(folders.env / "a.py")
    both = (str(folders.env), str(folders.named))

    assert discovery.find_agent(folders.settings._replace(agent_dirs=both), "a").path == str(
        folders.env / "a.py"
    )
    assert discovery.find_agent(
        folders.settings._replace(agent_dirs=(), agent_path=both[::-1]), "a"
    ).path == str(folders.named / "a.py")


def test_the_environment_names_several_folders(folders: Folders) -> None:
    """FLUE_AGENTS is a list of folders, like PATH."""
    value = os.pathsep.join([str(folders.env), "", str(folders.user)])
    settings = Settings.load({"FLUE_AGENTS": value, "FLUE_HOME": "home"}, agents=["x"])

    assert settings.agent_path == (str(folders.env), str(folders.user))
    assert settings.agent_dirs == ("x",)
    assert settings.home == str(Path.cwd() / "home")


def test_a_list_has_each_agent_once(folders: Folders) -> None:
    """The list is sorted by name, has the samples, and leaves out what is shadowed."""
    write(folders.user / "greeting.py")
    write(folders.here / "greeting.py")
    write(folders.env / "zebra.py")
    found = discovery.list_agents(folders.settings)

    assert [(source.name, source.origin) for source in found] == [
        ("greeting", "./agents"),
        ("journal", "sample"),
        ("task-planner", "sample"),
        ("zebra", "FLUE_AGENTS"),
    ]
    assert all(os.path.isabs(source.path) for source in found)


def test_an_agent_is_found_under_both_spellings(folders: Folders) -> None:
    """A file with underscores and one with hyphens are found by either name."""
    write(folders.user / "book_keeper.py")
    write(folders.user / "tea-maker.py")

    for name in ("book_keeper", "book-keeper"):
        assert folders.find(name)[:2] == ("book-keeper", str(folders.user / "book_keeper.py"))
    for name in ("tea_maker", "tea-maker"):
        assert folders.find(name)[:2] == ("tea-maker", str(folders.user / "tea-maker.py"))


def test_what_begins_with_underscore_or_dot_is_no_agent(folders: Folders) -> None:
    """Helpers, caches, hidden files, plain files and empty folders are not offered as agents."""
    for name in ("_shared.py", ".hidden.py", "__init__.py", "_folder/__init__.py", ".git/__init__.py"):
        write(folders.named / name)
    (folders.named / "notes.txt").write_text("no agent")
    (folders.named / "empty").mkdir()
    (folders.named / "folder.py").mkdir()
    (folders.named / "dangling.py").symlink_to("nowhere.py")
    os.mkfifo(folders.named / "pipe.py")

    assert not [source for source in discovery.list_agents(folders.settings) if source.origin == "--agents"]


def test_a_folder_that_was_named_must_be_there(folders: Folders) -> None:
    """A wrong --agents is said, while the default folders may be missing."""
    with pytest.raises(UsageError, match="--agents: there is no folder nowhere"):
        discovery.find_agent(folders.settings._replace(agent_dirs=("nowhere",)), "greeting")
    folders.here.rmdir()
    folders.user.rmdir()
    assert folders.find("greeting").origin == "sample"


def test_an_unknown_agent_is_told_with_the_nearest_names(folders: Folders) -> None:
    """A typo gets the names that were probably meant, and something else the way to the list."""
    write(folders.user / "book_keeper.py")
    with pytest.raises(AgentNotFound, match="there is no agent 'bookkeper'") as near:
        folders.find("bookkeper")
    with pytest.raises(AgentNotFound) as far:
        folders.find("xyzzy")

    assert near.value.hint == "did you mean book-keeper?"
    assert far.value.hint == "see: flue agents list"
    assert near.value.exit_code == far.value.exit_code == 3


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "a/b", "Greeting", ""])
def test_an_agent_is_named_not_pointed_at(folders: Folders, name: str) -> None:
    """A path or anything else that is no name is refused before any folder is read."""
    with pytest.raises(BadName):
        folders.find(name)


def test_a_sample_that_is_hidden_is_known(folders: Folders) -> None:
    """Whether an agent stands in front of one of Flue's samples can be told."""
    sample = folders.find("greeting")
    mine = folders.find("greeting") if write(folders.user / "greeting.py") else sample
    write(folders.user / "other.py")

    assert discovery.shadowed_sample(mine)
    assert not discovery.shadowed_sample(sample)
    assert not discovery.shadowed_sample(folders.find("other"))


def test_agents_of_another_user_are_not_run(folders: Folders, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ./agents folder of somebody else's is refused, unless it is named with --agents."""
    write(folders.here / "trap.py")
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)

    with pytest.raises(UsageError, match=r"\./agents belongs to another user") as refused:
        folders.find("trap")
    trusting = folders.settings._replace(agent_dirs=("agents",))

    assert refused.value.hint == "if you trust it: --agents ./agents"
    assert discovery.find_agent(trusting, "trap").origin == "--agents"
    assert folders.find("greeting").origin == "sample"


@pytest.mark.parametrize("what", ["agents", "agents/trap.py"])
def test_the_folder_and_the_file_must_both_be_ours(folders: Folders, what: str) -> None:
    """Somebody else's file in our folder is refused like our file in somebody else's folder."""
    needs_root()
    write(folders.here / "trap.py")
    os.chown(what, 12345, -1)

    with pytest.raises(UsageError, match="belongs to another user"):
        folders.find("trap")


# What an agent says of itself


def test_a_description_is_read_from_the_docstring(folders: Folders) -> None:
    """An agent is described by its docstring, and by the docstring's first line in a list."""
    write(
        folders.user / "talker.py",
        '''
        """Talks.

            Indented as in any docstring.
        """
        async def agent(prompt, session, context): ...
        ''',
    )
    write(folders.user / "silent.py")

    assert folders.describe("talker") == ("Talks.", "Talks.\n\nIndented as in any docstring.", "")
    assert folders.describe("silent") == ("", "", "")


@pytest.mark.parametrize(
    "source",
    [
        "def agent(prompt, session, context): ...",
        "async def agent(prompt, session, context): yield ''",
        "class agent: ...",
        "agent = lambda *_: 'x'",
        "agent: object = print",
        "one, agent = print, print",
        "from json import loads as agent",
        "import json as agent",
        "from elsewhere import *",
        "if True:\n    def agent(*_): ...\nelse:\n    agent = None",
        "try:\n    import fast\n    agent = fast.run\nexcept ImportError:\n    def agent(*_): ...",
        "try:\n    from fast import run as agent\nexcept ImportError:\n    from json import loads as agent",
        "if True:\n    class agent: ...",
        "import contextlib\nwith contextlib.suppress(ImportError):\n    from json import loads as agent",
    ],
)
def test_every_way_to_define_an_agent_is_recognised(folders: Folders, source: str) -> None:
    """An agent that is bound by any usual statement of a module is not called broken."""
    write(folders.user / "some.py", source)

    assert folders.describe("some").problem == ""


@pytest.mark.parametrize(
    ("source", "problem"),
    [
        ("def agent(:\n", "not valid Python: invalid syntax (line 1)"),
        ("\n\nx = (", "not valid Python: '(' was never closed (line 3)"),
        (b"agent = '\xff'", "not valid Python: "),
        (b"agent = 1\0", "not valid Python: "),
        ("# -*- coding: klingon -*-", "not valid Python: "),
        ("x = " + "-" * 100_000 + "1", "not valid Python: "),
        ("", "defines no 'agent'"),
        ("def agents(*_): ...", "defines no 'agent'"),
        ("def other():\n    def agent(*_): ...\n", "defines no 'agent'"),
        ("class Other:\n    agent = 1\n", "defines no 'agent'"),
    ],
)
def test_a_broken_file_says_what_is_wrong_and_hides_nobody(
    folders: Folders, source: str | bytes, problem: str
) -> None:
    """A file that cannot be an agent is listed with the reason, and all others are there as ever."""
    (folders.named / "broken.py").write_bytes(source if isinstance(source, bytes) else source.encode())

    assert folders.describe("broken").problem.startswith(problem)
    assert [source.name for source in discovery.list_agents(folders.settings)] == [
        "broken",
        "greeting",
        "journal",
        "task-planner",
    ]


@pytest.mark.parametrize("file", ["Shouting.py", "two words.py", "é.py"])
def test_a_file_without_an_agents_name_says_so(folders: Folders, file: str) -> None:
    """A file whose name nobody could ask for is listed with the advice to rename it."""
    write(folders.user / file)
    (source,) = [source for source in discovery.list_agents(folders.settings) if source.origin == "user"]

    assert describe(source).problem.endswith("cannot be an agent's name: rename the file")


def test_describing_an_agent_prints_no_warnings(folders: Folders) -> None:
    """A questionable escape in an agent's source does not spoil the list of agents."""
    write(folders.user / "regex.py", r'''agent = lambda *_: "\d"''')
    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        folders.describe("regex")

    assert warned == []


def test_nothing_runs_but_the_agent_that_was_asked_for(folders: Folders) -> None:
    """Finding, listing and describing execute no file, and loading executes one."""
    for name in ("one", "two"):
        write(folders.user / f"{name}.py", f"open({name!r}, 'w').close()\n" + textwrap.dedent(SAYS))
    write(folders.user / "pack/__init__.py", "open('pack', 'w').close()\nfrom .part import agent\n")

    for source in discovery.list_agents(folders.settings):
        describe(source)
    folders.find("one")
    ran_before = sorted(os.listdir())
    folders.load("two")

    assert ran_before == ["agents"]
    assert sorted(os.listdir()) == ["agents", "two"]


def test_the_command_runs_nothing_but_the_agent_that_was_asked_for(flue: Flue) -> None:
    """`flue agents list` executes no file, and a chat none but its own agent's."""
    flue.agent("noisy", "'''Makes noise.'''\nopen('ran', 'w').close()\nprint('noise')\nagent = print\n")
    flue.agent("quiet", "def agent(prompt, session, context):\n    return 'hush'\n")
    listed = flue("agents", "list")
    described = flue("agents", "list", "--json")
    chatted = flue("chat", "quiet", "hi")
    missed = flue("chat", "nosy", "hi")

    assert (listed.code, listed.err) == (0, "")
    assert listed.out.splitlines()[2].split("\t")[:3] == ["noisy", "Makes noise.", "user"]
    assert described.code == 0
    assert chatted[:2] == (0, "hush\n")
    assert (missed.code, missed.out) == (3, "")
    assert missed.err.splitlines() == ["error: there is no agent 'nosy'", "hint: did you mean noisy?"]
    assert not (flue.folder / "ran").exists()


def test_the_list_shows_broken_agents_beside_the_others(flue: Flue) -> None:
    """`flue agents list` says of each broken file what is wrong, on one safe line, for people and as JSON."""
    path = flue.agent("bad", "def agent(:\n")
    flue.agent("tricky", "'''One\x1b[31m \\x1b[31m \\u202e'''\nagent = print\n")
    lines = [line.split("\t") for line in flue("agents", "list").out.splitlines()]
    documents = json.loads(flue("agents", "list", "--json").out)

    assert [line[0] for line in lines] == ["bad", "greeting", "journal", "task-planner", "tricky"]
    assert lines[0] == ["bad", "broken: not valid Python: invalid syntax (line 1)", "user", str(path)]
    assert lines[4][1] == "One^[[31m ^[[31m <U+202E>"
    assert documents[0] == {
        "name": "bad",
        "description": "",
        "origin": "user",
        "path": str(path),
        "problem": "not valid Python: invalid syntax (line 1)",
    }
    assert documents[1]["problem"] is None


# Loading


def test_an_agent_runs_in_a_module_of_its_own(folders: Folders) -> None:
    """An agent has its file and a private module name, and leaves the import system as it was."""
    path = write(folders.user / "book_keeper.py", "agent = lambda *_: (__name__, __file__)\n")
    search, modules = list(sys.path), set(sys.modules)
    name, file = call(folders.load("book-keeper"))

    assert file == str(path)
    assert name.startswith("_")
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

    assert folders.describe("pack") == ("In parts.", "In parts.", "")
    assert call(folders.load("pack")) == "part 4"


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
        ("agent = 'hello'", "cannot be called"),
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
    assert str(path) in failed.value.message + failed.value.hint


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
