"""A turn whose writes fail, or whose process dies, at every write and sync of the store's file.

The faults are injected into the system calls of the real command by strace.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest
from support.requirements import needs

from flue_cli.jsondata.strict import loads
from flue_cli.stores import open_store
from flue_cli.stores.records import BegunTurn, TurnRequest, TurnResult

if TYPE_CHECKING:
    from conftest import Flue

SHOWN = {
    "first": "Nice to meet you, Ada! How can I help?\n",
    "second": 'Hello again, Ada! You said: "second"\n',
}
FAULTS = {
    "killed at a write": ("pwrite64", "signal=KILL"),
    "killed at a sync": ("fsync,fdatasync", "signal=KILL"),
    "killed at a cut": ("ftruncate", "signal=KILL"),
    "a write fails": ("pwrite64", "error=EIO"),
    "no room for a write": ("pwrite64", "error=ENOSPC"),
    "a sync fails": ("fsync,fdatasync", "error=EIO"),
    "no room at a sync": ("fsync,fdatasync", "error=ENOSPC"),
    "a cut fails": ("ftruncate", "error=EIO"),
}


@pytest.fixture(autouse=True)
def strace() -> None:
    """These tests inject faults with strace."""
    works = (
        shutil.which("strace")
        and not subprocess.run(["strace", "-o", os.devnull, "true"], check=False).returncode
    )
    needs(works, "a strace that works")


class Hit(NamedTuple):
    """A run of the command with a fault in it; `code` as a shell reports it."""

    code: int
    out: str
    err: str


def run_with_fault(flue: Flue, calls: str, fault: str, number: int, *arguments: str) -> Hit | None:
    """Run the command, with a fault at its `number`th of `calls`; None if it makes no so many."""
    log = flue.folder / "strace.log"
    # With seccomp only the calls in question stop the process, four times as fast; signals get lost then.
    quick = ["--seccomp-bpf"] if fault.startswith("error") else []
    done = subprocess.run(
        ["strace", "-f", *quick, "-o", log, "-e", f"trace={calls}", "-e", f"inject={calls}:{fault}:when={number}",
         *flue.command, *arguments],
        env=flue.env | {"PYTHONDONTWRITEBYTECODE": "1"}, cwd=flue.folder,
        stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    said = log.read_text()
    if "INJECTED" not in said and "killed by SIGKILL" not in said:
        assert done.returncode == 0, done
        return None
    code = 128 - done.returncode if done.returncode < 0 else done.returncode
    return Hit(code, done.stdout, done.stderr)


def check(path: Path, turns: list[str], last: str, hit: Hit) -> str:
    """What became of the prompt `last`, after `turns`: nothing half, nothing lost, and the session is free."""
    with closing(open_store(str(path))) as store:
        assert [finding for finding in store.health() if finding.level == "problem"] == []
        head = store.head("greeting", "a")
        entries = list(store.entries(head, 1, head.turn, with_data=True))
        running = store.unsettled_prompt(head)
        history = store.messages(head, 0, head.messages)
        begun = store.begin(TurnRequest("greeting", "a", "after", wait=0), lambda *_: None)
        assert isinstance(begun, BegunTurn)
        settled = store.commit(
            begun.lease, TurnResult(reply="ok", messages=(), data=begun.lease.data, meta={})
        )
        assert store.data_at(settled, settled.turn) == begun.lease.data

    completed = [entry.prompt for entry in entries if entry.outcome == "completed"]
    assert completed in (turns, [*turns, last])
    assert [message.content for message in history[::2]] == completed
    assert [entry.prompt for entry in entries[: len(turns)]] == turns
    assert all(loads(entry.data) == {"userName": "Ada"} for entry in entries)
    if len(completed) > len(turns):
        assert running is None
        assert entries[-1].reply == SHOWN[last].removesuffix("\n")
        assert begun.lease.turn == len(completed) + 1
        return "saved"
    assert hit.code != 0, "an acknowledged turn is not there"
    if running:
        assert (running.prompt, running.outcome) == (last, "interrupted")
        assert begun.interrupted
        assert begun.interrupted.prompt == last
        return "interrupted"
    if len(entries) > len(turns):
        assert [entry.outcome for entry in entries[len(turns) :]] == ["failed"]
        return "failed"
    assert begun.interrupted is None
    return "never began"


def faulty_turns(flue: Flue, fault: str, *, existing: bool) -> list[tuple[int, str, str]]:
    """(exit code, what became of the turn, what was said) for a fault at every call of a turn."""
    calls, inject = FAULTS[fault]
    pristine = flue.home.with_name("pristine")
    if existing:
        flue("chat", "greeting", "-s", "a", "my name is Ada", stdin=None)
    else:
        flue.home.mkdir(mode=0o700)
    flue.home.rename(pristine)
    turns, last = (["my name is Ada"], "second") if existing else ([], "my name is Ada")
    results: list[Any] = []
    for number in range(1, 200):
        shutil.copytree(pristine, flue.home)
        hit = run_with_fault(flue, calls, inject, number, "chat", "greeting", "-s", "a", last)
        if hit is None:
            return results
        assert "Traceback" not in hit.err
        if inject == "signal=KILL":
            assert hit.code == 128 + signal.SIGKILL
        elif hit.code:
            assert hit.code == 5, hit
            assert hit.err.startswith(f"error: the store {flue.store} ")
            assert len(hit.err.splitlines()) <= 2
        else:
            assert hit.err == ""
        if hit.code == 0:
            assert hit.out == SHOWN["second" if existing else "first"]
        if existing or flue.store.exists():
            results.append((hit.code, check(flue.store, turns, last, hit), hit.err))
        else:
            assert hit.code
            results.append((hit.code, "no store", hit.err))
        if inject != "signal=KILL":
            assert not list(flue.home.glob(".flue-*")), "a draft was left behind"
        shutil.rmtree(flue.home)
    raise AssertionError("a turn does not make so many calls")


SHOWN["my name is Ada"] = SHOWN["first"]


@pytest.mark.slow
@pytest.mark.parametrize("fault", FAULTS)
def test_a_turn_with_a_fault(flue: Flue, fault: str) -> None:
    """Wherever a write or sync of a turn fails, or its process dies there: no half turn, one clear line.

    What was acknowledged is there, and the next prompt is answered at once.
    """
    results = faulty_turns(flue, fault, existing=True)
    outcomes = {outcome for _, outcome, _ in results}
    if fault in ("killed at a write", "a write fails", "no room for a write"):
        assert len(results) >= 10
        assert outcomes >= {"never began", "interrupted", "saved"}
    if fault == "no room for a write":
        causes = {err.splitlines()[0].partition(" cannot grow: ")[2] for _, _, err in results if err}
        assert causes == {"the disk is full"}
    if "sync" in fault:
        assert len(results) >= 2
    if fault == "a sync fails":  # whether it is there cannot be known
        assert any("did not confirm what was written last" in err for _, _, err in results)


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["killed at a write", "killed at a sync", "a write fails", "a sync fails"])
def test_a_first_turn_with_a_fault(flue: Flue, fault: str) -> None:
    """The same while the store itself is being made: there is a whole one afterwards, or none."""
    results = faulty_turns(flue, fault, existing=False)
    assert len(results) >= 3
    outcomes = {outcome for _, outcome, _ in results}
    assert "no store" in outcomes
    assert outcomes & {"interrupted", "saved"}


@pytest.mark.parametrize(
    ("error", "message", "hint"),
    [
        ("EDQUOT", "cannot grow: your quota is used up", "free some space"),
        ("ENOSPC", "cannot grow: the disk is full", "free some space"),
        ("EIO", "failed: disk I/O error", "the disk fails"),
    ],
)
def test_a_disk_that_takes_nothing(flue: Flue, error: str, message: str, hint: str) -> None:
    """A disk that refuses every write is described with its own reason, and nothing is lost."""
    assert flue("chat", "greeting", "-s", "a", "my name is Ada", stdin=None).code == 0
    done = subprocess.run(
        ["strace", "-f", "--seccomp-bpf", "-o", os.devnull, "-e", "trace=pwrite64",
         "-e", f"inject=pwrite64:error={error}", *flue.command, "chat", "greeting", "-s", "a", "hi"],
        env=flue.env, cwd=flue.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (5, "")
    assert message in done.stderr
    assert f"hint: {hint}" in done.stderr
    assert flue("chat", "greeting", "-s", "a", "hi", stdin=None).out.startswith("Hello again, Ada")


def test_doctor_on_a_disk_without_shared_memory(flue: Flue) -> None:
    """The check-up finds what the next turn would find, although the store can still be read there."""
    assert flue("chat", "greeting", "-s", "a", "my name is Ada", stdin=None).code == 0
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", os.devnull, "-P", f"{flue.store}-shm", "-e", "trace=mmap",
         "-e", "inject=mmap:error=ENODEV", *flue.command, "doctor"],
        env=flue.env, cwd=flue.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    problems = [line for line in done.stdout.splitlines() if line.startswith("problem")]
    assert (done.returncode, len(problems)) == (1, 1)
    assert "without shared memory" in problems[0]
    assert "1 sessions" in done.stdout


def test_a_disk_without_shared_memory(flue: Flue) -> None:
    """Where the store's shared memory cannot be mapped (9p, virtiofs), one sentence says so; nothing is lost."""
    assert flue("chat", "greeting", "-s", "a", "my name is Ada", stdin=None).code == 0
    done = subprocess.run(
        ["strace", "-f", "-qq", "-o", os.devnull, "-P", f"{flue.store}-shm", "-e", "trace=mmap",
         "-e", "inject=mmap:error=ENODEV", *flue.command, "chat", "greeting", "-s", "a", "hi"],
        env=flue.env, cwd=flue.folder, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (5, "")
    assert "without shared memory" in done.stderr
    assert "--store or FLUE_STORE" in done.stderr
    assert flue("chat", "greeting", "-s", "a", "hi", stdin=None).out.startswith("Hello again, Ada")
