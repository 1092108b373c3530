"""A store as an older Flue left it."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from flue_cli.stores.sqlite.database_file import APPLICATION_ID


def copy_as_schema_1(path: Path, source: Path) -> None:
    """Make a store as a Flue before undo did, with the turns of `source`, in which nothing was undone."""
    from sqlite_utils import Database, Migrations

    from flue_cli.stores.sqlite.schema import sessions_and_entries

    old = Migrations("flue")
    old()(sessions_and_entries)
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("BEGIN IMMEDIATE")
        old.apply(Database(db, execute_plugins=False))
        db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        db.execute("PRAGMA user_version = 1")
        db.execute("COMMIT")
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("ATTACH ? AS source", (str(source),))
        for table in ("session", "entry"):
            columns = ", ".join(name for _, name, *_ in db.execute(f"PRAGMA main.table_info({table})"))
            db.execute(f"INSERT INTO main.{table} ({columns}) SELECT {columns} FROM source.{table}")
    path.chmod(0o600)
