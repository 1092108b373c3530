"""Watchdog: a thread that renews leases, ends late turns and gives up on agents that do not stop."""

from __future__ import annotations

import errno
import math
import os
import select
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING
from weakref import ref

from flue_cli.agents.signal_state import SignalState
from flue_cli.errors import FlueError, LeaseLost, TurnTimeout, cancelled_by
from flue_cli.stores.records import Lease
from flue_cli.times import monotonic
from flue_cli.turns.cancellation import Cancellation

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store

GRACE_SECONDS = 2.0
"""Seconds that a cancelled agent has for stopping."""

_LONGEST_SLEEP = 3600.0
_CHECK, _DRAIN, _END = 0, 254, 255
"""Bytes in the wake-up pipe; any other byte is the number of a signal."""
_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Watchdog:
    """Renews leases, ends turns at their time limit, and gives up on agents that do not stop.

    One thread serves all turns of a store. It sleeps until the next renewal or deadline.
    """

    # One thread, since starting one costs as much as a commit.
    # Signals reach it through a wake-up descriptor: a Python handler runs only after the main thread returns
    # from C code, and an agent may stay there for ever.

    def __init__(self, store: Store | None) -> None:
        """`store` renews the leases; None if the turns have none."""
        self._store = store
        self._lock = threading.Lock()
        self._watched: list[_WatchedTurn] = []
        self._wakes_at = 0.0  # end of the present sleep, in monotonic seconds; 0 for an endless one
        self._thread: threading.Thread | None = None
        self._drained = threading.Event()
        self._read_end, self._write_end = -1, -1

    @contextmanager
    def watch(
        self,
        lease: Lease | None,
        cancellation: Cancellation,
        *,
        timeout: float | None,
        give_up: Callable[[FlueError], None],
    ) -> Iterator[None]:
        """Watch a turn inside of the context; `lease` is None for a turn that is not stored.

        `timeout` limits the turn, in seconds. `give_up` is called from the watchdog's thread when a cancelled
        agent has not stopped within GRACE_SECONDS.
        """
        self._start()
        renew = partial(self._store.renew, lease) if self._store and lease else None
        renew_every = self._store.lease_seconds / 3 if self._store else 0.0
        turn = _WatchedTurn(renew, cancellation, timeout, give_up, renew_every=renew_every)
        old_wakeup = self._add(turn)
        try:
            yield
        finally:
            self._remove(turn, old_wakeup)

    def _add(self, turn: _WatchedTurn) -> int:
        """Begin to watch a turn; returns the wake-up descriptor that was set before."""
        with self._lock:
            self._watched.append(turn)
            is_earlier = not self._wakes_at or turn.next_check() < self._wakes_at
        old_wakeup = signal.set_wakeup_fd(self._write_end, warn_on_full_buffer=False) if turn.in_main else -1
        turn.cancellation.listen(self._wake_to_check)
        if is_earlier or turn.cancellation.reason:
            self._wake_to_check()
        return old_wakeup

    def _remove(self, turn: _WatchedTurn, old_wakeup: int) -> None:
        """End watching: after this returns, nothing more is done for the turn."""
        turn.signal_state.restore()
        if turn.in_main:
            signal.set_wakeup_fd(old_wakeup)
        turn.cancellation.listen(None)
        with turn.lock:
            turn.is_over = True
        with self._lock:
            self._watched.remove(turn)
        if turn.in_main and turn.cancellation.reason:
            self._drain_signals()

    def close(self) -> None:
        """End the thread and close its pipe."""
        if self._thread is None:
            return
        self._wake(_END)
        self._thread.join()
        self._thread = None
        os.close(self._read_end)
        os.close(self._write_end)

    def _start(self) -> None:
        thread = self._thread
        if thread and thread.is_alive():
            return
        with self._lock:
            if self._thread is None:
                self._make_pipe()
                watchdog = ref(self)
                os.register_at_fork(after_in_child=lambda: _clear_wakeup_in_child(watchdog()))
            elif self._thread.is_alive():
                return
            self._thread = threading.Thread(target=self._run, name="flue-watchdog", daemon=True)
            self._thread.start()

    def _drain_signals(self) -> None:
        """Have the thread read the signals of an ended turn, so that they do not cancel the next one."""
        self._drained.clear()
        self._wake(_DRAIN)
        self._drained.wait(1.0)

    def _make_pipe(self) -> None:
        self._read_end, self._write_end = os.pipe()
        os.set_blocking(self._write_end, False)

    def _wake_to_check(self) -> None:
        self._wake(_CHECK)

    def _wake(self, byte: int) -> None:
        try:
            os.write(self._write_end, bytes([byte]))
        except BlockingIOError:
            return  # the pipe is full: the thread wakes up anyway
        except OSError as error:
            if error.errno != errno.EBADF:  # an agent closed the pipe: see _wait_for_wakeup
                raise

    def _run(self) -> None:
        while True:
            with self._lock:
                watched = list(self._watched)
                self._wakes_at = min((turn.next_check() for turn in watched), default=0.0)
            if not self._wakes_at:
                self._disconnect()
            if self._wait_for_wakeup(self._wakes_at):
                self._disconnect()
                return
            with self._lock:
                watched = list(self._watched)
            for turn in watched:
                with turn.lock:
                    if not turn.is_over:
                        turn.act_if_due()

    def _disconnect(self) -> None:
        if self._store:
            self._store.disconnect()

    def _wait_for_wakeup(self, until: float) -> bool:
        """Wait until `until` (0: for ever) or a wake-up; True if the thread is to end."""
        seconds = min(max(0.0, until - monotonic()), _LONGEST_SLEEP) if until else None
        poll = select.poll()  # select() fails for descriptors from 1024 on, and a server may have many
        poll.register(self._read_end, select.POLLIN)
        try:
            ready = poll.poll(None if seconds is None else math.ceil(seconds * 1000))
            wakeups = os.read(self._read_end, 64) if ready else b""
        except OSError as error:
            if error.errno != errno.EBADF:
                raise
            self._make_pipe()  # an agent closed every open descriptor
            return False
        for byte in wakeups:
            if byte == _END:
                return True
            if byte == _DRAIN:
                self._drained.set()
            if byte in _STOPPING_SIGNALS:
                with self._lock:
                    for turn in self._watched:
                        turn.note_signal(byte)
        return False


