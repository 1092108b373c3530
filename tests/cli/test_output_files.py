"""A store's files when they cannot be written, are damaged, or go away: one clear line, nothing lost."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.requirements import needs, needs_program

from flue_cli.stores import open_store

if TYPE_CHECKING:
    from conftest import Done, Flue

READING = (("sessions", "list"), ("sessions", "show", "a"), ("sessions", "export", "a"))
CHAT = ("chat", "greeting", "-s", "a", "--wait", "0", "hello")

# Root may write where the mode says that nobody may; without these capabilities it may not.
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []


def read(flue: Flue) -> list[str]:
    """What reading the store prints; every command must succeed."""
    results = [flue(*command, stdin=None) for command in READING]
    assert [(done.code, done.err) for done in results] == [(0, "")] * 3
    return [done.out for done in results]


def refused(done: Done, *words: str) -> None:
    """One clear line, a hint, the exit code of a store that failed, and no result."""
    lines = done.err.splitlines()
    assert (done.code, done.out) == (5, ""), done
    assert [line.partition(":")[0] for line in lines] == ["error", "hint"][: len(lines)], done
    assert all(word in lines[0] for word in words), done


def store_files(flue: Flue) -> dict[str, bytes]:
    """The store and what lies beside it."""
    return {path.name: path.read_bytes() for path in flue.home.glob("flue.db*") if path.is_file()}


@pytest.fixture
def talked(flue: Flue) -> Flue:
    """A store with a few turns, closed."""
    flue("chat", "greeting", "-s", "a", "--lines", stdin="my name is Ada\nhow are you?\n")
    return flue


@pytest.fixture
def unprivileged(talked: Flue) -> Flue:
    if UNPRIVILEGED:
        needs_program(UNPRIVILEGED[0])
    talked.command = [*UNPRIVILEGED, *talked.command]
    return talked


@contextmanager
def modes(**wanted: int) -> Iterator[None]:
    """Files and folders have these modes inside, so that the test's own folder can be removed after."""
    before = {path: os.stat(path).st_mode for path in wanted}
    try:
        for path, mode in wanted.items():
            os.chmod(path, mode)
        yield
    finally:
        for path, mode in before.items():
            os.chmod(path, mode)


# Where nothing can be written


@pytest.mark.parametrize("what", ["file", "folder", "both"])
def test_a_store_that_may_not_be_written_is_read(unprivileged: Flue, what: str) -> None:
    """A read-only file or folder is still read; a turn is refused in a line, and not a byte changes."""
    flue = unprivileged
    expected = read(flue)
    before = store_files(flue)
    wanted = {}
    if what in ("file", "both"):
        wanted[str(flue.store)] = 0o400
    if what in ("folder", "both"):
        wanted[str(flue.home)] = 0o500

    with modes(**wanted):
        assert read(flue) == expected
        refused(flue(*CHAT, stdin=None), str(flue.store), "is read-only")
        assert read(flue) == expected
        assert store_files(flue) == before

    assert flue(*CHAT, stdin=None).out == 'Hello again, Ada! You said: "hello"\n'


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own, 4 MiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mounted = (
        os.geteuid() == 0
        and not subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=4m,mode=700", "none", place],
            capture_output=True,
            check=False,
        ).returncode
    )
    needs(mounted, "root, to mount a small disk")
    yield place
    subprocess.run(["umount", "-l", place], check=True)


@pytest.fixture
def small(flue: Flue, disk: Path) -> Flue:
    """The command with its home on the small disk."""
    flue.home = disk / "home"
    flue.env["FLUE_HOME"] = str(flue.home)
    return flue


def fill(disk: Path) -> Path:
    """Leave not a byte free."""
    path = disk / "fill"
    with open(path, "ab", buffering=0) as file:
        for size in (65536, 4096, 1):
            try:
                while True:
                    file.write(b"x" * size)
            except OSError:
                continue
    assert os.statvfs(disk).f_bavail == 0
    return path


def test_a_read_only_disk(small: Flue, disk: Path) -> None:
    """A store on a disk that is read-only is read; a turn is refused in a line."""
    small("chat", "greeting", "-s", "a", "my name is Ada", stdin=None)
    expected = read(small)
    before = store_files(small)
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)

    assert read(small) == expected
    refused(small(*CHAT, stdin=None), "Read-only file system")
    assert store_files(small) == before


