"""The addresses that the server listens on: looked up, reserved, and named.

Granian opens its own sockets, with SO_REUSEPORT, and so does not notice another program of the same user
at its port; nor does it tell which port it got for 0. So each address is reserved first by a socket that
tolerates no other, and handed over once Granian listens beside it.
"""

from __future__ import annotations

import contextlib
import errno
import resource
import socket
from typing import NamedTuple

from flue_cli.errors import Conflict, UsageError
from flue_cli.server.hosts import is_loopback
from flue_cli.text import safe_line

_ATTEMPTS = 20
_FILES = 4096


class Address(NamedTuple):
    """The host to listen on: the name or address given, and the addresses it stands for."""

    host: str
    port: int
    found: tuple[tuple[socket.AddressFamily, str], ...]

    @property
    def is_loopback(self) -> bool:
        """True if only this machine can reach it."""
        return all(is_loopback(number) for _, number in self.found)


def look_up(host: str, port: int) -> Address:
    """Look up `host`, a name or an address; raises UsageError if it is unknown here."""
    name = host.removeprefix("[").removesuffix("]")
    try:
        answers = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host '{safe_line(host)}' is not an address of this machine") from error
    found = dict.fromkeys((family, str(place[0])) for family, _, _, _, place in answers)
    return Address(name, port, tuple(found))


def reserve(address: Address) -> list[socket.socket]:
    """Reserve the same port of every address: sockets that listen, and that the server may join.

    Raises Conflict when another program has the port, UsageError when it cannot be had at all.
    """
    for _ in range(_ATTEMPTS):
        bound: list[socket.socket] = []
        try:
            for family, number in address.found:
                port = bound[0].getsockname()[1] if bound else address.port
                bound.append(_reserved(family, number, port))
            return bound
        except OSError as error:
            for other in bound:
                other.close()
            if error.errno != errno.EADDRINUSE or address.port or not bound:
                raise _cannot(error, address) from error
    raise Conflict(f"no port is free on all addresses of {safe_line(address.host)}")


def listen_url(reserved: list[socket.socket], host: str) -> str:
    """Give the address to type into a browser or curl."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{reserved[0].getsockname()[1]}"


def connection_limit() -> int:
    """Give the number of connections to accept at once: half of the files that this process may open.

    The other half is left to stores and agents.
    """
    files, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _FILES if most == resource.RLIM_INFINITY else min(_FILES, most)
    if files != resource.RLIM_INFINITY and files < wanted:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, most))
            files = wanted
    return _FILES // 2 if files == resource.RLIM_INFINITY else min(files, _FILES) // 2


def _reserved(family: socket.AddressFamily, number: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # our own last run's connections linger
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((number, port))
        made.listen()  # two programs may bind a port with SO_REUSEADDR; only one may listen
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError:
        made.close()
        raise
    return made


def _cannot(error: OSError, address: Address) -> Conflict | UsageError:
    if error.errno == errno.EADDRINUSE:
        return Conflict(
            f"port {address.port} is in use by another program",
            hint=f"take another: --port {address.port + 1}, or any that is free: --port 0",
        )
    if error.errno in (errno.EACCES, errno.EPERM):
        return UsageError(
            f"port {address.port} may not be used: the system keeps it for root",
            hint="take one from 1024 on, with a reverse proxy before it",
        )
    return UsageError(f"--host '{safe_line(address.host)}' cannot be listened on: {error.strerror}")