def _clear_wakeup_in_child(watchdog: Watchdog | None) -> None:
    """Clear the wake-up descriptor in a process that an agent forked: its signals are not its parent's."""
    if watchdog is not None:
        descriptor = signal.set_wakeup_fd(-1)
        if descriptor != watchdog._write_end:  # noqa: SLF001 - the rest of the class, for a child without threads
            signal.set_wakeup_fd(descriptor)


class _WatchedTurn:
    """A running turn with the times of its next actions, in monotonic seconds."""

    def __init__(
        self,
        renew: Callable[[], None] | None,
        cancellation: Cancellation,
        timeout: float | None,
        give_up: Callable[[FlueError], None],
        *,
        renew_every: float,
    ) -> None:
        now = monotonic()
        self.lock = threading.Lock()
        self.is_over = False
        self.cancellation = cancellation
        self._renew = renew
        self._timeout = timeout
        self._give_up = give_up
        self._renew_every = renew_every
        self._renew_at = now + renew_every if renew else math.inf
        self._deadline = now + timeout if timeout is not None else math.inf
        self.signal_state = SignalState()
        self.in_main = threading.get_ident() == threading.main_thread().ident

    def next_check(self) -> float:
        """Return the time of the next action."""
        if self.is_over:
            return math.inf
        if self.cancellation.reason:
            return min(self._renew_at, self.cancellation.requested_at + GRACE_SECONDS)
        return min(self._renew_at, self._deadline)

    def note_signal(self, signum: int) -> None:
        """Record a signal; its handler may still have to wait for the agent."""
        if self.in_main:
            self.cancellation.request(cancelled_by(signum), stop=False)

    def act_if_due(self) -> None:
        """Give up, cancel or renew, if its time has come."""
        reason = self.cancellation.reason
        now = monotonic()
        if reason and now >= self.cancellation.requested_at + GRACE_SECONDS:
            self.is_over = True
            self._give_up(reason)
            return
        if not reason and now >= self._deadline:
            self.cancellation.request(TurnTimeout(f"the agent took longer than {self._timeout:g} s"))
        if self._renew and now >= self._renew_at:
            self._renew_at = self._renew_lease(self._renew, now)

    def _renew_lease(self, renew: Callable[[], None], now: float) -> float:
        """Renew the lease; returns the time of the next renewal."""
        try:
            renew()
        except LeaseLost:
            return math.inf  # the commit will report it; the reply is still worth showing
        except FlueError:
            return now + self._renew_every / 5  # the store may work again before the lease ends
        return now + self._renew_every
