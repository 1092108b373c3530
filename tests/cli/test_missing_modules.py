"""A module that an agent cannot import: the error says where it would be found, and how to get it."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import pytest
from support.agent_search_path import write

from flue_cli.installation import install_command

if TYPE_CHECKING:
    from conftest import Done, Flue

AGENT = "\ndef agent(prompt, session, context):\n    return 'hi'\n"


def chat(flue: Flue) -> Done:
    done = flue("chat", "asker", "hi", stdin=None)
    assert (done.code, done.out) == (1, "")
    return done


def hint_of(flue: Flue, source: str) -> str:
    """The hint of the agent `asker` with this source."""
    write(flue.folder / "agents/asker.py", source)
    (line,) = [line for line in chat(flue).err.splitlines() if line.startswith("hint: ")]
    return line.removeprefix("hint: ")


def install_hint(package: str, doubt: str = "") -> str:
    begin = f"{sys.executable} has no such module; to install it there"
    return f"{begin}{doubt}: {install_command(package)}"


SAME_NAME = " (if its package has the same name)"


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("no_such_module", install_hint("no_such_module", SAME_NAME)),
        ("no_such_module.part", install_hint("no_such_module", SAME_NAME)),
        ("google.no_such_part", install_hint("PACKAGE", ", find the package that has it")),
        ("fitz", install_hint("PyMuPDF")),
    ],
)
def test_a_missing_dependency_names_the_interpreter(flue: Flue, name: str, hint: str) -> None:
    """The hint has the interpreter that runs Flue and the command that installs there, at loading or in a turn."""
    assert hint_of(flue, f"import {name}{AGENT}") == hint
    assert f"; {hint}\t" in flue("agents", "check", "asker", stdin=None).out
    assert hint_of(flue, f"def agent(prompt, session, context):\n    import {name}\n") == hint


def test_a_missing_part_of_a_package(flue: Flue) -> None:
    """A module that an installed package does not have is said to be missing there."""
    hint = hint_of(flue, "import pytest.no_such_part" + AGENT)

    assert hint.startswith(f"the installed pytest ({pytest.__file__}) has no pytest.no_such_part")


def test_a_missing_module_of_python(flue: Flue) -> None:
    """A module of Python itself that the interpreter lacks is not to be installed."""
    hint = hint_of(flue, "raise ModuleNotFoundError(\"No module named 'tkinter'\", name='tkinter')")

    assert hint == f"{sys.executable} was built or packaged without tkinter, a module of Python itself"


@pytest.mark.parametrize("statement", ["import helpers", "from helpers import x", "import helpers.part"])
def test_a_module_beside_the_agent(flue: Flue, statement: str) -> None:
    """A module in the agents folder is not on the path: the hint has the import that works, and it does."""
    write(flue.folder / "agents/helpers.py", "x = 1\n")

    assert hint_of(flue, statement + AGENT) == (
        "helpers is beside the agent, and that folder is not on Python's path; write: from .helpers import ..."
    )
    write(flue.folder / "agents/asker.py", "from .helpers import x" + AGENT)
    assert flue("chat", "asker", "hi", stdin=None).out == "hi\n"


def test_a_module_that_is_not_beside_the_agent(flue: Flue) -> None:
    """A relative import that fails says which file is missing."""
    assert hint_of(flue, "from .helpers import x" + AGENT) == "there is no helpers.py beside the agent"
    assert "No module named '.helpers' (agents/asker.py:1)" in chat(flue).err


def test_a_module_beside_a_folder_agent(flue: Flue) -> None:
    """A folder agent cannot import from beside its folder: the module is to be moved into it."""
    write(flue.folder / "agents/helpers.py", "x = 1\n")
    write(flue.folder / "agents/asker/__init__.py", "from helpers import x" + AGENT)

    assert chat(flue).err.splitlines()[1] == (
        f"hint: move helpers into {flue.folder}/agents/asker, and write: from .helpers import ..."
    )


@pytest.mark.parametrize("folder", [".", "src"])
def test_a_module_of_the_project(flue: Flue, folder: str) -> None:
    """The project's own package is not on the path: the hint puts it there, and it works."""
    project = flue.folder / "project"
    write(project / folder / "shop/__init__.py", "x = 1\n")
    write(project / "agents/asker.py", "from shop import x" + AGENT)
    path = str((project / folder).resolve())
    command = ("chat", "asker", "hi", "--agents", str(project / "agents"))

    assert flue(*command, stdin=None).err.endswith(
        f"\nhint: shop is in a folder that is not on Python's path: export PYTHONPATH={path}\n"
    )
    assert flue(*command, stdin=None, env={"PYTHONPATH": path}).out == "hi\n"


def test_an_agent_called_as_its_library(flue: Flue) -> None:
    """Agents named like the library that they use, itself or another, still miss the library."""
    write(flue.folder / "agents/no_such_module.py", "import no_such_module" + AGENT)

    assert hint_of(flue, "import no_such_module" + AGENT) == install_hint("no_such_module", SAME_NAME)
    own = flue("chat", "no-such-module", "hi", stdin=None)
    assert install_hint("no_such_module", SAME_NAME) in own.err


@pytest.mark.parametrize(
    "statement",
    [
        "from .helpers import x", "from . import helpers", "from helpers import x", "import helpers.x",
        "def f():\n    from .helpers import x",
    ],
)  # fmt: skip
def test_a_helper_module_is_no_agent(flue: Flue, statement: str) -> None:
    """A module without an agent that one beside it imports is in no list of agents, and breaks no check."""
    write(flue.folder / "agents/helpers.py", "x = 1\n")
    write(flue.folder / "agents/asker.py", statement + AGENT)
    listed = flue("agents", "list", stdin=None).out
    checked = flue("agents", "check", stdin=None).out

    for text in (listed, checked):
        assert [line.split("\t")[0] for line in text.splitlines()] == [
            "asker", "greeting", "journal", "task-planner",
        ]  # fmt: skip


@pytest.mark.parametrize(
    ("statement", "source", "described"),
    [
        ("", "x = 1\n", "broken: defines no 'agent'"),
        ("import helpers_of_another", "x = 1\n", "broken: defines no 'agent'"),
        ("from json import helpers", "x = 1\n", "broken: defines no 'agent'"),
        ("from .helpers import x", "x = (\n", "broken: not valid Python: '(' was never closed (line 1)"),
        ("from .helpers import x", f'"""Helps."""\nx = 1{AGENT}', "Helps."),
        ("from .helpers import x", '"""Helps."""\nx = 1\nfrom json import loads as agent\n', "Helps."),
    ],
    ids=["not imported", "another imported", "of another package", "broken", "an agent", "an imported agent"],
)
def test_other_modules_are_listed(flue: Flue, statement: str, source: str, described: str) -> None:
    """A file that nobody imports, that is broken, or that has an agent is listed."""
    write(flue.folder / "agents/helpers.py", source)
    write(flue.folder / "agents/asker.py", statement + AGENT)
    lines = [line.split("\t") for line in flue("agents", "list", stdin=None).out.splitlines()]

    assert [line[1] for line in lines if line[0] == "helpers"] == [described]
