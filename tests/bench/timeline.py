"""What going back, keeping every change and forking cost on a long timeline.

    python tests/bench/timeline.py [FOLDER]

FOLDER is where the store is made: put it on the disk that you ask about. The session has 10,000 turns;
its data is a list of 2,000 entries of about 50 characters, of which every turn replaces one. Four questions:

  rewind   moving to a random turn, above the bare commit that it contains (the worst of 50)
  read     the data after a random turn (the worst of 50)
  bytes    what a turn adds to the store, against three times its change and 300 bytes for the turn
  fork     an independent copy of all of it (the median of 5)
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import BegunTurn, SessionHead, TurnRequest, TurnResult

TURNS = 10_000
ENTRIES = 2_000
ENTRY = 50
LIMITS = {"rewind": 50.0, "read": 50.0, "bytes": 3.0 * ENTRY + 300, "fork": 100.0}


def unhurried(seconds: float, holder: object) -> None:
    """Nobody else is there."""
    raise AssertionError("somebody else is there")


def grow(store: Store, dice: random.Random) -> list[str]:
    """Make the session; the data after some of its turns, by turn."""

    def entry() -> str:
        return f"{dice.getrandbits(4 * 2 * ENTRY):x}"[: ENTRY + dice.randint(-10, 10)]

    entries = [entry() for _ in range(ENTRIES)]
    remembered = [""] * (TURNS + 1)
    for number in range(1, TURNS + 1):
        begun = store.begin(TurnRequest("bench", "long", f"change {number}", wait=0), unhurried)
        assert isinstance(begun, BegunTurn)
        entries[dice.randrange(ENTRIES)] = entry()
        data = json.dumps({"entries": entries}, separators=(",", ":"))
        if number % 97 == 0:
            remembered[number] = data
        store.commit(begun.lease, TurnResult(reply="changed", messages=(), data=data, meta={}))
    return remembered


def milliseconds(act: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    act()
    return (time.perf_counter() - began) * 1000


def bare_commit(path: Path) -> Callable[[], object]:
    """One row changed, durably."""
    db = sqlite3.connect(path, isolation_level=None)
    for statement in (
        "PRAGMA journal_mode = WAL",
        "PRAGMA synchronous = FULL",
        "CREATE TABLE session (id INTEGER PRIMARY KEY, head INTEGER)",
        "INSERT INTO session VALUES (1, 0)",
    ):
        db.execute(statement)

    def commit() -> None:
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE session SET head = head + 1 WHERE id = 1")
        db.execute("COMMIT")

    return commit


def size(path: Path) -> int:
    """The bytes of a store that nobody has open."""
    return sum(os.path.getsize(file) for file in path.parent.glob(f"{path.name}*") if file.is_file())


def show(name: str, found: float, unit: str, details: str) -> None:
    """One line of figures."""
    print(f"{name:8}{found:10.1f}{LIMITS[name]:10.1f} {unit:6} {details}", flush=True)


def rewinding(store: Store, dice: random.Random, commit: Callable[[], object]) -> None:
    """Fifty moves to turns anywhere, and as many bare commits between them."""
    moves, bare = [], []

    def there() -> SessionHead:
        head = store.head("bench", "long")
        return store.move_head(head, dice.randint(0, TURNS), wait=0, pause=unhurried)

    for _ in range(50):
        bare.append(milliseconds(commit))
        moves.append(milliseconds(there))
    least = statistics.median(bare)
    above = f"median {statistics.median(moves) - least:.1f}, above a bare commit of {least:.1f}"
    show("rewind", max(moves) - least, "ms", above)
    store.move_head(store.head("bench", "long"), TURNS, wait=0, pause=unhurried)


def reading(store: Store, dice: random.Random, remembered: list[str]) -> None:
    """Fifty times the data after a turn anywhere; some are compared with what they were."""
    head = store.head("bench", "long")
    for number, data in enumerate(remembered):
        assert not data or store.data_at(head, number) == data, f"the data after turn {number}"
    times = [milliseconds(lambda: store.data_at(head, dice.randint(1, TURNS))) for _ in range(50)]
    show("read", max(times), "ms", f"median {statistics.median(times):.1f}")


def main() -> None:
    """Measure and print."""
    dice = random.Random(7)
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        folder = Path(place)
        path = folder / "flue.db"
        store = open_store(str(path))
        print(f"{'':8}{'found':>10}{'limit':>10}")
        remembered = grow(store, dice)
        store.close()
        per_turn = size(path) / TURNS
        rewinding(store, dice, bare_commit(folder / "bare.db"))
        reading(store, dice, remembered)
        show("bytes", per_turn, "bytes", f"a turn, of which about {ENTRY} are the change")
        head = store.head("bench", "long")
        times = [milliseconds(partial(store.fork, head, f"fork {number}")) for number in range(5)]
        show("fork", statistics.median(times), "ms", f"worst {max(times):.1f}")
        store.close()


if __name__ == "__main__":
    main()
