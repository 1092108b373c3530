"""The thread that watches over a running turn while its agent thinks."""

from __future__ import annotations

import os
import select
import signal
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Self

from flue_cli.cancellation import Cancellation
from flue_cli.errors import FlueError, LeaseLost, TurnTimeout, cancelled_by
from flue_cli.stores.contract import RENEW_SECONDS, Lease, Store

GRACE_SECONDS = 2.0
"""How long an agent that was told to stop may take to do so."""

_DONE, _CANCELLED = 0, 255
_STOPPING_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Keeper:
    """Renews the lease, ends the turn when its time is up, and gives up on an agent that will not stop.

    Used as a context manager around the agent's call. `give_up` is called, from the keeper's thread,
    when a cancelled agent has not stopped within GRACE_SECONDS.

    A signal reaches this thread through a wake-up descriptor, since a handler only runs once the main
    thread comes back from C code, and an agent may never.
    """

    def __init__(
        self,
        store: Store,
        lease: Lease,
        cancellation: Cancellation,
        *,
        timeout: float | None,
        give_up: Callable[[FlueError], None],
    ) -> None:
        self._store = store
        self._lease = lease
        self._cancellation = cancellation
        self._timeout = timeout
        self._give_up = give_up
        self._reading, self._writing = os.pipe()
        os.set_blocking(self._writing, False)
        self._thread = threading.Thread(target=self._watch, name="flue-keeper", daemon=True)
        self._in_main = threading.current_thread() is threading.main_thread()
        self._old_wakeup = -1

    def __enter__(self) -> Self:
        if self._in_main:
            self._old_wakeup = signal.set_wakeup_fd(self._writing, warn_on_full_buffer=False)
        self._cancellation.listen(lambda: self._wake(_CANCELLED))
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._in_main:
            signal.set_wakeup_fd(self._old_wakeup)
        self._cancellation.listen(None)
        self._wake(_DONE)
        self._thread.join()
        os.close(self._reading)
        os.close(self._writing)

    def _wake(self, byte: int) -> None:
        os.write(self._writing, bytes([byte]))

    def _watch(self) -> None:
        try:
            self._keep()
        finally:
            self._store.disconnect()

    def _keep(self) -> None:
        now = time.monotonic()
        renew_at = now + RENEW_SECONDS
        deadline = now + self._timeout if self._timeout is not None else None
        while True:
            why = self._cancellation.why
            give_up_at = self._cancellation.since + GRACE_SECONDS if why else None
            moments = [moment for moment in (renew_at, None if why else deadline, give_up_at) if moment]
            if self._woken(max(0.0, min(moments) - time.monotonic())):
                return
            now = time.monotonic()
            if why and give_up_at and now >= give_up_at:
                self._give_up(why)
                return
            if deadline and now >= deadline and not why:
                self._cancellation.request(TurnTimeout(f"the agent took longer than {self._timeout:g} s"))
            if now >= renew_at:
                renew_at = self._renew(now)

    def _renew(self, now: float) -> float:
        """Renew the lease; when to do so next."""
        try:
            self._store.renew(self._lease)
        except LeaseLost:
            return now + 3600  # the commit will say so; the agent may still have something to show
        except FlueError:
            return now + 1  # a store in trouble now may be well again before the lease ends
        return now + RENEW_SECONDS

    def _woken(self, seconds: float) -> bool:
        """Wait, unless something happens; True when the turn is over."""
        ready, _, _ = select.select([self._reading], [], [], seconds)
        if not ready:
            return False
        for byte in os.read(self._reading, 64):
            if byte == _DONE:
                return True
            if byte in _STOPPING_SIGNALS:
                self._cancellation.request(cancelled_by(byte), stop=False)
        return False
