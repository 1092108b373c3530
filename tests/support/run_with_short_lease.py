"""Run `flue` with leases of so many seconds: `python run_with_short_lease.py SECONDS chat …`."""

from __future__ import annotations

import sys

from flue_cli.stores import records

# Whoever took the name over before it is set here would go on with the old value.
assert hasattr(records, "LEASE_SECONDS")
assert not [
    name for name, module in sys.modules.items() if module is not records and hasattr(module, "LEASE_SECONDS")
]
records.LEASE_SECONDS = float(sys.argv.pop(1))

from flue_cli.cli import run  # noqa: E402 - only now, that all others see it

run()
