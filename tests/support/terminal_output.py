"""The output of a command that writes to a terminal, without an emulation of its screen."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from conftest import Flue


def on_a_terminal(flue: Flue, *arguments: str) -> str:
    """What reaches a real terminal, stdout and stderr together, with the line ends it makes of \\n undone."""
    ours, theirs = os.openpty()
    with open(os.devnull) as nothing:
        ended = flue.ahead.start(
            arguments, flue.folder, flue.env | {"PAGER": "cat"}, (nothing.fileno(), theirs, theirs)
        )
    os.close(theirs)
    chunks = []
    with contextlib.suppress(OSError):  # EIO is how a terminal says that nobody is there any more
        while chunk := os.read(ours, 65536):
            chunks.append(chunk)
    os.close(ours)
    ended()
    return b"".join(chunks).decode().replace("\r\n", "\n")
