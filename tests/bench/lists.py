"""What lists and figures cost in a store with many sessions.

    python tests/bench/lists.py [FOLDER]

FOLDER is where the stores are made: put it on the disk that you ask about. One store has 50 sessions, the
other 10,000; in each, every session has two turns. Two questions:

  list     the newest 50 in the large store against all of the small one (the median of 200): the ratio
  command  the same for the whole command `flue sessions list` (the median of 15)

And three figures without a limit: how long statistics take of the large store, `--since`, and pruning it.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from flue_cli.agents.api import Message
from flue_cli.stores import open_store
from flue_cli.stores.contract import Store
from flue_cli.stores.records import Entry

SMALL, LARGE, SHOWN = 50, 10_000, 50
LIMIT = 1.2


def fill(store: Store, count: int) -> None:
    """Make `count` sessions of two turns."""
    for number in range(count):
        now = time.time_ns() // 1000
        entries = [
            Entry(
                turn=turn,
                kind="prompt",
                outcome="completed",
                key=None,
                prompt=f"prompt {turn} of session {number}: {'words ' * 30}",
                reply="an answer of a few words " * 20,
                messages=(Message("tool", "x" * 100),),
                started_at=now,
                finished_at=now + 1000,
                error=None,
                meta={},
                data=json.dumps({"turn": turn, "number": number}),
            )
            for turn in (1, 2)
        ]
        store.import_session(f"agent-{number % 7}", f"session {number}", entries)


def milliseconds(act: Callable[[], object], times: int) -> float:
    """The median of so many."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        act()
        found.append((time.perf_counter() - began) * 1000)
    return statistics.median(found)


def command(path: Path) -> Callable[[], object]:
    """The whole command on the store at `path`."""
    environment = os.environ | {"FLUE_HOME": str(path.parent / "home")}
    words = [sys.executable, "-m", "flue_cli", "sessions", "list", "--store", str(path)]
    return lambda: subprocess.run(words, stdout=subprocess.DEVNULL, env=environment, check=True)


def compared(name: str, small: float, large: float) -> None:
    """One line of figures."""
    print(f"{name:8}{small:10.2f}{large:10.2f} ms{large / small:8.2f}{LIMIT:8.1f}", flush=True)


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        paths = {count: Path(place) / f"{count}.db" for count in (SMALL, LARGE)}
        stores = {count: open_store(str(path)) for count, path in paths.items()}
        for count, store in stores.items():
            fill(store, count)
        print(f"{'':8}{SMALL:>10,}{LARGE:>10,}   {'ratio':>8}{'limit':>8}")
        compared(
            "list",
            *(milliseconds(partial(kept.sessions, limit=SHOWN), 200) for kept in stores.values()),
        )
        compared("command", *(milliseconds(command(path), 15) for path in paths.values()))
        kept = stores[LARGE]
        since = time.time_ns() // 1000 - 3600 * 1_000_000
        print(f"since   {milliseconds(lambda: kept.sessions(limit=SHOWN, since=since), 50):20.2f} ms")
        print(f"stats   {milliseconds(kept.statistics, 5):20.2f} ms")
        before = paths[LARGE].stat().st_size
        heads = [kept.head(one.agent, one.name) for one in kept.sessions()[: LARGE // 2]]
        began = time.perf_counter()
        for head in heads:
            kept.delete(head, seen_forks=[])
        print(f"delete  {(time.perf_counter() - began) * 1000 / len(heads):20.2f} ms a session")
        began = time.perf_counter()
        given_back = kept.reclaim_space(3.0)
        print(f"compact {(time.perf_counter() - began) * 1000:20.2f} ms, {given_back:,} of {before:,} bytes")
        for store in stores.values():
            store.close()


if __name__ == "__main__":
    main()
