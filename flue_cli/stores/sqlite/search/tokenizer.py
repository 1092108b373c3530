"""The tokenizer of the full-text index: words are runs of letters and digits, folded (text.fold_text).

Scripts without blanks between words are indexed as bigrams: a run becomes its overlapping pairs of
characters, and its last character alone. Any part of the run is then found by its pairs, and a single
character as the prefix of a pair.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from flue_cli.stores.search_query import SPACED, UNSPACED
from flue_cli.text import fold_text

_MAX_WORD = 64
"""Length at which a word is cut in the index, in characters."""
_MAX_QUERY_TERMS = 16
"""Number of terms of a query that are looked up: more hardly narrow it further, and FTS5 has limits."""
_RUNS = re.compile(f"[{UNSPACED}]+|{SPACED}+")
_PLAIN_RUNS = re.compile("[a-z0-9]+")
_UNSPACED = re.compile(f"[{UNSPACED}]")


def tokenize(text: str) -> set[str]:
    """Return the distinct words of `text`."""
    folded = fold_text(text)
    if folded.isascii():
        return {word[:_MAX_WORD] for word in _PLAIN_RUNS.findall(folded)}
    words: set[str] = set()
    for run in _RUNS.findall(folded):
        if _UNSPACED.match(run):
            words.update(_bigrams(run))
        else:
            words.add(run[:_MAX_WORD])
    return words


def make_fts_query(words: Iterable[str]) -> str:
    """Make an FTS5 query for entries with all of `words`, which are folded; "" if none is indexed."""
    lengths: dict[str, int] = {}
    for word in words:
        for run in _RUNS.finditer(word):
            text = run[0]
            if _UNSPACED.match(text):
                parts = [f'"{pair}"' for pair in _bigrams(text)[:-1]] or [f'"{text}"*']
            # At the end of the word the text may go on, as in "deploy" for "deployment": a prefix query.
            elif run.end() == len(word) and len(text) < _MAX_WORD:
                parts = [f'"{text}"*']
            else:
                parts = [f'"{text[:_MAX_WORD]}"']
            lengths |= dict.fromkeys(parts, len(text))
    return " ".join(sorted(lengths, key=lambda part: -lengths[part])[:_MAX_QUERY_TERMS])


def _bigrams(run: str) -> list[str]:
    return [run[at : at + 2] for at in range(len(run))]
