"""Process liveness: a lease is valid only while its owner, a process, lives.

Each owner holds a lock (flock) on a file of its own in the folder STORE-owners. The kernel releases the lock
when the process ends, whatever ends it, so that others see at once that it is dead. Process ids would not
do: containers that share the store have the same ids for different processes.
"""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from typing import NamedTuple
from weakref import ref

from flue_cli import times
from flue_cli.stores.records import LEASE_SECONDS


class LeaseTerm(NamedTuple):
    """The end of a lease in microseconds, by the wall clock and by the monotonic clock of its host."""

    wall: int
    monotonic: int


class LeaseOwner:
    """This process as an owner of leases. The store records it by `name`: `PID HOST TOKEN`."""

    def __init__(self, store_path: str) -> None:
        self._folder = f"{store_path}-owners"
        self._file = -1
        self._has_fork_handler = False
        self._lock = threading.Lock()
        self._token = os.urandom(8).hex()
        self.name = f"{os.getpid()} {os.uname().nodename} {self._token}"

    def acquire(self) -> None:
        """Take the lock on the owner file, unless this process has it."""
        if self._file >= 0:
            return
        with self._lock:
            if self._file >= 0:
                return
            os.makedirs(self._folder, 0o700, exist_ok=True)
            self._remove_dead_owners()
            # Locked under another name first: a file without a lock would count as that of a dead owner.
            draft = os.path.join(self._folder, f".{self._token}")
            file = os.open(draft, os.O_CREAT | os.O_RDWR, 0o600)
            try:
                fcntl.flock(file, fcntl.LOCK_EX)
                os.rename(draft, os.path.join(self._folder, self._token))
            except OSError:
                os.close(file)
                _remove_owner_file(draft)
                raise
            self._file = file
            self._close_in_children()

    def release(self) -> None:
        """Release the lock and remove the file."""
        if self._file >= 0:
            _remove_owner_file(os.path.join(self._folder, self._token))
            with suppress(OSError):  # an agent may have closed all file descriptors
                os.close(self._file)
            self._file = -1

    def _close_in_children(self) -> None:
        """Have child processes close the file: they share its lock, and could outlive this process."""
        if not self._has_fork_handler:
            self._has_fork_handler = True  # a handler cannot be removed, so there is one for each owner
            owner = ref(self)
            os.register_at_fork(after_in_child=lambda: _close_owner_file(owner()))

    def is_lease_valid(self, owner: str, expires: LeaseTerm) -> bool:
        """True if a lease of `owner` that ends at `expires` is still valid.

        On this host it is valid while the owner holds its lock and the monotonic clock has not reached the
        end: a process that is stopped lives, but does not renew. Locks of another host may not be visible
        here, and its monotonic clock is another one; there the wall clock decides too.
        """
        _, host, token = _parse_owner_name(owner)
        is_local = host == os.uname().nodename
        by_wall = times.now() < expires.wall
        by_monotonic = int(times.monotonic() * 1_000_000) < expires.monotonic
        if self._is_alive(token):
            # Another host name may be a container on this host, with the same monotonic clock, or another
            # host: either clock may show that the lease is valid.
            return by_monotonic or (by_wall and not is_local)
        return by_wall and not is_local

    def is_other_owner_alive(self) -> bool:
        """True if another owner lives: another process, or another store object of this process."""
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
        except PermissionError:  # another user's file: count the owner as alive
            return True
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(file)
        return False

    def _remove_dead_owners(self) -> None:
        """Remove the files of dead owners; their leases are invalid with or without the file."""
        for name in os.listdir(self._folder):
            if not name.startswith(".") and not self._is_alive(name):
                _remove_owner_file(os.path.join(self._folder, name))


def lease_term(seconds: float = LEASE_SECONDS) -> LeaseTerm:
    """Return the end of a lease that begins now and lasts `seconds`."""
    length = int(seconds * 1_000_000)
    return LeaseTerm(times.now() + length, int(times.monotonic() * 1_000_000) + length)


def pid_and_host(owner: str) -> tuple[int, str]:
    """Return the process id and the host in an owner's name; 0 and "" where they are missing."""
    pid, host, _ = _parse_owner_name(owner)
    return pid, host


def _parse_owner_name(owner: str) -> tuple[int, str, str]:
    pid, _, rest = owner.partition(" ")
    host, _, token = rest.rpartition(" ")
    token = token.partition(":")[0]  # older stores can have a waiter's number behind the token
    return (int(pid) if pid.isdigit() else 0), host, token


def _close_owner_file(owner: LeaseOwner | None) -> None:
    """Close the file of `owner` in a child process, which must not hold its lock."""
    if owner is not None and owner._file >= 0:  # noqa: SLF001 - the rest of the class
        os.close(owner._file)  # noqa: SLF001
        owner._file = -1  # noqa: SLF001


def _remove_owner_file(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        return
