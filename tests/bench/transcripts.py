"""What writing a long conversation out and reading it in cost.

    python tests/bench/transcripts.py [FOLDER]

FOLDER is where the stores are made: put them on the disk that you ask about. The session has 50,000 turns, and
so 100,000 messages. Both ways are held against a bare loop of as many rows between sqlite3 and json:

  export   the session as jsonl into a file, against reading rows of one text and writing them as JSON
  import   that file into an empty store, against reading its lines and inserting a row for each

and the memory that a process of its own needs for it, against one that does so with a tenth of the turns.
"""

from __future__ import annotations

import json
import resource
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from flue_cli.stores import open_store
from flue_cli.stores.records import Entry

TURNS = 50_000
RATIO = 3.0
GROWTH = 8.0
"""Megabytes that ten times the turns may add."""


def entries(count: int) -> Iterator[Entry]:
    """A conversation of ordinary sentences, whose data changes a little with every turn."""
    for number in range(count):
        at = 1_700_000_000_000_000 + number * 1_000_000
        prompt = f"Please tell me what you know about number {number}, and about its neighbours."
        reply = f"The number {number} lies between {number - 1} and {number + 1}. " * 3
        data = json.dumps({"count": number, "last": prompt}, separators=(",", ":"))
        meta = {"source": "0" * 64, "seed": number}
        yield Entry(0, "prompt", "completed", None, prompt, reply, (), at, at, None, meta, data)


def seconds(act: Callable[[], object]) -> float:
    """How long it takes."""
    began = time.perf_counter()
    act()
    return time.perf_counter() - began


def export(folder: str) -> None:
    """Write the session out."""
    from flue_cli.transcripts import exporter

    store = open_store(f"{folder}/flue.db")
    with open(f"{folder}/out.jsonl", "w") as file:
        file.writelines(exporter("jsonl")(store, store.head("bench", "long"), 1))
    store.close()


def bring(folder: str) -> None:
    """Read it in."""
    from flue_cli.transcripts import reader
    from flue_cli.transcripts.detect_format import kind_of
    from flue_cli.transcripts.import_session import bring as bring_one
    from flue_cli.transcripts.import_source import Source

    store = open_store(f"{folder}/new.db")
    with Source(f"{folder}/out.jsonl") as source:
        for found in reader(kind_of(source))(source, print):
            bring_one(store, found, found.agent, found.name, again=False)
    store.close()


def bare_export(folder: str) -> None:
    """Every line as one text from a table, through json into a file."""
    db = sqlite3.connect(f"{folder}/bare.db")
    with open(f"{folder}/bare.jsonl", "w") as file:
        rows = db.execute("SELECT text FROM line ORDER BY id")
        file.writelines(json.dumps(json.loads(text)) + "\n" for (text,) in rows)
    db.close()


def bare_import(folder: str) -> None:
    """Every line through json into a table, durably."""
    db = sqlite3.connect(f"{folder}/bare.db")
    db.execute("PRAGMA journal_mode = WAL")
    db.execute("PRAGMA synchronous = FULL")
    db.execute("CREATE TABLE line (id INTEGER PRIMARY KEY, text TEXT)")
    with open(f"{folder}/out.jsonl") as file:
        for line in file:
            db.execute("INSERT INTO line (text) VALUES (?)", (json.dumps(json.loads(line)),))
    db.commit()
    db.close()


WORK = {"export": export, "import": bring}


def peak(what: str, folder: Path) -> float:
    """The megabytes that a process needs for it."""
    command = [sys.executable, __file__, "--only", what, str(folder)]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def made(folder: Path, turns: int) -> Path:
    """A folder with a store that has the session."""
    folder.mkdir()
    store = open_store(str(folder / "flue.db"))
    store.import_session("bench", "long", entries(turns))
    store.close()
    return folder


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        small, large = made(Path(place) / "small", TURNS // 10), made(Path(place) / "large", TURNS)
        ours = {"export": seconds(lambda: export(str(large))), "import": seconds(lambda: bring(str(large)))}
        bare = {"import": seconds(lambda: bare_import(str(large)))}
        bare["export"] = seconds(lambda: bare_export(str(large)))
        print(f"{'':8}{'seconds':>10}{'bare':>10}{'ratio':>10}{'limit':>10}")
        for what in WORK:
            ratio = ours[what] / bare[what]
            print(f"{what:8}{ours[what]:10.2f}{bare[what]:10.2f}{ratio:10.2f}{RATIO:10.1f}")
        print(f"\n{'':8}{'MB':>10}{'a tenth':>10}{'growth':>10}{'limit':>10}")
        for what in WORK:
            (large / "new.db").unlink(missing_ok=True)
            least, most = peak(what, small), peak(what, large)
            print(f"{what:8}{most:10.1f}{least:10.1f}{most - least:10.1f}{GROWTH:10.1f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--only"]:
        WORK[sys.argv[2]](sys.argv[3])
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    else:
        main()
