"""Run `flue` with its wall clock moved: `python run_with_moved_clock.py SECONDS chat …`."""

from __future__ import annotations

import sys
import time

moved = float(sys.argv.pop(1))
wall, wall_ns = time.time, time.time_ns
time.time = lambda: wall() + moved
time.time_ns = lambda: wall_ns() + int(moved * 1e9)

from flue_cli.cli import run  # noqa: E402 - only now

run()
