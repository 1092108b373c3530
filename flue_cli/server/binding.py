"""The sockets that the server listens on, and what it is called there."""

from __future__ import annotations

import errno
import socket
from typing import NamedTuple

from flue_cli.errors import Conflict, UsageError
from flue_cli.server.hosts import is_loopback
from flue_cli.text import safe_line

_ATTEMPTS = 20


class Address(NamedTuple):
    """Where to listen: the name or address that was asked for, and the addresses it stands for."""

    host: str
    port: int
    found: tuple[tuple[socket.AddressFamily, str], ...]

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine can reach it."""
        return all(is_loopback(number) for _, number in self.found)


def look_up(host: str, port: int) -> Address:
    """What `host`, a name or an address, stands for; raises UsageError if it is unknown here."""
    name = host.removeprefix("[").removesuffix("]")
    try:
        answers = socket.getaddrinfo(name, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, UnicodeError) as error:
        raise UsageError(f"--host '{safe_line(host)}' is no address of this machine") from error
    found = dict.fromkeys((family, str(place[0])) for family, _, _, _, place in answers)
    return Address(name, port, tuple(found))


def bind(address: Address) -> list[socket.socket]:
    """Sockets bound to the same port of every address; they listen only when the server does.

    Raises Conflict when another program has the port, UsageError when it is not to be had at all.
    """
    for _ in range(_ATTEMPTS):
        bound: list[socket.socket] = []
        try:
            for family, number in address.found:
                port = bound[0].getsockname()[1] if bound else address.port
                bound.append(_bound(family, number, port))
            return bound
        except OSError as error:
            for other in bound:
                other.close()
            if error.errno != errno.EADDRINUSE or address.port or not bound:
                raise _cannot(error, address) from error
    raise Conflict(f"no port is free on all addresses of {safe_line(address.host)}")


def url_of(sockets: list[socket.socket], host: str) -> str:
    """The address to type into a browser or curl."""
    name = f"[{host}]" if ":" in host else host
    return f"http://{name}:{sockets[0].getsockname()[1]}"


def _bound(family: socket.AddressFamily, number: str, port: int) -> socket.socket:
    made = socket.socket(family, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # our own last run's connections linger
        if family == socket.AF_INET6:
            made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        made.bind((number, port))
        made.setblocking(False)
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
