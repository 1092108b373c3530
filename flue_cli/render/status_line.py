"""The lines below the cursor while an agent works: the time it has taken, the holder that a turn waits for.

Once the reply comes it is sign enough, until no piece has come for a while. Prompts that are typed meanwhile
are shown as long as they wait.

It is drawn again and again, always below where the cursor is and never where it is: whatever others write
(an agent, the programs that it starts) goes on where it stopped, and what is cleared away later leaves
no trace. Lines cannot wrap while it is drawn, so that nothing scrolls off but what was there before.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from flue_cli.render.notices import WaitingNotice, describe_holder
from flue_cli.render.streams import Output
from flue_cli.stores.records import LeaseHolder
from flue_cli.times import format_whole_seconds
from flue_cli.turns.cancellation import Cancellation

PATIENCE_SECONDS = 0.3
"""Seconds of work that need no sign of it."""

STALL_SECONDS = 1.0
"""Seconds without a piece of the reply, after which the signs of work come back."""

_FRAME_SECONDS = 0.1
_REDRAW_SECONDS = 0.03  # it comes back after what was written, but not after each of a thousand lines
_IDLE_SECONDS = 1.0  # between two looks, where nothing is drawn
_WAIT_PATIENCE = 1.0
_SPINNER_FRAMES = {True: "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", False: "|/-\\"}
_SEPARATORS = {True: " · ", False: " - "}
_DIM, _NOT_DIM = "\x1b[2m", "\x1b[22m"

Preview = Callable[[int], str]
"""Return the visible lines of the reply's unfinished rest on a screen so wide."""

QueuedLines = Callable[[int], Sequence[str]]
"""Return the lines that show what is typed for the next prompts, at most so many columns wide."""


