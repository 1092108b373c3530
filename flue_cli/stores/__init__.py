"""Stores: places where sessions are kept. A URL names the store; only the one named is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flue_cli.errors import UsageError
from flue_cli.text import safe_line

if TYPE_CHECKING:
    from flue_cli.stores.contract import Store

STORES = {
    "memory": "flue_cli.stores.memory:MemoryStore",
    "sqlite": "flue_cli.stores.sqlite:SqliteStore",
}
"""URL scheme to `module:class`; the class is called with what follows the scheme."""


def open_store(url: str) -> Store:
    """The store that `url` names: `sqlite:///relative.db`, `sqlite:////absolute.db`, a path, `memory:`.

    Nothing is created or read before it is needed. Raises UsageError for a URL that names no store.
    """
    scheme, place = _parse(url)
    module, _, name = STORES[scheme].partition(":")
    from importlib import import_module

    return cast("Store", getattr(import_module(module), name)(place))


def _parse(url: str) -> tuple[str, str]:
    """(scheme, place): the place is a path for SQLite and empty for memory."""
    hint = "stores are sqlite:///relative.db, sqlite:////absolute.db, a path, or memory:"
    if "\0" in url:
        raise UsageError("a store URL cannot hold NUL", hint=hint)
    scheme, colon, rest = url.partition(":")
    if not colon or "/" in scheme or (scheme not in STORES and not rest.startswith("//")):
        return "sqlite", url
    if scheme not in STORES:
        raise UsageError(f"no store is called '{safe_line(scheme)}'", hint=hint)
    if scheme == "memory":
        if rest.strip("/"):
            raise UsageError(f"memory: takes no path, but got '{safe_line(url)}'", hint=hint)
        return "memory", ""
    if not rest.startswith("///") or len(rest) == len("///"):
        raise UsageError(f"'{safe_line(url)}' names no file", hint=hint)
    return "sqlite", rest[len("///") :]
