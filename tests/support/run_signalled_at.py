"""Run `flue`, and get SIGNAL at the Nth thing it does: `python run_signalled_at.py SIGNAL N chat …`.

A thing is an import, a file that is opened, or an SQL statement. With N 0, tells at the end on stderr
how many there were.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import sys
from typing import Any

signum = signal.Signals[sys.argv.pop(1)]
wanted = int(sys.argv.pop(1))
count = 0
connect = sqlite3.connect


def step(*_: object) -> None:
    global count  # noqa: PLW0603 - a script of its own
    count += 1
    if count == wanted:
        os.kill(os.getpid(), signum)


def traced(*arguments: Any, **settings: Any) -> sqlite3.Connection:
    connection: sqlite3.Connection = connect(*arguments, **settings)
    connection.set_trace_callback(step)
    return connection


setattr(sqlite3, "connect", traced)  # noqa: B010 - of other overloads

from flue_cli.cli import run_command  # noqa: E402 - only now
from flue_cli.cli.signals import die_by  # noqa: E402

sys.addaudithook(lambda event, _: step() if event in ("import", "open") else None)
code = run_command(sys.argv[1:])
if not wanted:
    sys.stderr.write(f"{count}\n")
if code > 128:
    die_by(code - 128)
sys.exit(code)
