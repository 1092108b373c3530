"""The README, run: its agents are written, its commands typed, its output compared."""

from __future__ import annotations

import importlib
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from router_server import running

PROJECT = Path(__file__).parent.parent
README = (PROJECT / "README.md").read_text()
BLOCK = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)


def test_the_readme_runs(tmp_path: Path) -> None:
    """Every console block prints what it shows, in the order of the page, in one empty folder."""
    env = {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(tmp_path),
        "LANG": "C.UTF-8",
        "COLUMNS": "80",
    }
    (tmp_path / "agents").mkdir()
    ran = 0
    for language, block in BLOCK.findall(README):
        if language == "python":
            path = block.partition("\n")[0].removeprefix("# ")
            (tmp_path / path).write_text(block)
        if language == "console":
            for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block, re.MULTILINE):
                done = subprocess.run(
                    ["bash", "-c", command], env=env, cwd=tmp_path, stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True,
                )  # fmt: skip
                assert done.stdout == expected, command
                ran += 1
    assert ran >= 12


def test_the_service_of_the_page_answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The page's program serves its agent over HTTP, and remembers."""
    (service,) = [
        block for language, block in BLOCK.findall(README) if language == "python" and "AgentRouter" in block
    ]
    (tmp_path / "service.py").write_text(service)
    monkeypatch.syspath_prepend(tmp_path)
    said = {"prompt": "hello", "sessionId": "a"}
    with running(importlib.import_module("service").app) as url:
        asked = [httpx.post(f"{url}/api/agent/greeting", json=said).text for _ in range(2)]
    assert asked == ["hello (1)", "hello (2)"]


def test_the_tests_are_run_as_the_readme_says() -> None:
    """The page's command for the tests is the one that everything lands by."""
    (command,) = [
        block for language, block in BLOCK.findall(README) if language == "sh" and "pytest" in block
    ]
    assert command in (PROJECT / ".ci" / "run").read_text()


def test_agents_are_typed(tmp_path: Path) -> None:
    """The page's agent and the samples pass a strict type checker, and a wrong key does not."""
    (agent,) = [
        block for language, block in BLOCK.findall(README) if language == "python" and "def agent" in block
    ]
    (tmp_path / "right.py").write_text(agent)
    (tmp_path / "wrong.py").write_text(agent.replace('data["count"] =', 'data["cuont"] ='))

    def checked(*files: Path) -> str:
        command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", os.devnull, *map(str, files)]
        return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False).stdout

    assert checked(tmp_path / "right.py", *sorted((PROJECT / "agents").glob("*.py"))).startswith("Success")
    assert 'TypedDict "CounterData" has no key "cuont"' in checked(tmp_path / "wrong.py")
