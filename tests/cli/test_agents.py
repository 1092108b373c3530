"""Agents are found in a fixed order, and described without being run."""

from __future__ import annotations

import json
import os
import textwrap
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.agent_search_path import SAYS, Folders, write
from support.requirements import needs_root

from flue_cli.agents import discovery
from flue_cli.agents.description import describe
from flue_cli.errors import AgentNotFound, BadName, UsageError
from flue_cli.settings import Settings

if TYPE_CHECKING:
    from conftest import Flue


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
    """A typo gets the names that were probably meant, and something else the places of the search."""
    write(folders.user / "book_keeper.py")
    with pytest.raises(AgentNotFound, match="there is no agent 'bookkeper'") as near:
        folders.find("bookkeper")
    with pytest.raises(AgentNotFound) as far:
        folders.find("xyzzy")

    assert near.value.hint == "did you mean book-keeper?"
    assert far.value.hint == (
        f"looked in {folders.named}, {folders.env}, {folders.env.parent / 'not there'} (not there), ./agents,"
        f" {folders.user} and the samples; see: flue agents list"
    )
    assert near.value.exit_code == far.value.exit_code == 3


def test_agents_of_the_repository_are_found_in_its_folders(
    folders: Folders, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a repository `agents` of the folders above is searched too, the nearest first, up to its root."""
    root = folders.here.parent
    deep = root / "src" / "deep"
    deep.mkdir(parents=True)
    write(root.parent / "agents" / "outside.py")
    for folder, names in ((root, "one two three"), (root / "src", "two three"), (deep, "three")):
        for name in names.split():
            write(folder / "agents" / f"{name}.py")
    monkeypatch.chdir(deep)
    with pytest.raises(AgentNotFound):  # these folders belong to no repository yet
        folders.find("two")
    (root / ".git").write_text("gitdir: elsewhere")  # as in a worktree

    found = {name: folders.find(name) for name in ("one", "two", "three")}
    assert {name: source.origin for name, source in found.items()} == {
        "one": "../../agents",
        "two": "../agents",
        "three": "./agents",
    }
    assert found["two"].path == str(root / "src" / "agents" / "two.py")
    assert {"one", "two", "three"} <= {source.name for source in discovery.list_agents(folders.settings)}
    with pytest.raises(AgentNotFound) as missing:
        folders.find("outside")
    assert ", ./agents, ../agents, ../../agents, " in missing.value.hint
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(UsageError, match=r"\.\./agents belongs to another user") as refused:
        folders.find("two")
    assert refused.value.hint == "if you trust it: --agents ../agents"


def test_a_link_of_another_user_is_not_followed(folders: Folders) -> None:
    """A link called ./agents that somebody else made runs none of our files as agents."""
    needs_root()
    write(folders.named / "trap.py")
    folders.here.rmdir()
    folders.here.symlink_to(folders.named)
    os.chown(folders.here, 12345, -1, follow_symlinks=False)

    with pytest.raises(UsageError, match=r"\./agents belongs to another user"):
        discovery.find_agent(folders.settings._replace(agent_dirs=()), "trap")


def test_a_file_is_run_as_an_agent(flue: Flue) -> None:
    """`flue chat FILE` talks to the agent in the file, wherever that is, under the file's name."""
    write(flue.folder / "elsewhere" / "my_agent.py", SAYS.format("mine"))
    write(flue.folder / "agents" / "wiki" / "__init__.py", SAYS.format("wiki"))

    assert flue("chat", "elsewhere/my_agent.py", "-s", "a", "hi", stdin=None) == (0, "mine\n", "")
    assert flue("chat", "./agents/wiki", "-s", "b", stdin="hi").out == "wiki\n"
    assert flue("chat", "elsewhere/my_agent.py", "-c", "hi", stdin=None).out == "mine\n"
    flue.folder = flue.folder / "elsewhere"
    assert flue("chat", "my_agent.py", "-r", "a", "hi", stdin=None).out == "mine\n"
    listed = flue("sessions", "list", stdin=None).out.splitlines()
    assert [line.split("\t")[:3] for line in listed] == [["my-agent", "a", "3"], ["wiki", "b", "1"]]
    assert flue("agents", "check", "my_agent.py", stdin=None).out.startswith("my-agent\tok\t")
    assert "my_agent.py (file)" in flue("agents", "show", "./my_agent.py", stdin=None).out


def test_a_file_that_is_no_agent(flue: Flue) -> None:
    """A path without a file is 3, with the nearest file; a file whose name no agent can have is 2."""
    write(flue.folder / "agents" / "counter.py")
    write(flue.folder / "My Agent.py")

    assert flue("chat", "agents/counter", "hi", stdin=None) == (
        3,
        "",
        "error: there is no file agents/counter\nhint: did you mean agents/counter.py?\n",
    )
    assert flue("chat", "cuonter.py", "hi", stdin=None).err == "error: there is no file cuonter.py\n"
    assert flue("chat", "./My Agent.py", "hi", stdin=None).code == 2
    assert not flue.store.exists()


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

    assert discovery.hides_sample(mine)
    assert not discovery.hides_sample(sample)
    assert not discovery.hides_sample(folders.find("other"))


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

    assert folders.describe("talker")[:3] == ("Talks.", "Talks.\n\nIndented as in any docstring.", "")
    assert folders.describe("silent")[:3] == ("", "", "")


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
