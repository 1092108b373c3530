"""What a turn costs on an open store, as ratios measured side by side in one run.

    python tests/bench/turns.py [FOLDER]

FOLDER is where the stores are made: put it on the disk that you ask about. Turns of Flue and of the
hand-written yardstick alternate, so that a drifting machine touches both, and a ratio is that of the
medians. Four questions:

  turn        a whole turn (begin, an agent that reads the newest 20 messages, commit) against
              hand-written sqlite3 that does the same two commits at synchronous=FULL
  flat        the same turn with 100,000 messages behind it against one with none
  bytes       the size of the store against the text in it, at 200 bytes a message
  processes   20 processes of 50 turns each on one session against one process doing 1000
"""

from __future__ import annotations

import os
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from flue_cli.agents.discovery import Agent
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import TurnRequest
from flue_cli.turns.cancellation import Cancellation
from flue_cli.turns.runner import Runner

TEXT = "x" * 200
ROUNDS = 400
LONG = 50_000
LIMITS = {"turn": 2.2, "flat": 1.15, "bytes": 1.6, "processes": 6.0}
COUNTING = """
def agent(prompt, session, context):
    session.data["count"] = session.data.get("count", 0) + 1
    return str(session.data["count"])
"""


def reads_twenty(prompt: str, session: object, context: object) -> str:
    """The agent of the first three questions."""
    assert all(message.content for message in session.history.last(20))  # type: ignore[attr-defined]
    return TEXT


def flue_turn(store: Store, name: str) -> Callable[[], None]:
    """One turn of the session `name`."""
    agent = Agent("bench", reads_twenty, "bench")
    runner = Runner(store)

    def turn() -> None:
        done = runner.run(agent, TurnRequest("bench", name, TEXT), cancellation=Cancellation())
        assert done.outcome == "completed"

    return turn


def by_hand(path: Path) -> Callable[[], None]:
    """The least that keeps a turn as safely: its prompt before the agent runs, its reply after.

    A row for the session with its data and a version that guards the second commit, a row for the turn.
    """
    db = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE session (id INTEGER PRIMARY KEY, agent TEXT, name TEXT, turns INTEGER, version INTEGER,"
        " data TEXT, running INTEGER, UNIQUE (agent, name))",
        "CREATE TABLE turn (id INTEGER PRIMARY KEY, session INTEGER, number INTEGER, outcome TEXT, prompt TEXT,"
        " reply TEXT, UNIQUE (session, number))",
        "INSERT INTO session VALUES (1, 'bench', 'a', 0, 0, '{}', NULL)",
    ):
        db.execute(statement)

    def turn() -> None:
        db.execute("BEGIN IMMEDIATE")
        session, turns, version, data = db.execute(
            "SELECT id, turns, version, data FROM session WHERE agent = 'bench' AND name = 'a'"
        ).fetchone()
        identity = db.execute(
            "INSERT INTO turn (session, number, outcome, prompt) VALUES (?, ?, 'running', ?)",
            (session, turns + 1, TEXT),
        ).lastrowid
        db.execute("UPDATE session SET running = ? WHERE id = ?", (identity, session))
        db.execute("COMMIT")
        newest = db.execute(
            "SELECT prompt, reply FROM turn WHERE session = ? AND outcome = 'completed'"
            " ORDER BY number DESC LIMIT 10",
            (session,),
        ).fetchall()
        assert all(text for texts in newest for text in texts)
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE turn SET outcome = 'completed', reply = ? WHERE id = ?", (TEXT, identity))
        done = db.execute(
            "UPDATE session SET turns = turns + 1, version = version + 1, running = NULL, data = ?"
            " WHERE id = ? AND version = ?",
            (data, session, version),
        )
        assert done.rowcount == 1
        db.execute("COMMIT")

    return turn


def ratio(one: Callable[[], None], other: Callable[[], None]) -> tuple[float, float, float]:
    """(median ratio, milliseconds of one, of the other) of turns taken in turn."""
    times: tuple[list[float], list[float]] = ([], [])
    for _ in range(ROUNDS):
        for turn, seconds in zip((one, other), times, strict=True):
            began = time.perf_counter()
            turn()
            seconds.append(time.perf_counter() - began)
    mine, theirs = (statistics.median(seconds[ROUNDS // 10 :]) * 1000 for seconds in times)
    return mine / theirs, mine, theirs


def size(path: Path) -> int:
    """The bytes of a store that nobody has open."""
    return sum(os.path.getsize(file) for file in path.parent.glob(f"{path.name}*") if file.is_file())


def processes(folder: Path) -> tuple[float, float, float]:
    """(ratio, seconds of 20 x 50 turns, of 1 x 1000), whole processes, the store made beforehand."""
    (folder / "counting.py").write_text(COUNTING)
    env = {"PATH": os.environ["PATH"], "HOME": str(folder), "FLUE_HOME": str(folder / "home")}

    def start(session: str, turns: int) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "flue_cli", "chat", "counting", "-s", session, "--lines"]
        process = subprocess.Popen(
            [*command, "--wait", "600", "--agents", str(folder)],
            env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )  # fmt: skip
        assert process.stdin
        process.stdin.write(b"go\n" * turns)
        process.stdin.close()
        process.stdin = None
        return process

    def took(session: str, count: int, turns: int) -> float:
        began = time.perf_counter()
        outputs = [process.communicate()[0] for process in [start(session, turns) for _ in range(count)]]
        seconds = time.perf_counter() - began
        counts = sorted(int(line) for output in outputs for line in output.split())
        assert counts == list(range(1, count * turns + 1)), "turns were lost"
        return seconds

    took("first", 1, 1)
    ratios = []
    for number in range(3):
        many, one = took(f"many{number}", 20, 50), took(f"one{number}", 1, 1000)
        ratios.append((many / one, many, one))
    return sorted(ratios)[1]


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        folder = Path(place)
        store = open_store(str(folder / "flue.db"))
        print(f"{'':12}{'ratio':>8}{'limit':>8}")

        def show(name: str, found: float, details: str) -> None:
            print(f"{name:12}{found:8.2f}{LIMITS[name]:8.2f}   {details}", flush=True)

        found, mine, theirs = ratio(flue_turn(store, "short"), by_hand(folder / "hand.db"))
        show("turn", found, f"{mine:.2f} ms against {theirs:.2f} ms by hand")

        grown = open_store(str(folder / "long.db"))
        turn = flue_turn(grown, "long")
        turn()
        grown.close()
        before = size(folder / "long.db")
        for _ in range(LONG):
            turn()
        grown.close()
        per_text = (size(folder / "long.db") - before) / (LONG * 2 * len(TEXT))
        found, mine, theirs = ratio(turn, flue_turn(grown, "new"))
        show("flat", found, f"{mine:.2f} ms after {2 * LONG:,} messages, {theirs:.2f} ms after none")
        show("bytes", per_text, f"of the text, at {len(TEXT)} bytes a message")
        grown.close()
        store.close()

        found, many, one = processes(folder)
        show("processes", found, f"20 x 50 turns {many:.2f} s, 1 x 1000 turns {one:.2f} s, exactly 1000 each")


if __name__ == "__main__":
    main()
