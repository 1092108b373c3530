"""Under which names the server answers, and from which web pages.

A page of any site can send a browser's requests to a server on the same machine. Its own name, put
into DNS for a loopback address, would make it same-origin: so the Host header must be a name that we
know, and Origin and Sec-Fetch-Site must not tell of another site.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection
from functools import lru_cache
from typing import NamedTuple

_AUTHORITY = re.compile(r"(?P<name>\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+)(?::(?P<port>[0-9]{0,5}))?")
_LONGEST = 300
"""Names have at most 253 characters (RFC 1035, section 2.3.4)."""
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Host(NamedTuple):
    """A host as a Host or Origin header names it: lower case, without brackets; port 0 where none is."""

    name: str
    port: int = 0


def parse_host(text: str) -> Host | None:
    """The host in `name`, `name:port` or `[address]:port`; None if it is nothing of the kind."""
    return _parsed(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=256)
def is_loopback(name: str) -> bool:
    """True if a name or address can mean this machine alone: `localhost`, `127.0.0.1`, `::1`."""
    if name == "localhost" or name.endswith(".localhost"):  # RFC 6761, section 6.3
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None)
    return (mapped or address).is_loopback


def is_foreign(origin: str, host: Host, sites: Collection[str]) -> bool:
    """True if a page of `origin` belongs to another site than the server, asked as `host`.

    The names in `sites` are ours at their usual ports, whatever Host says: a proxy may rewrite that.
    """
    scheme, _, rest = origin.partition("://")
    usual = _DEFAULT_PORTS.get(scheme.lower())
    page = parse_host(rest)
    if usual is None or page is None:  # `null` among them: a sandboxed frame, a file
        return True
    port = page.port or usual
    return (page.name, port) != (host.name, host.port or usual) and not (page.name in sites and port == usual)


@lru_cache(maxsize=256)  # clients name the same few in every request
def _parsed(text: str) -> Host | None:
    found = _AUTHORITY.fullmatch(text)
    if not found:
        return None
    name = found["name"].lower().strip("[]").removesuffix(".")
    port = int(found["port"] or 0)
    return Host(name, port) if name and port < 65536 else None