def test_a_read_only_disk_with_what_a_crash_left(small: Flue, disk: Path, tmp_path: Path) -> None:
    """When the last turns are still in the log, reading says so and what to do, and that helps."""
    small.agent("dies", "import os\ndef agent(a, b, c):\n    os.kill(os.getpid(), 9)")
    small("chat", "greeting", "-s", "a", "my name is Ada", stdin=None)
    small("chat", "dies", "-s", "b", "x", stdin=None)
    left = store_files(small)
    assert left["flue.db-wal"]
    (small.home / "flue.db-shm").unlink()  # a copy of the disk would not have it either
    subprocess.run(["mount", "-o", "remount,ro", disk], check=True)

    done = small("sessions", "list", stdin=None)
    refused(done, "its last turns are in", "flue.db-wal")
    assert "copy both files" in done.err
    for name in ("flue.db", "flue.db-wal"):
        shutil.copy(small.home / name, tmp_path / name)
    copied = small("sessions", "list", "--store", str(tmp_path / "flue.db"), stdin=None)
    assert [line.split("\t")[:2] for line in copied.out.splitlines()] == [["dies", "b"], ["greeting", "a"]]


def test_a_full_disk_makes_no_store(small: Flue, disk: Path) -> None:
    """With no room for a store, the first prompt is refused and leaves nothing; with room, it works."""
    (disk / "home").mkdir(mode=0o700)
    filler = fill(disk)
    refused(small(*CHAT, stdin=None), "the disk is full")
    assert store_files(small) == {}

    filler.unlink()
    assert small(*CHAT, stdin=None).code == 0


def test_a_full_disk_takes_no_turn_and_is_read(small: Flue, disk: Path) -> None:
    """With zero bytes free the conversations can be read, a turn is refused, and nothing is lost."""
    small("chat", "greeting", "-s", "a", "--lines", stdin="my name is Ada\nhow are you?\n")
    expected = read(small)
    filler = fill(disk)

    assert read(small) == expected
    refused(small(*CHAT, stdin=None), "the disk is full")
    assert read(small) == expected

    filler.unlink()
    assert small(*CHAT, stdin=None).out == 'Hello again, Ada! You said: "hello"\n'


def test_a_full_disk_is_read_after_a_crash(small: Flue, disk: Path) -> None:
    """Also what a killed process left in the log is read when there is not a byte of room."""
    small.agent("dies", "import os\ndef agent(a, b, c):\n    os.kill(os.getpid(), 9)")
    small("chat", "greeting", "-s", "a", "my name is Ada", stdin=None)
    expected = read(small)[2]
    small("chat", "dies", "-s", "b", "x", stdin=None)
    assert store_files(small)["flue.db-wal"]
    (small.home / "flue.db-shm").unlink()
    filler = fill(disk)

    assert small("sessions", "export", "a", stdin=None) == (0, expected, "")
    assert "[1] (interrupted)" in small("sessions", "show", "b", stdin=None).out
    filler.unlink()
    assert small(*CHAT, stdin=None).code == 0


def test_a_disk_that_fills_while_the_agent_thinks(small: Flue, disk: Path) -> None:
    """A turn whose end cannot be written is shown and said not to be saved; history and data stay whole."""
    small.agent(
        "fills",
        f"""
def agent(prompt, session, context):
    session.data["n"] = session.data.get("n", 0) + 1
    if prompt == "fill":
        session.data["much"] = "y" * 300_000
        with open({str(disk / "fill")!r}, "ab", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while True:
                        file.write(b"x" * size)
                except OSError:
                    continue
    return f"turn {{session.data['n']}}"
""",
    )
    chat = ("chat", "fills", "-s", "a", "--wait", "0")
    assert small(*chat, "one", stdin=None).out == "turn 1\n"

    done = small(*chat, "fill", stdin=None)
    assert (done.code, done.out) == (5, "turn 2\n")
    assert "the disk is full" in done.err
    exported = json.loads(small("sessions", "export", "a", stdin=None).out)
    outcomes = [(turn["outcome"], turn["data"]) for turn in exported["turns"]]
    assert outcomes == [("completed", {"n": 1}), ("interrupted", {"n": 1})]

    (disk / "fill").unlink()
    after = small(*chat, "two", stdin=None)
    assert after == (0, "turn 2\n", "note: turn 2 was interrupted and not answered: fill\n")


# Files that are not what was written


