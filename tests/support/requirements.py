"""What a test needs of the machine that it runs on."""

from __future__ import annotations

import os
import shutil

import pytest


def needs(found: object, what: str) -> None:
    """Skip the test unless `found`; in CI, which installs all that tests need, it fails instead."""
    if not found:
        (pytest.fail if os.environ.get("FLUE_TESTS_MUST_RUN") else pytest.skip)(f"needs {what}")


def needs_program(name: str) -> str:
    """The program's path, which may be outside of PATH."""
    path = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin:/sbin")
    needs(path, name)
    return str(path)


def needs_root() -> None:
    """Some things only root can do: give files away, mount a disk."""
    needs(os.geteuid() == 0, "root")
