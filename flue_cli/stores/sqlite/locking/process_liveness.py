"""Process liveness: a locked file for every process that holds leases.

Every process that answers turns holds a lock (flock) on a file of its own beside the store. The
kernel lets go of it when the process ends, however it ends, so that the others notice at once.
A lock works where process ids mislead: across containers, which share ids and not processes.
"""

from __future__ import annotations

import fcntl
import os
import threading
import time
from contextlib import suppress
from typing import NamedTuple

from flue_cli import times
from flue_cli.stores.records import LEASE_SECONDS


class LeaseTerm(NamedTuple):
    """The end of a claim in microseconds, by the wall clock and by this host's monotonic clock."""

    wall: int
    monotonic: int


class LeaseOwner:
    """This process as a holder of leases. `name` is what the store records: `PID HOST TOKEN`."""

    def __init__(self, store_path: str) -> None:
        self._folder = f"{store_path}-owners"
        self._file = -1
        self._lock = threading.Lock()
        self._token = os.urandom(8).hex()
        self.name = f"{os.getpid()} {os.uname().nodename} {self._token}"

    def acquire(self) -> None:
        """Take the lock that tells others we live; once is enough."""
        if self._file >= 0:
            return
        with self._lock:
            if self._file >= 0:
                return
            os.makedirs(self._folder, 0o700, exist_ok=True)
            self._remove_dead_owners()
            # Locked under another name first: nobody may see the file without its lock.
            draft = os.path.join(self._folder, f".{self._token}")
            file = os.open(draft, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600)
            fcntl.flock(file, fcntl.LOCK_EX)
            os.rename(draft, os.path.join(self._folder, self._token))
            self._file = file
            # A process that an agent forked may outlive this one, and must not pass for it.
            os.register_at_fork(after_in_child=self._close_after_fork)

    def release(self) -> None:
        """Let go of the lock and remove the file."""
        if self._file >= 0:
            _remove_owner_file(os.path.join(self._folder, self._token))
            with suppress(OSError):  # an agent closed every descriptor that it found
                os.close(self._file)
            self._file = -1

    def _close_after_fork(self) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def is_lease_valid(self, other: str, expires: LeaseTerm) -> bool:
        """True if the claim of owner `other` still stands.

        On this host the lock decides at once, and the monotonic clock, which nobody can set, decides
        for a process that lives but is stopped. For another host, whose locks may not reach us, there
        is also the wall clock.
        """
        _, host, token = _parse_owner_name(other)
        here = host == os.uname().nodename
        by_wall = times.now() < expires.wall
        by_monotonic = time.monotonic_ns() // 1000 < expires.monotonic
        if self._is_alive(token):
            # A name that differs may be a container beside us, which shares the clock, or a host that
            # does not: believe whichever clock speaks for the turn that is running.
            return by_monotonic or (by_wall and not here)
        return by_wall and not here

    def is_other_owner_alive(self) -> bool:
        """True if another process, or another opening by this one, may answer turns here."""
        if not os.path.isdir(self._folder):
            return False
        tokens = (token for token in os.listdir(self._folder) if not token.startswith("."))
        return any(token != self._token and self._is_alive(token) for token in tokens)

    def _is_alive(self, token: str) -> bool:
        if token == self._token:
            return True
        path = os.path.join(self._folder, token)
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            return False
        except PermissionError:  # somebody else's file: what we cannot ask, we believe
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def _remove_dead_owners(self) -> None:
        """Remove the files of processes that died; their leases read as dead all the same."""
        for name in os.listdir(self._folder):
            if not name.startswith(".") and not self._is_alive(name):
                _remove_owner_file(os.path.join(self._folder, name))


def lease_term(seconds: float = LEASE_SECONDS) -> LeaseTerm:
    """A claim that begins now and holds that long."""
    length = int(seconds * 1_000_000)
    return LeaseTerm(times.now() + length, time.monotonic_ns() // 1000 + length)


def pid_and_host(owner: str) -> tuple[int, str]:
    """The process id and host that an owner's name speaks of; 0 and "" if it does not."""
    pid, host, _ = _parse_owner_name(owner)
    return pid, host


def _parse_owner_name(owner: str) -> tuple[int, str, str]:
    pid, _, rest = owner.partition(" ")
    host, _, token = rest.rpartition(" ")
    token = token.partition(":")[0]  # a waiter of Flue 0.1.0 has its number there
    return (int(pid) if pid.isdigit() else 0), host, token


def _remove_owner_file(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
