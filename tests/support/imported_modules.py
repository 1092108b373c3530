"""The modules that a command imports, and those that most commands must do without."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Flue

HEAVY_MODULES = {
    "rich",
    "prompt_toolkit",
    "sqlite_utils",
    "asyncio",
    "pydantic",
    "importlib.metadata",
    "hashlib",
    "logging",
}
MODULES = """
import json, os, sys
from flue_cli.cli import run_command
code = run_command(sys.argv[1:])
os.write(2, json.dumps(sorted(sys.modules)).encode())
sys.exit(code)
"""


def imported_modules(flue: Flue, *command: str) -> set[str]:
    """What is in sys.modules after the command."""
    done = subprocess.run(
        [sys.executable, "-c", MODULES, *command],
        input=b"hello",
        env=flue.env,
        capture_output=True,
        check=True,
    )
    return set(json.loads(done.stderr))
