"""Several processes on one store."""

from __future__ import annotations

import json
import subprocess
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Flue

COUNTING = """
def agent(prompt, session, context):
    session.data["count"] = session.data.get("count", 0) + 1
    assert len(session.history) == 2 * (session.data["count"] - 1)
    return f"{session.data['count']} {prompt}"
"""


@pytest.mark.slow
def test_no_turn_is_lost(flue: Flue) -> None:
    """8 processes x 25 turns on one session: exactly 200, each on the history of the one before."""
    flue.agent("counting", COUNTING)
    processes = [flue.start("chat", "counting", "-s", "shared", "--lines") for _ in range(8)]
    for number, process in enumerate(processes):
        process.end_input("".join(f"{number}.{line}\n" for line in range(25)).encode())
    results = [process.communicate(timeout=120) for process in processes]

    assert [(process.returncode, err) for process, (_, err) in zip(processes, results, strict=True)] == [
        (0, b"")
    ] * 8
    replies = [line.split() for out, _ in results for line in out.decode().splitlines()]
    assert sorted(int(count) for count, _ in replies) == list(range(1, 201))
    for number in range(8):
        mine = [(int(count), line) for count, line in replies if line.startswith(f"{number}.")]
        assert [line for _, line in sorted(mine)] == [f"{number}.{line}" for line in range(25)]
    found = json.loads(flue("sessions", "export", "shared", stdin=None).out)
    assert found["data"] == {"count": 200}
    assert [turn["messages"][1]["content"].split()[0] for turn in found["turns"]] == [
        str(n) for n in range(1, 201)
    ]


def test_sessions_do_not_wait_for_each_other(flue: Flue) -> None:
    """While a turn of one session runs, another session's is answered."""
    flue.agent(
        "slow", "import time\ndef agent(prompt, session, context):\n    yield 'begun\\n'\n    time.sleep(60)"
    )
    process = flue.start("chat", "slow", "-s", "a", "x", stdin=subprocess.DEVNULL)
    assert process.stdout.readline() == b"begun\n"

    assert flue("chat", "greeting", "-s", "a", "--wait", "0", "hi", stdin=None).code == 0
    assert flue("chat", "slow", "-s", "b", "--timeout", "0.1", "--wait", "0", "x", stdin=None).code == 124
    assert process.poll() is None


def test_first_runs_at_once(flue: Flue) -> None:
    """Six first runs at the same moment make one store, and all six turns are kept."""
    processes = [
        flue.start("chat", "greeting", "-s", f"s{n}", "hello", stdin=subprocess.DEVNULL) for n in range(6)
    ]

    assert [process.wait(timeout=60) for process in processes] == [0] * 6
    assert flue("sessions", "list", stdin=None).out.count("\n") == 6
    assert sorted(path.name for path in flue.home.iterdir()) == ["flue.db", "flue.db-owners", "log"]


def test_waiting_ends_with_the_turn_before(flue: Flue) -> None:
    """A prompt that waits is answered as soon as the session is free, not at the next second."""
    flue.agent(
        "nap",
        "import time\ndef agent(prompt, session, context):\n    time.sleep(0.5)\n    return str(time.time())",
    )
    first = flue.start("chat", "nap", "-s", "a", "x", stdin=subprocess.DEVNULL)
    time.sleep(0.3)
    second = flue.start("chat", "nap", "-s", "a", "y", stdin=subprocess.DEVNULL)

    ended = [float(process.communicate()[0]) for process in (first, second)]

    assert 0.5 <= abs(ended[1] - ended[0]) < 1.5
