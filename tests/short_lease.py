"""Run `flue` with leases of so many seconds: `python short_lease.py SECONDS chat …`."""

from __future__ import annotations

import sys

from flue_cli.stores import contract

contract.LEASE_SECONDS = float(sys.argv.pop(1))

from flue_cli.cli import run  # noqa: E402 - only now, that all others see it

run()
