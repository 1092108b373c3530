"""A check-up of the database file, for `flue doctor`: looks at everything and changes nothing."""

from __future__ import annotations

import os
import re
import shlex
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable, Iterator

from flue_cli.errors import SessionChanged, StoreDamaged
from flue_cli.stores.records import HealthFinding, SessionHead
from flue_cli.stores.sqlite import entry_codec, entry_queries, timeline
from flue_cli.stores.sqlite.file_errors import missing_feature, missing_feature_error
from flue_cli.stores.sqlite.schema import SCHEMA_VERSION
from flue_cli.stores.sqlite.search import fts_index
from flue_cli.stores.sqlite.session_rows import SELECT_SESSION, SessionRow, parse_session_row
from flue_cli.text import format_turns, session_label

_NETWORK_FILE_SYSTEMS = frozenset(
    "9p afs afpfs ceph cifs fuse.sshfs gfs2 glusterfs lustre nfs nfs4 ocfs2 smb3 smbfs webdav".split()
)
LOW_SPACE = 16 * 2**20
"""Bytes left on a disk below which that is a problem."""
_LARGE_WAL = 64 * 2**20
_MAX_DAMAGES = 20
"""Number of damages of one kind that are listed."""


def check_sqlite_version(version: tuple[int, int, int] = sqlite3.sqlite_version_info[:3]) -> HealthFinding:
    """Name this SQLite, and tell if it has the WAL-reset bug, which Flue itself avoids (see checkpoint.py).

    Source: SQLite's release notes, 3.51.3 (and the same fix in 3.50.7 and 3.44.6).
    """
    name = ".".join(map(str, version))
    mended = version >= (3, 51, 3) or (3, 50, 7) <= version < (3, 51) or (3, 44, 6) <= version < (3, 45)
    if mended:
        return HealthFinding("ok", f"SQLite {name}")
    return HealthFinding(
        "ok",
        f"SQLite {name}: any number of Flue processes may write to a store at once (its WAL-reset bug needs"
        " checkpoints beside writers, which Flue does not make)",
    )


def check_files(path: str) -> Iterator[HealthFinding]:
    """The file and its folder: who may read and write there, and how long the log is."""
    folder = os.path.dirname(path)
    files = [(file, 0o077, 0o600) for file in (path, f"{path}-wal", f"{path}-shm")]
    for place, forbidden, right in (*files, (folder, 0o022, 0o700)):
        try:
            found = os.stat(place)
        except FileNotFoundError:
            continue
        mode = stat.S_IMODE(found.st_mode)
        # Nobody takes a file out of a folder with the sticky bit (/tmp) but its owner.
        if mode & forbidden and not mode & stat.S_ISVTX:
            what = "written to" if place == folder else "read"
            advice = f"chmod {right:o} {shlex.quote(place)}"
            yield HealthFinding("problem", f"{place} can be {what} by others ({mode:04o})", advice)
        if found.st_uid != os.geteuid() and place == path:
            yield HealthFinding("note", f"{place} belongs to another user (uid {found.st_uid})")
    if os.path.exists(f"{path}-wal") and os.path.getsize(f"{path}-wal") > _LARGE_WAL:
        size = os.path.getsize(f"{path}-wal") // 2**20
        advice = "it is emptied when no process has the store open"
        yield HealthFinding("note", f"the store's write-ahead log has grown to {size} MiB", advice)


def check_disk(path: str) -> Iterator[HealthFinding]:
    """The disk that the store at `path` is on, or will be: its kind, what it lacks, and its room."""
    folder = os.path.dirname(path)
    while not os.path.isdir(folder) and folder != os.path.dirname(folder):
        folder = os.path.dirname(folder)
    kind = file_system_type(folder)
    if kind in _NETWORK_FILE_SYSTEMS:
        yield HealthFinding(
            "problem",
            f"{folder} is on a network file system ({kind}), where SQLite's locks cannot be relied on",
            "move the store to a disk of this machine, and name it with --store or FLUE_STORE",
        )
    elif feature := missing_feature(folder):
        error = missing_feature_error(path, feature)
        yield HealthFinding("problem", error.message, error.hint)
    room = os.statvfs(folder)
    if room.f_bavail * room.f_frsize < LOW_SPACE:
        left = room.f_bavail * room.f_frsize // 2**20
        yield HealthFinding("problem", f"{folder} has {left} MiB left", "free some space")