class StatusLine:
    """One turn's signs of life. `tick` now and then, from any thread."""

    def __init__(self, output: Output, cancellation: Cancellation, wait: float) -> None:
        """`wait` is how long the turn waits behind others, in seconds."""
        self.preview: Preview | None = None
        self.queued_lines: QueuedLines | None = None
        self._output = output
        self._cancellation = cancellation
        self._wait = wait
        self._remark = WaitingNotice(output)
        self._began = time.monotonic()
        self._next = self._next_again = self._began + PATIENCE_SECONDS
        self._quiet_until = 0.0
        self._behind: tuple[LeaseHolder, float] | None = None
        self._wanted = False
        self._ticks = False
        self._drawn = False

    @contextmanager
    def shown_while(self) -> Iterator[None]:
        """While inside, it is shown, if stderr is a terminal that can do it."""
        if not self._output.can_draw:
            yield
            return
        room = self._output.room
        room.register_drawing(self._clear, self._draw_again)
        self._wanted = True
        try:
            yield
        finally:
            with room.lock:
                self._wanted = False
                self._clear()
                room.clear_drawing()

    @contextmanager
    def shown_by_thread(self) -> Iterator[None]:
        """While inside, it is shown, and a thread calls `tick`: for an agent that has the main thread."""
        with self.shown_while():
            if not self._wanted:
                yield
                return
            is_over = threading.Event()
            ticker = threading.Thread(
                target=self._tick_until, args=(is_over,), name="status line", daemon=True
            )
            ticker.start()
            try:
                yield
            finally:
                is_over.set()
                ticker.join()

    def _tick_until(self, is_over: threading.Event) -> None:
        pause = PATIENCE_SECONDS
        while not is_over.wait(pause):
            pause = self.tick()

    @property
    def seconds(self) -> float:
        """Time since the turn began."""
        return time.monotonic() - self._began

    def waiting(self, holder: LeaseHolder) -> None:
        """The turn waits for another: a listener's `waiting`."""
        if not self._wanted:
            self._remark(holder)
            return
        if self._behind is None or self._behind[0] != holder:
            since = self._behind[1] if self._behind else time.monotonic()
            self._behind = holder, since
        self._tick()

    def begun(self) -> None:
        """The turn waits no longer."""
        self._behind = None

    def note_piece(self) -> None:
        """A piece of the reply is on its way to the screen, and is sign enough for a while."""
        self._quiet_until = time.monotonic() + STALL_SECONDS

    def hide(self) -> None:
        """The reply is complete."""
        if self._wanted:
            with self._output.room.lock:
                self._wanted = False
                self._clear()

    def tick(self) -> float:
        """Draw it if it is time; seconds until the next tick should be."""
        if not self._wanted:
            return _IDLE_SECONDS
        self._ticks = True
        self._tick()
        return _FRAME_SECONDS

    def _tick(self) -> None:
        with self._output.room.lock:
            if self._wanted and time.monotonic() >= self._next:
                self._draw()

    def _clear(self) -> None:
        if self._drawn:
            self._drawn = False
            columns = terminal_size()[0]
            at_edge = self._output.room.cursor_line.character_at_edge(columns) or ""
            self._output.draw("\x1b[J" + mend_edge(at_edge, columns))

    def _draw_again(self) -> None:
        now = time.monotonic()
        if self._wanted and self._ticks and now >= self._next_again:
            self._next_again = now + _REDRAW_SECONDS
            self._draw()

    def _draw(self) -> None:
        self._next = time.monotonic() + _FRAME_SECONDS
        columns, rows = terminal_size()
        at_edge = self._output.room.cursor_line.character_at_edge(columns)
        if at_edge is None or not columns:
            return
        if columns < 2:  # a terminal without a size, as programs make them
            return
        lines = self._lines(columns - 1) if time.monotonic() >= self._quiet_until else []
        if self.preview:
            lines = self.preview(columns - 1).split("\n")[:-1][-max(rows // 2, 1) :] + lines
        if self.queued_lines:
            lines += [f"{_DIM}{line}{_NOT_DIM}" for line in self.queued_lines(columns - 1)]
        lines = lines[-max(rows - 2, 0) :]
        if lines:
            self._drawn = True
            self._output.draw(draw_below_cursor(lines, at_edge, columns))
        else:
            self._clear()

    def _lines(self, columns: int) -> list[str]:
        signs = self._output.has_unicode
        frames = _SPINNER_FRAMES[signs]
        turning = frames[int(self.seconds / _FRAME_SECONDS) % len(frames)]
        words = list(self._words())
        return wrap_words([f"{turning} {words[0]}", *words[1:]], columns, _SEPARATORS[signs])

    def _words(self) -> Iterator[str]:
        behind = self._behind  # once: the turn's thread may begin meanwhile
        waited = time.monotonic() - behind[1] if behind else 0.0
        if behind and waited >= _WAIT_PATIENCE:
            yield f"waiting: {describe_holder(behind[0])}"
            yield f"gives up in {format_whole_seconds(round(max(0.0, self._wait - waited) * 1e6))}"
        else:
            yield format_whole_seconds(round(self.seconds * 1e6))
        yield "cancelling" if self._cancellation.reason else "Ctrl-C cancels"


def terminal_size() -> tuple[int, int]:
    """Return the columns and rows of stderr's terminal; zeros if it is gone."""
    try:
        return os.get_terminal_size(2)
    except OSError:
        return 0, 0


def ring_terminal_bell(output: Output) -> None:
    """Ring the terminal's bell, if it has one."""
    if output.is_terminal and os.environ.get("TERM") not in ("dumb", "unknown"):
        output.write_raw("\a")


def wrap_words(words: Sequence[str], columns: int, between: str) -> list[str]:
    """The words on one line if there is room, else on as few as will do; none is wider than `columns`."""
    from rich.cells import cell_len, chop_cells

    lines: list[str] = []
    for word in words:
        if lines and cell_len(lines[-1] + between + word) <= columns:
            lines[-1] += between + word
        else:
            lines += chop_cells(word, max(columns, 2))
    return lines


def draw_below_cursor(lines: Sequence[str], at_edge: str = "", columns: int = 0) -> str:
    """Return the text that draws lines below the cursor and leaves the cursor in its place.

    The screen scrolls first if there are too few rows: then the cursor has moved along with its text.
    `at_edge` is the character in the last of `columns` if the cursor waits behind it, else "".
    """
    count = len(lines)
    drawn = "".join(f"\r\x1b[B\x1b[K{line}" for line in lines)
    # The first erasure takes what others wrote over, if they did.
    scrolled = "\x1b[K" + "\x1bD" * count + f"\x1b[{count}A"
    return f"{scrolled}\x1b7\x1b[?7l{drawn}\x1b[J\x1b[?7h\x1b8{mend_edge(at_edge, columns)}"


def mend_edge(at_edge: str, columns: int) -> str:
    """Return the text that writes a row's last character again: the cursor then waits behind it as before."""
    from rich.cells import cell_len

    return f"\x1b[{columns + 1 - cell_len(at_edge)}G{at_edge}" if at_edge else ""
