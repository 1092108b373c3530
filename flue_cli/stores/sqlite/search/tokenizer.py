"""Texts and queries cut into the words that the index knows: runs of letters and digits, folded.

A run of characters that leave no blanks between words becomes its overlapping pairs, and its last
character alone: so every piece of it can be looked up, and single ones by the pairs they begin.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from flue_cli.stores.search_query import SPACED, UNSPACED

_MAX_WORD = 64
"""Length of a word in the index, in characters."""
_MAX_QUERY_TERMS = 16
"""Number of words of a query that are looked up: more narrow no further, and FTS5 has limits."""
_RUNS = re.compile(f"[{UNSPACED}]+|{SPACED}+")
_PLAIN_RUNS = re.compile("[a-z0-9]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")


def tokenize(text: str) -> set[str]:
    """All words in `text`."""
    folded = text.casefold()
    if folded.isascii():
        return {word[:_MAX_WORD] for word in _PLAIN_RUNS.findall(folded)}
    found: set[str] = set()
    for run in _RUNS.findall(folded):
        if _UNSPACED.match(run):
            found.update(_bigrams(run))
        else:
            found.add(run[:_MAX_WORD])
    return found


def make_fts_query(words: Iterable[str]) -> str:
    """Make an FTS5 query from folded words; "" if none of them is in the index.

    A run that ends before its word does is in the index as it is; at the end of a word it may go on.
    """
    found: dict[str, int] = {}
    for word in words:
        for run in _RUNS.finditer(word):
            text = run[0]
            if _UNSPACED.match(text):
                parts = [f'"{pair}"' for pair in _bigrams(text)[:-1]] or [f'"{text}"*']
            elif run.end() == len(word) and len(text) < _MAX_WORD:
                parts = [f'"{text}"*']
            else:
                parts = [f'"{text[:_MAX_WORD]}"']
            found |= dict.fromkeys(parts, len(text))
    return " ".join(sorted(found, key=lambda part: -found[part])[:_MAX_QUERY_TERMS])


def _bigrams(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run))]
