"""Turns of killed clients: each happened once, at one moment, or never; and the checker can say no."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.linearizability import Operation, linearizable

if TYPE_CHECKING:
    from conftest import Flue

APPENDING = """
import json

def agent(prompt, session, context):
    if prompt != "read":
        session.data.setdefault("tokens", []).append(prompt)
    said = [message.content for message in session.history if message.role == "user"]
    now = [] if prompt == "read" else [prompt]
    assert [token for token in said if token != "read"] + now == session.data.get("tokens", [])
    return json.dumps(session.data.get("tokens", []))
"""


def append(state: tuple[str, ...], token: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The model: a list that only grows."""
    after = state if token == "read" else (*state, token)
    return after, after


def fits(*history: Operation) -> bool:
    """Whether the list can have grown so; it only grows, so every state is a beginning of the last one seen."""
    seen = max((operation.result or () for operation in history), key=len, default=())

    def append_as_seen(state: tuple[str, ...], token: str) -> Any:
        after, result = append(state, token)
        return (after, result) if after[: len(seen)] == seen[: len(after)] else None

    return linearizable(history, (), append_as_seen)


def test_the_checker_accepts_what_can_have_happened() -> None:
    """One after the other, at the same time in either order, killed and happened, killed and never."""
    assert fits(Operation(0, "a", 1, ("a",)), Operation(2, "b", 3, ("a", "b")))
    assert fits(Operation(0, "a", 3, ("b", "a")), Operation(1, "b", 2, ("b",)))
    assert fits(Operation(0, "a"), Operation(1, "b", 2, ("b",)))
    assert fits(Operation(0, "a"), Operation(1, "b", 2, ("a", "b")))
    assert fits(Operation(0, "a"), Operation(1, "b", 2, ("b",)), Operation(3, "c", 4, ("b", "a", "c")))
    assert fits()


@pytest.mark.parametrize(
    "history",
    [
        [Operation(0, "a", 1, ("a",)), Operation(2, "b", 3, ("b",))],
        [Operation(0, "a", 1, ("a",)), Operation(2, "read", 3, ())],
        [Operation(0, "a", 3, ("a",)), Operation(1, "b", 2, ("b",))],
        [Operation(0, "a", 1, ("b", "a")), Operation(2, "b", 3, ("b",))],
        [Operation(0, "a"), Operation(1, "b", 2, ("a", "a", "b"))],
        [Operation(5, "a"), Operation(1, "b", 2, ("a", "b"))],
        [Operation(0, "a"), Operation(1, "read", 2, ("a",)), Operation(3, "read", 4, ())],
    ],
    ids=["lost update", "stale read", "both alone", "out of order", "twice", "before it began", "undone"],
)
def test_the_checker_refuses_what_cannot_have_happened(history: list[Operation]) -> None:
    """A lost update, a stale read, a turn that ran twice or before it was asked for are all found."""
    assert not fits(*history)


@pytest.mark.slow
def test_turns_of_killed_clients(flue: Flue) -> None:
    """Whoever is killed when, every session's turns can have happened one at a time, none lost or doubled."""
    flue.agent("appending", APPENDING)
    flue("chat", "appending", "-s", "x", "read", stdin=None)
    chance = random.Random(4711)
    plans = [
        [
            (
                chance.choice("ab"),
                f"{client}.{number}",
                chance.uniform(0.02, 0.25) if chance.random() < 0.5 else None,
            )
            for number in range(12)
        ]
        for client in range(4)
    ]

    def ask(session: str, token: str, kill_after: float | None) -> tuple[str, Operation]:
        command = ("chat", "appending", "-s", session, "--json", token)
        begin = time.monotonic()
        process = flue.start(*command, stdin=subprocess.DEVNULL)
        if kill_after is not None:
            try:
                process.wait(kill_after)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
        out, err = process.communicate(timeout=60)
        end = time.monotonic()
        if process.returncode == -signal.SIGKILL and not out.endswith(b"\n"):
            return session, Operation(begin, token)
        document: dict[str, Any] = json.loads(out)
        assert document["outcome"] == "completed", err
        assert document["data"] == {"tokens": json.loads(document["reply"])} or token == "read"
        return session, Operation(begin, token, end, tuple(json.loads(document["reply"])))

    with ThreadPoolExecutor(max_workers=4) as pool:
        clients = list(pool.map(lambda plan: [ask(*step) for step in plan], plans))
    operations = [step for steps in clients for step in steps]
    operations += [ask(session, "read", None) for session in "ab"]

    killed = sum(operation.was_killed for _, operation in operations)
    assert 5 < killed < 40
    for session in "ab":
        history = [operation for where, operation in operations if where == session]
        assert fits(*history)
        exported = json.loads(flue("sessions", "export", session, stdin=None).out)
        turns = [(turn["outcome"], turn["messages"][0]["content"]) for turn in exported["turns"]]
        assert [
            prompt for outcome, prompt in turns if outcome == "completed" and prompt != "read"
        ] == exported["data"]["tokens"]
        assert {outcome for outcome, _ in turns} <= {"completed", "interrupted"}
        assert flue("sessions", "list", stdin=None).code == 0


@pytest.mark.slow
def test_a_turn_that_was_stopped_too_long(flue: Flue) -> None:
    """Stopped past its lease and woken, a turn shows its reply, says it is not saved, and changes nothing."""
    flue.agent(
        "slow",
        "import time\ndef agent(prompt, session, context):\n"
        "    session.data['last'] = prompt\n    yield 'begun\\n'\n    time.sleep(0.2)\n    yield f'answer to {prompt}'",
    )
    python, *_ = flue.command
    flue.command = [python, str(Path(__file__).parents[1] / "support" / "run_with_short_lease.py"), "1"]
    stopped = flue.start("chat", "slow", "-s", "a", "one", stdin=subprocess.DEVNULL)
    assert stopped.stdout.readline() == b"begun\n"
    stopped.send_signal(signal.SIGSTOP)

    early = flue("chat", "slow", "-s", "a", "--wait", "0.1", "two", stdin=None)
    assert (early.code, "is busy" in early.err) == (4, True)
    # Far less than a usual lease lasts.
    taken = flue("chat", "slow", "-s", "a", "--wait", "8", "three", stdin=None)
    assert taken == (0, "begun\nanswer to three\n", "note: turn 1 was interrupted and not answered: one\n")

    stopped.send_signal(signal.SIGCONT)
    out, err = stopped.communicate(timeout=20)
    assert (stopped.returncode, out) == (4, b"answer to one\n")
    assert err.decode().splitlines() == [
        "error: turn 1 of session 'a' was not saved: another turn took the session over",
        "hint: a reply that was shown is not saved: send the prompt again",
    ]
    exported = json.loads(flue("sessions", "export", "a", stdin=None).out)
    assert [(turn["outcome"], turn["messages"][0]["content"]) for turn in exported["turns"]] == [
        ("interrupted", "one"),
        ("completed", "three"),
    ]
    assert exported["data"] == {"last": "three"}
