"""A signal at any moment of a turn: no half turn, no traceback, the exit code that a shell expects."""

from __future__ import annotations

import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from flue_cli.stores import open_store
from flue_cli.stores.records import BegunTurn, TurnRequest, TurnResult

if TYPE_CHECKING:
    from conftest import Flue

SCRIPT = str(Path(__file__).parents[1] / "support" / "run_signalled_at.py")
REPLY = 'Hello again, Ada! You said: "hello"\n'
EVERY = 4
"""One in so many of the moments is tried with each signal, each with others."""


def interrupted(flue: Flue, signum: signal.Signals, moment: int) -> subprocess.CompletedProcess[str]:
    python, *_ = flue.command
    return subprocess.run(
        [python, SCRIPT, signum.name, str(moment), "chat", "greeting", "-s", "a", "--wait", "0", "hello"],
        env=flue.env, cwd=flue.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_at_any_moment(flue: Flue, signum: signal.Signals) -> None:
    """From the first import to the last statement: the turn is whole or cancelled, and the session free."""
    flue("chat", "greeting", "-s", "a", "my name is Ada", stdin=None)
    moments = int(interrupted(flue, signum, 0).stderr)
    assert moments > 50
    outcomes = set()
    for moment in range(1 + signum % EVERY, moments + 1, EVERY):
        done = interrupted(flue, signum, moment)
        assert "Traceback" not in done.stderr, (moment, done.stderr)
        assert all(
            line.startswith(("error: ", "hint: ", "cancelled")) for line in done.stderr.splitlines()
        ), done.stderr
        assert done.returncode in (-signum, 0)
        assert done.stdout in ("", REPLY)
        with closing(open_store(str(flue.store))) as store:
            head = store.head("greeting", "a")
            (last,) = store.entries(head, head.turn, head.turn, with_data=True)
            assert store.unsettled_prompt(head) is None
            assert last.data == '{"userName":"Ada"}'
            begun = store.begin(TurnRequest("greeting", "a", "next", wait=0), lambda *_: None)
            assert isinstance(begun, BegunTurn)
            assert begun.interrupted is None
            store.commit(begun.lease, TurnResult(reply="ok", messages=(), data=begun.lease.data, meta={}))
        if last.prompt == "hello":
            assert last.outcome in ("completed", "cancelled")
            if last.outcome == "completed":
                assert last.reply == REPLY.removesuffix("\n")
            else:
                assert (done.returncode, done.stdout) == (-signum, "")
            outcomes.add(last.outcome)
        else:
            assert (done.returncode, done.stdout) == (-signum, "")
            outcomes.add("never began")
    assert outcomes == {"never began", "cancelled", "completed"}


def test_a_broken_pipe_signal_changes_nothing(flue: Flue) -> None:
    """SIGPIPE itself is no reason to end: what cannot be written is noticed where it is written."""
    flue("chat", "greeting", "-s", "a", "my name is Ada", stdin=None)

    done = interrupted(flue, signal.SIGPIPE, 30)

    assert (done.returncode, done.stdout) == (0, REPLY)


@pytest.mark.slow
@pytest.mark.parametrize("options", [(), ("Summarise:",), ("--lines",)], ids=["prompt", "argument", "lines"])
def test_a_gigabyte_is_refused(flue: Flue, options: tuple[str, ...]) -> None:
    """1 GB on standard input is refused with exit code 2, in less than 150 MB of memory."""
    script = (
        "import os, resource, subprocess, sys\n"
        "done = subprocess.run(sys.argv[1:], stdin=0)\n"
        "peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss\n"
        "print(done.returncode, peak)"
    )
    python, *_ = flue.command
    source = subprocess.Popen(
        ["sh", "-c", "head -c 1000000000 /dev/zero | tr '\\0' x"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    with source:
        done = subprocess.run(
            [python, "-c", script, *flue.command, "chat", "greeting", "-s", "a", *options],
            env=flue.env, stdin=source.stdout, capture_output=True, text=True, check=True,
        )  # fmt: skip
        source.kill()
    code, peak = map(int, done.stdout.split())

    assert code == 2
    assert peak < 150 * 1024  # KiB, where Linux counts it
    assert "standard input has more than 16 MiB" in done.stderr
    assert not flue.store.exists()
