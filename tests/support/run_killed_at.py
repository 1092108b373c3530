"""Run `flue`, and die by SIGKILL at the Nth SQL statement: `python run_killed_at.py N chat …`."""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from typing import Any

left = int(sys.argv.pop(1))
connect = sqlite3.connect


def traced(*arguments: Any, **settings: Any) -> sqlite3.Connection:
    connection: sqlite3.Connection = connect(*arguments, **settings)
    connection.set_trace_callback(count)
    return connection


def count(statement: str) -> None:
    global left  # noqa: PLW0603 - a script of its own
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)


setattr(sqlite3, "connect", traced)  # noqa: B010 - of other overloads

from flue_cli.cli import run  # noqa: E402 - only now

run()
