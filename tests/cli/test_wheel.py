"""The package as a stranger installs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

PROJECT = Path(__file__).parents[2]


@pytest.mark.slow
def test_a_wheel_in_an_empty_environment(tmp_path: Path) -> None:
    """Built, installed into an empty environment and run from an empty folder, the samples answer."""
    run: dict[str, Any] = {"check": True, "capture_output": True, "text": True, "timeout": 300}
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", PROJECT],
        **run,
    )
    (wheel,) = (tmp_path / "dist").glob("*.whl")
    subprocess.run([sys.executable, "-m", "venv", tmp_path / "venv"], **run)
    python = tmp_path / "venv" / "bin" / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", wheel], **run)
    folder = tmp_path / "empty"
    folder.mkdir()
    env = {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "LANG": "C.UTF-8"}
    here: dict[str, Any] = {"cwd": folder, "env": env, "input": ""} | run

    flue = tmp_path / "venv" / "bin" / "flue"
    assert subprocess.run([flue, "chat", "greeting", "-s", "a", "my name is Ada"], **here).stdout.startswith(
        "Nice"
    )
    again = subprocess.run([flue, "chat", "greeting", "--session", "a"], **(here | {"input": "hi"}))
    assert again.stdout == 'Hello again, Ada! You said: "hi"\n'
    assert subprocess.run([flue, "agents", "list"], **here).stdout.count("\tsample\t") == 3
    for page in (PROJECT / "flue_cli" / "manual").glob("*.md"):
        assert subprocess.run([flue, "help", page.stem], **here).stdout == page.read_text()
    assert list(folder.iterdir()) == []
    stores = list((tmp_path / "home").rglob("flue.db"))
    assert len(stores) == 1
