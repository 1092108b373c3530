"""Stores: places where sessions are kept. A URL names the store; only the one named is loaded.

To add a store, give it a row in STORES, or, in a package of its own, an entry point of the group
`flue.stores`: the name is the scheme, the value `module:class`. Either way the class is called with
the whole URL, which it reads itself, and keeps the contract of contract.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from flue_cli.errors import UsageError
from flue_cli.text import safe_line

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from flue_cli.stores.contract import Store

ENTRY_POINTS = "flue.stores"
"""The group of entry points by which installed packages offer stores: URL scheme to `module:class`."""

STORES = {
    "memory": "flue_cli.stores.memory.store:MemoryStore",
    "sqlite": "flue_cli.stores.sqlite.store:SqliteStore",
}
"""URL scheme to `module:class`; the class is called with the URL."""


def open_store(url: str) -> Store:
    """Open the store that `url` names: `sqlite:///relative.db`, `sqlite:////absolute.db`, a path, `memory:`.

    Any other scheme, as in `redis://host`, is one that an installed package offers. Nothing is created
    or read before it is needed. Raises UsageError for a URL that names no store, or one that lacks a module.
    """
    if "\0" in url:
        raise UsageError("a store URL cannot hold NUL", hint=_url_forms())
    return _store_class(_url_scheme(url))(url)


def _url_scheme(url: str) -> str:
    """Return the scheme of `url`: `sqlite` for a path, which may have a colon too.

    Nobody names a file by a word and a colon alone, so that `memroy:` is taken for a scheme.
    """
    scheme, colon, rest = url.partition(":")
    if url.startswith(":memory:"):
        raise UsageError(f"'{safe_line(url)}' is SQLite's name for it", hint="a store in memory is memory:")
    if not colon or "/" in scheme or not (scheme in STORES or not rest or rest.startswith("//")):
        return "sqlite"
    return scheme


def _store_class(scheme: str) -> Callable[[str], Store]:
    """Import the class of the stores of `scheme`; UsageError if there is none or it lacks a module."""
    try:
        if scheme not in STORES:
            return cast("Callable[[str], Store]", _store_entry_point(scheme).load())
        from importlib import import_module

        module, _, name = STORES[scheme].partition(":")
        return cast("Callable[[str], Store]", getattr(import_module(module), name))
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if not missing or missing.partition(".")[0] == "flue_cli":
            raise
        raise UsageError(
            f"stores of '{safe_line(scheme)}:' need the module {missing}, which is not installed",
            hint=f"install it for {sys.executable}",
        ) from error


def _store_entry_point(scheme: str) -> EntryPoint:
    """Find what an installed package offers for `scheme`; UsageError unless it is one package."""
    # Takes as long as all other imports of most commands: only for schemes that are not ours.
    from importlib.metadata import entry_points

    offered = entry_points(group=ENTRY_POINTS)
    found = {point.value: point for point in offered if point.name == scheme}
    if not found:
        raise UsageError(f"no store is called '{safe_line(scheme)}'", hint=_url_forms(*sorted(offered.names)))
    if len(found) > 1:
        values = " and ".join(sorted(found))
        raise UsageError(f"two packages offer the store '{safe_line(scheme)}': {values}")
    return next(iter(found.values()))


def _url_forms(*installed: str) -> str:
    """Describe the URLs that name a store, with those of the schemes that packages offer."""
    more = "".join(f", {safe_line(scheme)}:" for scheme in installed)
    return f"stores are sqlite:///relative.db, sqlite:////absolute.db, a path{more}, or memory:"