def check_content(db: sqlite3.Connection, is_held: Callable[[SessionRow], bool]) -> Iterator[HealthFinding]:
    """The tables, every row, and what crashed turns left behind; `is_held` tells a lease that stands."""
    (version,) = db.execute("PRAGMA user_version").fetchone()
    (sessions,) = db.execute("SELECT count(*) FROM session").fetchone()
    (entries,) = db.execute("SELECT count(*) FROM entry").fetchone()
    yield HealthFinding(
        "ok", f"schema {version} of {SCHEMA_VERSION}, {sessions} sessions, {format_turns(entries)}"
    )
    damaged = False
    for finding in check_rows(db):
        damaged = True
        yield finding
    if not damaged:  # else it would only say the same again
        yield from fts_index.check_index(db)
    for head in _interrupted_sessions(db, is_held):
        yield HealthFinding(
            "note",
            f"turn {head.turn + 1} of {session_label(head)} was interrupted",
            "nothing to do: the session's next prompt reports it",
        )


def check_rows(
    db: sqlite3.Connection, advance: Callable[[int, int], object] | None = None
) -> Iterator[HealthFinding]:
    """Yield the faults of the file and of every row: as a rule none.

    `advance` is called with how many sessions were looked at, of how many.
    """
    advice = "restore the store from a backup"
    for (said,) in db.execute(f"PRAGMA integrity_check({_MAX_DAMAGES})").fetchall():
        if said != "ok":
            yield HealthFinding("problem", f"the file is damaged: {said}", advice)
    for table, row, parent, _ in db.execute("PRAGMA foreign_key_check").fetchmany(_MAX_DAMAGES):
        yield HealthFinding("problem", f"row {row} of table {table} belongs to no {parent}", advice)
    for number, damage in enumerate(_row_damages(db, advance)):
        if number == _MAX_DAMAGES:
            yield HealthFinding("problem", f"there are more than {_MAX_DAMAGES} damages", advice)
            break
        yield HealthFinding("problem", damage, "the turns before it can still be exported; " + advice)


def _row_damages(db: sqlite3.Connection, advance: Callable[[int, int], object] | None) -> Iterator[str]:
    """Yield the faults of rows that are sound for SQLite itself, each with its session and turn."""
    rows = db.execute(f"{SELECT_SESSION} ORDER BY s.uid").fetchall()
    for number, row in enumerate(rows):
        if advance:
            advance(number, len(rows))
        try:
            head = timeline.redo_head(db, parse_session_row(row))
        except StoreDamaged as error:
            yield error.message
            continue
        told = set()
        rows_of_entries = db.execute(
            f"SELECT {entry_codec.ENTRY_COLUMNS} FROM entry WHERE session = ? ORDER BY id",  # noqa: S608 - our own words
            (head.uid,),
        )
        for entry in rows_of_entries:
            try:
                entry_codec.decode_entry(entry_codec.EntryRow._make(entry), head.name)
            except StoreDamaged as error:
                told.add(error.message)
                yield f"{session_label(head)}: {error.message}"
        try:
            for _ in entry_queries.read_entries(db, head, 1, head.turn, with_data=True):
                continue
        except SessionChanged:  # only now
            continue
        except StoreDamaged as error:  # the turns behind it rest upon its data
            if error.message not in told:
                yield f"{session_label(head)}: {error.message}"


def _interrupted_sessions(
    db: sqlite3.Connection, is_held: Callable[[SessionRow], bool]
) -> Iterator[SessionHead]:
    for row in db.execute(f"{SELECT_SESSION} WHERE s.running IS NOT NULL ORDER BY s.uid").fetchall():
        try:
            state = parse_session_row(row)
        except StoreDamaged:  # told with the damages
            continue
        if not is_held(state):
            yield state.head


def file_system_type(folder: str) -> str:
    """Name the type of the file system that `folder` is on; "" where it cannot be told."""
    try:
        if sys.platform == "linux":
            with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:
                lines = [line.split(" - ") for line in file]
            mounts = [(left.split()[4], right.split()[0]) for left, right in lines]
        else:
            said = subprocess.run(["mount"], capture_output=True, text=True, check=True).stdout
            mounts = [
                (place, kind.partition(",")[0].rstrip(")"))
                for line in said.splitlines()
                for place, _, kind in [line.partition(" on ")[2].rpartition(" (")]
            ]
    except (OSError, ValueError, IndexError, subprocess.CalledProcessError):
        return ""
    path = os.path.realpath(folder).rstrip("/") + "/"
    places = [(_decode_mount_path(place).rstrip("/") + "/", kind) for place, kind in mounts]
    around = [
        (len(place), number, kind) for number, (place, kind) in enumerate(places) if path.startswith(place)
    ]
    return max(around)[2] if around else ""  # of two mounts on one place, the later one is seen


def _decode_mount_path(place: str) -> str:
    """A path of /proc/self/mountinfo, where blanks and backslashes are octal; see proc(5)."""
    return re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), place)
