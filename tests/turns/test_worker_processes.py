"""Agents that spread their work over processes which start anew."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Flue

POOL = """
import multiprocessing, sys
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from .numbers import square

@dataclass
class Number:
    value: int

    def squared(self):
        if self.value == 13:
            raise ValueError("unlucky")
        return Number(square(self.value))

def agent(prompt, session, context):
    kind, _, first = prompt.partition(" ")
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context(kind)) as pool:
        results = pool.map(Number.squared, [Number(int(first)), Number(2)])
        return str([number.value for number in results])
"""


@pytest.mark.parametrize("kind", ["fork", "spawn", "forkserver"])
@pytest.mark.parametrize("place", ["user", "--agents"])
def test_functions_and_classes_are_known_in_workers(flue: Flue, kind: str, place: str) -> None:
    """A worker process of each kind gets the agent's functions, classes and the modules beside it."""
    path = flue.agent("some-pool", POOL)
    path.with_name("numbers.py").write_text("def square(x):\n    return x * x\n")
    options = []
    if place == "--agents":
        path.parent.rename(flue.folder / "elsewhere")
        options = ["--agents", "elsewhere"]
    command = ["chat", "some-pool", "-s", "a", *options]
    done = flue.start(*command, f"{kind} 3", stdin=subprocess.DEVNULL)
    out, err = done.communicate(timeout=60)

    assert (done.returncode, out.decode(), err.decode()) == (0, "[9, 4]\n", "")


def test_a_failure_in_a_worker_is_the_agents(flue: Flue) -> None:
    """An exception of a spawned worker fails the turn as if it had been raised in the agent."""
    flue.agent("some-pool", POOL.replace("from .numbers import square", "square = abs"))
    failed = flue.start("chat", "some-pool", "-s", "a", "spawn 13", stdin=subprocess.DEVNULL)
    _, err = failed.communicate(timeout=60)

    assert failed.returncode == 1
    assert "some-pool.py:" in err.decode()
    assert "ValueError: unlucky" in err.decode()


def test_a_worker_leaves_nothing_beside_the_agent(flue: Flue) -> None:
    """No compiled file appears in the agent's folder, neither from the command nor from its workers."""
    path = flue.agent("some-pool", POOL)
    path.with_name("numbers.py").write_text("def square(x):\n    return x * x\n")
    done = flue.start("chat", "some-pool", "-s", "a", "spawn 3", stdin=subprocess.DEVNULL)
    done.communicate(timeout=60)

    assert done.returncode == 0
    assert sorted(file.name for file in path.parent.iterdir()) == ["numbers.py", "some-pool.py"]
