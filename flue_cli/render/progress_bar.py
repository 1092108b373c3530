"""A progress bar on stderr, for a person, once the work takes longer than a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from flue_cli.render.streams import Output

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

DELAY_SECONDS = 1.0
"""Seconds that need no bar."""


@contextmanager
def show_progress(output: Output, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """While inside, what is given is called with how much more is done, of `total` (None: nobody knows)."""
    bar = _ProgressBar(output, what, total)
    try:
        yield bar.advance
    finally:
        bar.close()


class _ProgressBar:
    """Draws nothing off a terminal, nor before it is worth it."""

    def __init__(self, output: Output, what: str, total: int | None) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._due = time.monotonic() + DELAY_SECONDS if output.notices_on_terminal else float("inf")
        self._drawn: tuple[Progress, TaskID] | None = None

    def advance(self, count: int) -> None:
        self._done += count
        if self._drawn is None and time.monotonic() >= self._due:
            self._draw()
        if self._drawn:
            bar, task = self._drawn
            bar.update(task, completed=self._done)

    def close(self) -> None:
        if self._drawn:
            self._drawn[0].stop()

    def _draw(self) -> None:
        from rich.console import Console
        from rich.progress import Progress

        bar = Progress(console=Console(stderr=True), transient=True)
        self._drawn = bar, bar.add_task(self._what, total=self._total)
        bar.start()