def test_no_command_touches_a_file_that_is_no_store(talked: Flue) -> None:
    """Garbage, an empty file and another program's database are refused by every command, bytes unchanged."""
    other = talked.folder / "other.db"
    with closing(sqlite3.connect(other)) as db:
        db.execute("CREATE TABLE session (uid INTEGER)")
    newer = talked.folder / "newer.db"
    shutil.copy(talked.store, newer)
    with closing(sqlite3.connect(newer)) as db:
        db.execute("PRAGMA user_version = 99")
    for content, words in (
        (b"", "is empty (0 bytes)"),
        (b"\0" * 100_000, "is not a Flue store"),
        (b"dear diary\n" * 1000, "is not a Flue store"),
        (other.read_bytes(), "is not a Flue store"),
        (newer.read_bytes(), "newer Flue"),
    ):
        talked.store.write_bytes(content)
        for command in (
            *READING,
            CHAT,
            ("sessions", "delete", "a", "--yes"),
            ("sessions", "rename", "a", "b"),
        ):
            refused(talked(*command, stdin=None), str(talked.store), words)
        assert store_files(talked) == {"flue.db": content}


@pytest.fixture
def long(flue: Flue) -> Flue:
    """A store of some 40 pages."""
    text = "".join(f"add task {number} {'x' * 300}\n" for number in range(60))
    flue("chat", "task-planner", "-s", "a", "--lines", stdin=text)
    flue("chat", "greeting", "-s", "b", "my name is Ada", stdin=None)
    return flue


@pytest.mark.slow
def test_a_damaged_page_is_never_taken_for_sound(long: Flue) -> None:
    """Whichever page is overwritten or cut off: reading gives what was written, or says what is wrong."""
    expected = long("sessions", "export", "a", stdin=None).out
    sound = long.store.read_bytes()
    page = int.from_bytes(sound[16:18], "big")
    noticed = 0
    damaged = [
        sound[:start] + b"\x5a" * page + sound[start + page :] for start in range(page, len(sound), page)
    ]
    damaged += [sound[:start] for start in range(page, len(sound), 5 * page)]
    damaged += [
        sound[: start + 100] + b"\xff" * 8 + sound[start + 108 :]
        for start in range(page, len(sound), 4 * page)
    ]
    for content in damaged:
        for side in ("-wal", "-shm"):
            Path(f"{long.store}{side}").unlink(missing_ok=True)
        long.store.write_bytes(content)
        done = long("sessions", "export", "a", stdin=None)
        if done.code:
            noticed += 1
            assert done.code == 5
            assert done.err.startswith("error: ")
            assert "Traceback" not in done.err
        else:
            assert done.out == expected
    assert noticed > len(damaged) // 3


COVERED = (
    "turn", "kind", "outcome", "key", "prompt", "reply", "messages", "error_type", "error_message", "meta",
    "total", "checksum", "data_checksum", "snapshot", "line", "session", "parent",
)  # fmt: skip


@pytest.mark.parametrize("column", COVERED)
def test_a_changed_column_is_noticed(talked: Flue, column: str) -> None:
    """If what one column of a turn holds is not what was written, reading it is refused or changes nothing."""
    expected = talked("sessions", "export", "a", stdin=None).out
    with closing(sqlite3.connect(talked.store)) as db:
        (value,) = db.execute(f"SELECT {column} FROM entry WHERE turn = 1").fetchone()
        changed = 77 if value is None or isinstance(value, int) else "x" + value[1:]
        db.execute(f"UPDATE entry SET {column} = ? WHERE turn = 1", (changed,))
        db.commit()

    done = talked("sessions", "export", "a", stdin=None)
    assert (done.code, "Traceback" in done.err) in ((5, False), (0, False)), done
    if done.code == 0:
        assert done.out == expected


