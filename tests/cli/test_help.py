"""`flue help`: the manual in a terminal and in a pipe."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING
from zipfile import ZipFile

import pytest
from support.real_terminal import Terminal

from flue_cli.cli.help import TOPICS

if TYPE_CHECKING:
    from conftest import Flue

pytestmark = pytest.mark.filterwarnings("ignore:.*forkpty.*:DeprecationWarning")

MANUAL = Path(__file__).parents[2] / "flue_cli" / "manual"


def test_every_topic_has_a_page_and_every_page_a_topic() -> None:
    """The list and the folder agree."""
    assert sorted(TOPICS) == sorted(path.stem for path in MANUAL.glob("*.md"))


def test_topics_in_a_pipe_are_fields_and_tabs(flue: Flue) -> None:
    """Without a topic, each is on a line of tab-separated fields, and a home that is not there stays so."""
    assert flue("help") == (0, "".join(f"{name}\t{line}\n" for name, line in TOPICS.items()), "")
    assert not flue.home.exists()


@pytest.mark.parametrize("topic", TOPICS)
def test_a_topic_in_a_pipe(flue: Flue, topic: str) -> None:
    """In a pipe a page is the markdown that it is written in."""
    assert flue("help", topic) == (0, (MANUAL / f"{topic}.md").read_text(), "")


@pytest.mark.parametrize(
    ("topic", "hint"),
    [
        ("htp", "did you mean http?"),
        ("Sessions", "did you mean sessions?"),
        ("replay", "see: flue replay --help"),
        ("../http", "did you mean http?"),
        ("xyzzy", "see: flue help"),
        ("a\x1b[31m", "see: flue help"),
    ],
)
def test_a_topic_that_there_is_not(flue: Flue, topic: str, hint: str) -> None:
    """It is 3, with what was perhaps meant, and harms no terminal."""
    done = flue("help", topic)
    shown = topic.replace("\x1b", "^[")
    assert (done.code, done.out) == (3, "")
    assert done.err == f"error: there is no topic '{shown}' in the manual\nhint: {hint}\n"


def test_in_a_zip_file(flue: Flue) -> None:
    """Manual, samples and templates are read where the package is no folder, as in a zipapp."""
    archive, package = flue.folder.parent / "flue.zip", MANUAL.parent
    shipped = [(path, path.relative_to(package.parent)) for path in package.rglob("*")]
    shipped += [
        (path, Path("flue_cli/samples", path.name)) for path in (package.parent / "agents").glob("*.py")
    ]
    with ZipFile(archive, "w") as file:
        for path, name in shipped:
            if path.suffix in (".py", ".md"):
                file.write(path, name)
    env = {"PYTHONPATH": str(archive)}

    assert flue("help", "http", env=env) == (0, (MANUAL / "http.md").read_text(), "")
    assert flue("chat", "greeting", "-s", "a", "my name is Ada", env=env).out.startswith(
        "Nice to meet you, Ada"
    )
    listed = flue("agents", "list", env=env).out
    assert listed.count("\tsample\t") == 3
    assert f"\t{archive}/flue_cli/samples/greeting.py\n" in listed
    assert "broken" not in listed
    assert flue("agents", "new", "greeting", env=env).out == "agents/greeting.py\n"
    assert flue("chat", "greeting", "-s", "b", "hi", env=env).out == '1: "hi". I will remember that.\n'
    assert flue("chat", "gretings", env=env).err.endswith("hint: did you mean greeting?\n")


@pytest.mark.parametrize("arguments", [(), ("chat",), ("sessions",), ("sessions", "prune")])
def test_help_without_docstrings(flue: Flue, arguments: tuple[str, ...]) -> None:
    """`python -OO`, which removes docstrings, shows the same help."""
    assert flue(*arguments, "--help", env={"PYTHONOPTIMIZE": "2"}) == flue(*arguments, "--help")


def test_the_chat_explains_its_commands_without_docstrings(flue: Flue) -> None:
    """The help of the slash commands is there under `python -OO`, too."""
    code = "from flue_cli.repl.slash import COMMANDS, help_summary; print([help_summary(name) for name in COMMANDS])"
    plain, optimized = (
        subprocess.run(
            [sys.executable, *flags, "-c", code], env=flue.env, capture_output=True, check=True
        ).stdout
        for flags in ((), ("-OO",))
    )
    assert optimized == plain
    assert b"''" not in plain


def show(flue: Flue, *arguments: str, **env: str) -> Terminal:
    """Run the command in a terminal of 24 by 80."""
    return Terminal([*flue.command, *arguments], cwd=flue.folder, env=flue.env | env)


def test_topics_on_a_terminal_are_a_list(flue: Flue) -> None:
    """On a terminal the list is a table that fits, and says how to go on."""
    terminal = show(flue, "help")
    assert terminal.ended() == 0
    lines = [line for line in terminal.lines if line]
    assert len(lines) == len(TOPICS) + 1
    assert re.match(r"agents +Write an agent", lines[0])
    assert lines[-1].startswith("flue help TOPIC")


def test_a_topic_on_a_terminal(flue: Flue) -> None:
    """On a terminal a page is laid out, and longer than the screen it goes through the pager."""
    paged = flue.folder / "paged"
    terminal = show(flue, "help", "timeline", PAGER=f"tee {paged}")
    assert terminal.ended() == 0
    page = re.sub(r"\x1b\[[0-9;]*m", "", paged.read_text())
    assert page.startswith("# Timeline\n")
    assert "`" not in page.replace("```", "")
    assert "$ flue sessions undo alice\n" in page


@pytest.mark.parametrize("topic", TOPICS)
def test_the_lines_of_a_page_fit(topic: str) -> None:
    """Prose of the manual fits a terminal of 80 columns as it is written; only tables and code may not."""
    text = re.sub(r"```.*?```", "", (MANUAL / f"{topic}.md").read_text(), flags=re.DOTALL)
    assert [line for line in text.split("\n") if len(line) > 78 and not line.startswith("|")] == []
