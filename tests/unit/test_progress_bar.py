"""Long work says how far it has come, to a person and to nobody else."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys

import pytest

PROGRAM = """
import time
from flue_cli.render import progress_bar
from flue_cli.render.streams import Output
assert hasattr(progress_bar, "DELAY_SECONDS")
progress_bar.DELAY_SECONDS = {patience}
with progress_bar.show_progress(Output(), "importing", {total}) as advance:
    for _ in range(5):
        advance(1)
        time.sleep(0.05)
"""


def on_a_terminal(program: str) -> bytes:
    """What a terminal gets as standard error."""
    ours, theirs = os.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.DEVNULL, stderr=theirs
    ) as process:
        os.close(theirs)
        seen = b""
        with contextlib.suppress(OSError):  # EIO: nobody is there any more
            while chunk := os.read(ours, 65536):
                seen += chunk
    os.close(ours)
    assert process.returncode == 0
    return seen


@pytest.mark.parametrize("total", [5, None])
def test_long_work_shows_a_bar(total: int | None) -> None:
    """A bar appears once the work takes long, whether its length is known or not, and goes when it is done."""
    seen = on_a_terminal(PROGRAM.format(patience=0.05, total=total))

    assert b"importing" in seen
    assert b"\x1b[2K" in seen  # the line is cleared


def test_short_work_shows_nothing() -> None:
    """What is done within a moment needs no bar."""
    assert on_a_terminal(PROGRAM.format(patience=60, total=5)) == b""


def test_nobody_sees_a_bar_in_a_file() -> None:
    """Off a terminal there is none."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(patience=0, total=5)], capture_output=True, check=True
    )

    assert (done.stdout, done.stderr) == (b"", b"")