def test_a_torn_log_keeps_what_was_whole(flue: Flue, tmp_path: Path) -> None:
    """However much of the log's end is missing or spoiled, the turns before it are there, whole."""
    flue.agent(
        "counts",
        "import os\ndef agent(prompt, session, context):\n    session.data['n'] = session.data.get('n', 0) + 1\n"
        "    if prompt == 'die':\n        os.kill(os.getpid(), 9)\n    return str(session.data['n'])",
    )
    flue("chat", "counts", "-s", "a", "--lines", stdin="1\n2\n3\n4\ndie\n")
    base, log = flue.store.read_bytes(), Path(f"{flue.store}-wal").read_bytes()
    header, frame = 32, 24 + int.from_bytes(base[16:18], "big")
    assert (len(log) - header) % frame == 0
    torn = [log[:size] for size in range(0, len(log), frame // 3)]
    torn += [
        log[: start + 50] + bytes([log[start + 50] ^ 1]) + log[start + 51 :]
        for start in range(header, len(log), frame)
    ]
    seen = set()
    for number, rest in enumerate(torn):
        path = tmp_path / f"{number}.db"
        path.write_bytes(base)
        path.chmod(0o600)
        tmp_path.chmod(0o700)
        Path(f"{path}-wal").write_bytes(rest)
        with closing(open_store(str(path))) as store:
            head = store.head("counts", "a")
            turns = list(store.entries(head, 1, head.turn, with_data=True))
            running = store.unsettled_prompt(head)
            problems = [finding.message for finding in store.health() if finding.level == "problem"]
        assert problems == []
        assert [(turn.prompt, turn.reply, turn.data) for turn in turns] == [
            (str(n), str(n), f'{{"n":{n}}}') for n in range(1, len(turns) + 1)
        ]
        seen.add((len(turns), running.prompt if running else None))
    assert len(seen) > 4
    assert (4, None) in seen


def test_a_store_that_goes_away_while_the_agent_thinks(flue: Flue) -> None:
    """When the file is removed or replaced during a turn, the reply is shown and said not to be saved."""
    flue.agent(
        "removes",
        "import os, shutil\ndef agent(prompt, session, context):\n"
        f"    path = {str(flue.store)!r}\n"
        "    if prompt == 'unlink':\n        os.unlink(path)\n"
        "    if prompt == 'replace':\n        shutil.copy(path, path + '.new')\n        os.replace(path + '.new', path)\n"
        "    return 'done'",
    )
    for prompt in ("unlink", "replace"):
        done = flue("chat", "removes", "-s", prompt, prompt, stdin=None)
        assert (done.code, done.out) == (5, "done\n")
        assert "was removed or replaced while in use: nothing was saved" in done.err
        for path in flue.home.glob("flue.db*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()


# A clock that is wrong


@pytest.fixture
def at(flue: Flue) -> Callable[..., Done]:
    """The command with its wall clock moved by so many seconds."""
    script = Path(__file__).parents[1] / "support" / "run_with_moved_clock.py"
    python, *_ = flue.command

    def moved(seconds: float, *arguments: str) -> Done:
        before, flue.command = flue.command, [python, str(script), str(seconds)]
        try:
            return flue(*arguments, stdin=None)
        finally:
            flue.command = before

    return moved


HOUR, DAY = 3600.0, 86400.0


def test_turns_keep_their_order_when_the_clock_jumps(flue: Flue, at: Callable[..., Done]) -> None:
    """With a clock an hour ahead, an hour back, 400 days back: turns are numbered and listed as they came."""
    for number, moved in enumerate((0, HOUR, -HOUR, -400 * DAY, 0), 1):
        done = at(moved, "chat", "journal", "-s", "a", "--wait", "0", f"entry {number}")
        assert (done.code, done.err) == (0, "")
        assert at(moved, "chat", "journal", "-s", f"b{number}", "--wait", "0", "x").code == 0

    exported = json.loads(flue("sessions", "export", "a", stdin=None).out)
    assert [turn["messages"][0]["content"] for turn in exported["turns"]] == [
        f"entry {n}" for n in range(1, 6)
    ]
    listed = [line.split("\t")[1] for line in flue("sessions", "list", stdin=None).out.splitlines()]
    assert listed == ["b5", "a", "b4", "b3", "b2", "b1"]


@pytest.mark.parametrize("moved", [HOUR, -HOUR, -400 * DAY])
@pytest.mark.parametrize("who", ["holder", "waiter"])
def test_a_wrong_clock_takes_no_turn_away(
    flue: Flue, at: Callable[..., Done], moved: float, who: str
) -> None:
    """While a turn runs, a process with another clock finds the session busy; once it ends, free."""
    flue.agent(
        "slow", "import time\ndef agent(prompt, session, context):\n    yield 'begun\\n'\n    time.sleep(60)"
    )
    python, *_ = flue.command
    script = str(Path(__file__).parents[1] / "support" / "run_with_moved_clock.py")
    usual = flue.command
    flue.command = [python, script, str(moved if who == "holder" else 0)]
    process = flue.start("chat", "slow", "-s", "a", "x", stdin=subprocess.DEVNULL)
    flue.command = usual
    assert process.stdout.readline() == b"begun\n"
    other = moved if who == "waiter" else 0

    busy = at(other, "chat", "greeting", "-s", "a", "--wait", "0", "y")
    assert busy.code == 0  # another agent's session of that name
    busy = at(other, "chat", "slow", "-s", "a", "--wait", "0.3", "y")
    assert busy.code == 4
    assert "is busy: another process (pid" in busy.err
    assert " -" not in busy.err.splitlines()[0]

    process.send_signal(signal.SIGKILL)
    process.wait()
    after = at(other, "chat", "slow", "-s", "a", "--wait", "0", "--timeout", "0.1", "y")
    assert (after.code, "turn 1 was interrupted" in after.err) == (124, True)
