"""The README and the manual, run: their agents are written, their commands typed, their output compared."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from support.router_server import running

PROJECT = Path(__file__).parents[2]
README = PROJECT / "README.md"
MANUAL = PROJECT / "flue_cli" / "manual"
PAGES = [README, *sorted(MANUAL.glob("*.md"))]
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
COMMAND = re.compile(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", re.MULTILINE)
FILES = ("python", "flue")
"""Languages of blocks whose first line, a comment, names the file that they are."""


def blocks(page: Path, *languages: str) -> list[str]:
    """Give the blocks of a page that are in one of `languages`."""
    return [block for language, block in BLOCK.findall(page.read_text()) if language in languages]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_examples_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """Every console block prints what it shows, in the order of the page, in one empty folder."""
    env = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "COLUMNS": "80",
    }
    (tmp_path / "agents").mkdir()
    for language, block in BLOCK.findall(page.read_text()):
        if language in FILES:
            path = block.partition("\n")[0].removeprefix("# ")
            (tmp_path / path).write_text(block)
        for command, expected in COMMAND.findall(block) if language == "console" else ():
            done = subprocess.run(
                ["bash", "-c", command], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
            )  # fmt: skip
            assert done.stdout == expected, command


def test_there_are_examples() -> None:
    """The pages that are about commands show some."""
    shown = {page.stem: len(COMMAND.findall("".join(blocks(page, "console")))) for page in PAGES}
    assert all(shown[page] for page in shown.keys() - {"chat", "http", "contributing"}), shown
    assert sum(shown.values()) >= 60


def test_the_readme_is_a_landing_page() -> None:
    """The README has at most 200 lines; the rest is in the manual."""
    assert len(README.read_text().splitlines()) <= 200


def test_every_topic_that_a_page_names_is_there() -> None:
    """`flue help TOPIC` is only written for topics that the manual has."""
    for page in PAGES:
        for topic in re.findall(r"flue\s+help\s+([a-z]+)", page.read_text()):
            assert (MANUAL / f"{topic}.md").exists(), (page, topic)


def test_the_service_of_the_page_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's program serves its agent over HTTP, and remembers."""
    (service,) = blocks(MANUAL / "http.md", "python")
    (tmp_path / "service.py").write_text(service)
    monkeypatch.syspath_prepend(tmp_path)
    said = {"prompt": "hello", "sessionId": "a"}
    with running(importlib.import_module("service").app) as url:
        asked = [httpx.post(f"{url}/api/agent/greeting", json=said).text for _ in range(2)]
    assert asked == ["hello (1)", "hello (2)"]


def test_the_tests_are_run_as_the_readme_says() -> None:
    """The page's command for the tests is the one that everything lands by."""
    (command,) = [block for block in blocks(README, "sh") if "pytest" in block]
    assert command in (PROJECT / ".ci" / "run").read_text()


def test_agents_are_typed(tmp_path: Path) -> None:
    """The page's agent and the samples pass a strict type checker, and a wrong key does not."""
    (agent,) = blocks(MANUAL / "agents.md", "python")
    (tmp_path / "right.py").write_text(agent)
    (tmp_path / "wrong.py").write_text(agent.replace('data["count"] =', 'data["cuont"] ='))

    files = [*tmp_path.glob("*.py"), *(PROJECT / "agents").glob("*.py")]

    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, *map(str, files)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)

    errors = [line for line in done.stdout.splitlines() if ": error: " in line]
    assert len(errors) == 1
    assert "wrong.py" in errors[0]
    assert 'TypedDict "CounterData" has no key "cuont"' in errors[0]


def test_the_config_file_of_the_page_is_taken(tmp_path: Path) -> None:
    """The page's `config.toml` has only keys and values that Flue knows."""
    from flue_cli.config_file import CONFIG_KEYS, load_config

    (example,) = blocks(MANUAL / "config.md", "toml")
    (tmp_path / "config.toml").write_text(example)
    load_config(str(tmp_path / "config.toml"))
    assert all(f"| `{key}` |" in (MANUAL / "config.md").read_text() for key in CONFIG_KEYS)


def test_every_slash_command_is_in_the_manual() -> None:
    """The page about the chat names every command that the chat knows."""
    from flue_cli.repl.slash import COMMANDS

    text = (MANUAL / "chat.md").read_text()
    assert [name for name in COMMANDS if not re.search(rf"`{name}\b", text)] == []


def test_help_and_the_manual_list_the_same_commands() -> None:
    """The table of the page about the chat has the commands that /help lists, and no others."""
    from flue_cli.repl.slash import COMMANDS

    section = (MANUAL / "chat.md").read_text().partition("\n## Commands\n")[2].partition("\n## ")[0]
    rows = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `/")]
    named = {name for row in rows for name in re.findall(r"`(/[a-z]+)", row)}
    assert named == set(COMMANDS) - {"/help", "/exit", "/quit"}


def test_every_path_of_the_contributing_page_is_there() -> None:
    """A path in backticks, from the project's folder or from flue_cli, exists."""
    text = (MANUAL / "contributing.md").read_text()
    paths = {path for path in re.findall(r"`([\w./]+(?:/|\.py|\.md|\.toml))`", text) if "NAME" not in path}
    paths |= set(re.findall(r"\btests/\S+\.py\b", text))
    assert len(paths) > 30
    assert [
        path for path in paths if not any((root / path).exists() for root in (PROJECT, PROJECT / "flue_cli"))
    ] == []
