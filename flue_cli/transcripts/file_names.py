"""Names of files for sessions, which may be called anything."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence

from flue_cli.stores.records import SessionHead

_LONGEST = 100
"""In characters: no file system allows more than 255 bytes."""


def file_names(heads: Sequence[SessionHead], ending: str) -> list[str]:
    """A name for each session, `AGENT_NAME.ending`; no two are the same, whatever the case.

    If a name had to be altered, or differs from another only in case, digits derived from the session
    follow, so that the next export gives the same name.
    """
    plain = [f"{head.agent}_{_safe(head.name)}" for head in heads]
    count = Counter(_folded(name) for name in plain)
    named = [
        name if count[_folded(name)] == 1 and _is_kept(name, head) else f"{name}-{_digits(head)}"
        for name, head in zip(plain, heads, strict=True)
    ]
    return [f"{name}.{ending}" for name in _apart(named)]


def _apart(names: Sequence[str]) -> Iterator[str]:
    """`names`, numbered where several sessions show the same one: a redaction has made them alike."""
    taken = {_folded(name) for name in names}
    seen: set[str] = set()
    for name in names:
        free, number = name, 1
        while _folded(free) in seen or (number > 1 and _folded(free) in taken):
            number += 1
            free = f"{name}-{number}"
        seen.add(_folded(free))
        yield free


def _safe(name: str) -> str:
    return re.sub(r"[^\w.~-]+", "-", name)[:_LONGEST].encode()[:150].decode(errors="ignore")


def _is_kept(name: str, head: SessionHead) -> bool:
    return name == f"{head.agent}_{head.name}"


def _folded(name: str) -> str:
    """Return the name as a disk compares it that ignores case, and ways to write an accent."""
    return unicodedata.normalize("NFKD", unicodedata.normalize("NFKD", name).casefold())


def _digits(head: SessionHead) -> str:
    import hashlib

    return hashlib.sha256(f"{head.agent}/{head.name}".encode()).hexdigest()[:8]
