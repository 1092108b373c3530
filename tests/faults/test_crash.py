"""What is left when a process is killed in the middle of a turn."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from conftest import Flue

KILLED_AT = Path(__file__).parents[1] / "support" / "run_killed_at.py"


def turns(flue: Flue, session: str) -> list[tuple[int, str, str]]:
    """(turn, outcome, prompt) of every settled turn."""
    found = json.loads(flue("sessions", "export", session, stdin=None).out)["turns"]
    return [(turn["turn"], turn["outcome"], turn["messages"][0]["content"]) for turn in found]


@pytest.mark.slow
def test_killed_at_every_statement(flue: Flue) -> None:
    """Wherever a turn is killed: no half turn, the prompt is reported, the next is answered at once."""
    outcomes = []
    for place in range(1, 100):
        session = f"s{place}"
        flue("chat", "greeting", "-s", session, "my name is Ada", stdin=None)
        killed = subprocess.run(
            [sys.executable, KILLED_AT, str(place), "chat", "greeting", "-s", session, "second"],
            env=flue.env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
        )
        after = turns(flue, session)
        shown = flue("sessions", "show", session, stdin=None).out
        nextly = flue("chat", "greeting", "-s", session, "--wait", "0", "--json", "third", stdin=None)
        settled = turns(flue, session)

        assert nextly.code == 0, nextly
        document = json.loads(nextly.out)
        assert document["reply"] == 'Hello again, Ada! You said: "third"'
        assert document["data"] == {"userName": "Ada"}
        assert settled[0] == (1, "completed", "my name is Ada")
        assert settled[-1] == (document["turn"], "completed", "third")
        if killed.returncode == 0:
            outcomes.append("finished")
            break
        assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, b"")
        if after[1:] == [(2, "completed", "second")]:
            outcomes.append("saved, not shown")
            assert nextly.err == ""
        elif after[1:]:
            outcomes.append("interrupted")
            assert after[1:] == [(2, "interrupted", "second")]
            assert "[2] (interrupted)\n> second\n" in shown
            assert settled[1] == (2, "interrupted", "second")
            assert nextly.err == "note: turn 2 was interrupted and not answered: second\n"
        else:
            outcomes.append("never began")
            assert len(settled) == 2
            assert nextly.err == ""

    assert outcomes[-1] == "finished"
    assert outcomes.count("interrupted") >= 4
    assert len(outcomes) > 10


def test_killed_while_the_agent_thinks(flue: Flue) -> None:
    """kill -9 during the agent: data and history as before, nothing is run again by itself."""
    flue.agent(
        "dies",
        "import os, signal\ndef agent(prompt, session, context):\n"
        '    session.data["runs"] = session.data.get("runs", 0) + 1\n'
        '    if prompt == "die":\n        os.kill(os.getpid(), signal.SIGKILL)\n'
        "    return f\"{session.data['runs']} {len(session.history)}\"",
    )
    assert flue("chat", "dies", "-s", "a", "one", stdin=None).out == "1 0\n"

    assert flue("chat", "dies", "-s", "a", "die", stdin=None).code == 128 + signal.SIGKILL

    done = flue("chat", "dies", "-s", "a", "--wait", "0", "two", stdin=None)
    assert done == (0, "2 2\n", "note: turn 2 was interrupted and not answered: die\n")
    assert [outcome for _, outcome, _ in turns(flue, "a")] == ["completed", "interrupted", "completed"]


def test_a_killed_turn_may_run_again_under_its_key(flue: Flue) -> None:
    """A retry with the key of a turn that was killed runs the agent, since nothing was kept."""
    flue.agent(
        "once",
        "import os, pathlib, signal\ndef agent(prompt, session, context):\n"
        '    mark = pathlib.Path(__file__).parent / "mark"\n'
        "    if not mark.exists():\n        mark.touch()\n        os.kill(os.getpid(), signal.SIGKILL)\n"
        '    return "second time"',
    )
    command = ("chat", "once", "-s", "a", "--turn-key", "k", "go")

    assert flue(*command, stdin=None).code == 128 + signal.SIGKILL
    assert flue(*command, stdin=None).out == "second time\n"


def test_a_prompt_that_a_crash_left_is_exported(flue: Flue) -> None:
    """What was accepted and not answered is in every export, also before the next prompt settles it."""
    flue.agent("dies", "import os, signal\ndef agent(prompt, session, context):\n    os.kill(os.getpid(), 9)")
    flue("chat", "dies", "-s", "a", "do not lose me", stdin=None)

    for form in ("json", "jsonl", "md", "txt", "script"):
        assert "do not lose me" in flue("sessions", "export", "a", "--format", form, stdin=None).out
    (turn,) = json.loads(flue("sessions", "show", "a", "--json", stdin=None).out)["turns"]
    assert (turn["turn"], turn["outcome"], turn["error"]["type"]) == (1, "interrupted", "interrupted")
