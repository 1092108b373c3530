"""Checkpoints: what the write-ahead log (WAL) holds is copied into the database file.

SQLite's own checkpoints run while others write. In versions without the fix of 3.51.3 (also in 3.50.7 and
3.44.6) this has a race, the WAL-reset bug: a commit that restarts the WAL just after a checkpoint has read
the WAL's end makes the checkpoint count pages as copied that are not, and a later one leaves them out. See
https://sqlite.org/wal.html#walresetbug.

Only a writer can restart the WAL. So SQLite's own checkpoints are switched off for every connection, and
Flue makes its checkpoints with one connection while another one of the same thread holds the write lock. The
checkpoint that SQLite makes when the last connection closes needs no such care: it has the file for itself.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing, suppress

from flue_cli.stores.sqlite.database_file import begin_immediate, open_database
from flue_cli.stores.sqlite.schema import SCHEMA_VERSION

DUE_FRAMES = 1000
"""Number of pages in the WAL from which a commit is followed by a checkpoint; SQLite's own default."""
_HEADER_BYTES = 32
_FRAME_HEADER_BYTES = 24
_PATIENCE = 0.25
"""Wait for the write lock, in seconds. A checkpoint that was due is due again after the next commit."""
_MAX_ATTEMPTS = 10


def checkpoint_if_due(db: sqlite3.Connection, path: str) -> None:
    """Make a checkpoint if the WAL of the store at `path` is long; a failure leaves it as it is.

    `db` is a connection to it that is in no transaction.
    """
    if not is_checkpoint_due(path):
        return
    with suppress(sqlite3.Error, OSError):  # what was committed is safe in the WAL
        run_checkpoint(db, path)


def run_checkpoint(db: sqlite3.Connection, path: str) -> bool:
    """Copy the WAL into the database file while `db` keeps writers out; True if all of it was copied.

    Raises sqlite3.Error.
    """
    begin_immediate(db, _PATIENCE)
    try:
        with closing(open_database(path)) as copier:
            copier.execute("PRAGMA synchronous = FULL")
            # PASSIVE, since the other modes would wait for the write lock. They fall back to it without one.
            _, in_wal, copied = copier.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        return bool(in_wal == copied)
    finally:
        if db.in_transaction:
            db.execute("ROLLBACK")


def empty_wal(db: sqlite3.Connection, path: str) -> None:
    """Remove from the WAL what was overwritten in the database file, unless a reader still needs it.

    Like `PRAGMA wal_checkpoint(TRUNCATE)`, which without the write lock would have the race described above:
    after a checkpoint, the next write restarts the WAL, and with a size limit cuts it too.
    """
    with suppress(sqlite3.Error, OSError):
        db.execute("PRAGMA journal_size_limit = 0")
        try:
            for _ in range(_MAX_ATTEMPTS):  # another process may write in between
                if not run_checkpoint(db, path):
                    return
                begin_immediate(db, _PATIENCE)
                db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")  # the same value: a write of one page
                db.execute("COMMIT")
                if not _has_frame(path, 2):
                    return
        finally:
            if db.in_transaction:
                db.execute("ROLLBACK")
            db.execute("PRAGMA journal_size_limit = -1")


def is_checkpoint_due(path: str) -> bool:
    """True if the WAL has DUE_FRAMES pages that were written since it was last restarted."""
    return _has_frame(path, DUE_FRAMES)


def _has_frame(path: str, number: int) -> bool:
    """True if the WAL has a frame of this number, from 1, of its present generation.

    The size of the file does not tell: a WAL that is restarted is overwritten. Every frame has the salt of
    the WAL's header then. See https://sqlite.org/fileformat2.html#walformat.
    """
    try:
        file = os.open(f"{path}-wal", os.O_RDONLY)
    except OSError:
        return False
    try:
        header = os.pread(file, _HEADER_BYTES, 0)
        page_bytes = int.from_bytes(header[8:12], "big")
        place = _HEADER_BYTES + (number - 1) * (_FRAME_HEADER_BYTES + page_bytes)
        frame = os.pread(file, _FRAME_HEADER_BYTES, place)
    finally:
        os.close(file)  # unlike the other two files, this one carries none of SQLite's locks
    return len(header) == _HEADER_BYTES and frame[8:16] == header[16:24]
