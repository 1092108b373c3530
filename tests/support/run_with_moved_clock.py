"""Run `flue` with its wall clock moved: `python run_with_moved_clock.py SECONDS chat …`."""

from __future__ import annotations

import sys
import time

moved = float(sys.argv.pop(1))
read = time.clock_gettime_ns
time.clock_gettime_ns = lambda clock: read(clock) + int(moved * 1e9) * (clock == time.CLOCK_REALTIME)

from flue_cli.cli import run  # noqa: E402 - only now

run()
