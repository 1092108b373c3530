"""The write-ahead log is kept short, and no checkpoint is made while another connection could write.

SQLite before 3.51.3 can damage a database when it checkpoints beside a writer: its WAL-reset bug.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest
from support.requirements import needs
from support.store_processes import IMPORTS

from flue_cli.stores import open_store
from flue_cli.stores.records import BegunTurn, TurnRequest, TurnResult
from flue_cli.stores.sqlite.store import SqliteStore

WRITER, CHECKPOINTER = 120, 121
"""The bytes of the -shm file that SQLite locks to write and to make a checkpoint: see wal.c."""
WORK = (
    IMPORTS
    + """
if sys.argv[2] == "shared":
    store.share_commits()
def turn(name, number):
    begun = store.begin(TurnRequest("parrot", name, f"prompt {number}", wait=0), lambda *_: None)
    store.commit(begun.lease, TurnResult(reply="x" * 9000, messages=(), data=f'{{"n":{number}}}', meta={}))
for number in range(250):
    turn("main", number)
turn("other", 1)
store.search(["prompt"], limit=1)
store.reindex()
store.delete(store.head("parrot", "other"))
store.reclaim_space(20)
store.close()
"""
)


def hold_open(path: Path) -> SqliteStore:
    """Open a store with one turn, so that no other process is the last to close it."""
    store = SqliteStore(str(path))
    finish_turn(store, "first", "hello")
    return store


def finish_turn(store: SqliteStore, name: str, prompt: str) -> None:
    begun = store.begin(TurnRequest("parrot", name, prompt, wait=0), lambda *_: None)
    assert isinstance(begun, BegunTurn)
    store.commit(begun.lease, TurnResult(reply="ok", messages=(), data="{}", meta={}))


@pytest.mark.slow
@pytest.mark.parametrize("commits", ["own", "shared"])
def test_every_checkpoint_holds_the_write_lock(tmp_path: Path, commits: str) -> None:
    """Turns, a search, a delete and a clean-up make checkpoints only while they keep all writers out."""
    needs(
        shutil.which("strace")
        and not subprocess.run(["strace", "-o", os.devnull, "true"], check=False).returncode,
        "a strace that works",
    )
    log = tmp_path / "strace.log"
    with closing(hold_open(tmp_path / "flue.db")):
        subprocess.run(
            ["strace", "-f", "-y", "--seccomp-bpf", "-o", log, "-e", "trace=fcntl",
             sys.executable, "-c", WORK, tmp_path / "flue.db", commits],
            check=True, timeout=120,
        )  # fmt: skip
    locked: set[int] = set()
    checkpoints = 0
    pattern = re.compile(
        r"-shm>, F_SETLK, \{l_type=(\w+), l_whence=SEEK_SET, l_start=(\d+), l_len=(\d+)\}\) = 0"
    )
    for kind, start, length in pattern.findall(log.read_text()):
        place = set(range(int(start), int(start) + int(length)))
        locked = locked - place if kind == "F_UNLCK" else locked | place
        if kind == "F_WRLCK" and CHECKPOINTER in place:
            checkpoints += 1
            assert WRITER in locked
    assert checkpoints >= 4


@pytest.mark.parametrize("commits", ["own", "shared"])
def test_the_log_stays_short_while_the_store_is_open(tmp_path: Path, commits: str) -> None:
    """A process that never closes the store does not let its write-ahead log grow."""
    path = tmp_path / "flue.db"
    with closing(hold_open(path)) as store:
        if commits == "shared":
            store.share_commits()
        for number in range(60):
            finish_turn(store, "main", f"{number} " + "x" * 200_000)
        assert os.path.getsize(f"{path}-wal") < 6_000_000 < path.stat().st_size


def test_a_reader_does_not_stop_the_turns(tmp_path: Path) -> None:
    """While an export is being read, turns go on; the log becomes short again when it ends."""
    path = tmp_path / "flue.db"
    with closing(hold_open(path)) as store, closing(open_store(str(path))) as other:
        for number in range(3):
            finish_turn(store, "long", f"prompt {number}")
        head = other.head("parrot", "long")
        export = other.entries(head, 1, head.turn)
        first = next(export)
        for number in range(40):
            finish_turn(store, "main", f"{number} " + "x" * 200_000)
        assert [entry.prompt for entry in (first, *export)] == ["prompt 0", "prompt 1", "prompt 2"]
        grown = os.path.getsize(f"{path}-wal")
        for number in range(40):
            finish_turn(store, "main", f"{number} " + "x" * 200_000)
        assert os.path.getsize(f"{path}-wal") <= grown


def test_deleted_words_leave_the_log(tmp_path: Path) -> None:
    """What a deleted session said is in none of the store's files, even while others have it open."""
    path = tmp_path / "flue.db"
    with closing(hold_open(path)), closing(SqliteStore(str(path))) as store:
        finish_turn(store, "secret", "the word is quokka")
        assert b"quokka" in Path(f"{path}-wal").read_bytes()
        store.delete(store.head("parrot", "secret"))
        assert not any(b"quokka" in file.read_bytes() for file in tmp_path.glob("flue.db*") if file.is_file())
