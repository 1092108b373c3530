"""The meaning of a search query, the same for all stores.

Every word of the query must occur in the prompt or in the reply of one turn: as typed, whatever
characters it has, ignoring case and composition (text.fold_text), and where a word begins: `deploy` is
found in "Deployment" and not in "redeploy", `c++` in "(C++17)", `*` wherever there is one. A word that
begins with a sign may begin anywhere, and so may one in a script that leaves no blanks between words.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import TYPE_CHECKING
from unicodedata import is_normalized

from flue_cli.text import fold_text

if TYPE_CHECKING:
    from flue_cli.stores.records import SearchHit

UNSPACED = (
    "\u0e00-\u0eff\u1000-\u109f\u1100-\u11ff\u1780-\u17ff\u2e80-\u2fdf\u3005-\u3007\u3021-\u312f\u3130-\u318f"
    "\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\ua960-\ua97f\uac00-\ud7ff\uf900-\ufaff\uff66-\uffdc"
    "\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
)
"""Characters, as ranges of a regular expression, that make words without blanks between them.

Thai and Lao, Myanmar, Hangul (which has blanks, but hangs endings onto its words), Khmer, CJK ideographs,
kana, Bopomofo: Unicode 15.1, Blocks.txt."""
SPACED = rf"[^\W_{UNSPACED}]"
"""A character, as a regular expression, that makes words with blanks between them."""

_USUAL_LENGTH = 400
"""Length of a turn that counts as neither short nor long in the ranking, in characters."""


class SearchQuery:
    """The words that somebody looks for."""

    def __init__(self, words: Iterable[str]) -> None:
        self.words = tuple(dict.fromkeys(fold_text(word) for word in words if word))
        self._spaced = re.compile(f"{SPACED}+")

    def matching_terms(self, prompt: str, reply: str | None) -> list[str]:
        """The words that occur in a turn that says this."""
        said, answered = fold_text(prompt), fold_text(reply or "")
        return [
            word
            for word in self.words
            if (word in said and self._is_in(said, word))
            or (word in answered and self._is_in(answered, word))
        ]

    def matches(self, prompt: str, reply: str | None) -> bool:
        """True if all words occur in it."""
        return len(self.matching_terms(prompt, reply)) == len(self.words)

    def rank(self, prompt: str, reply: str | None) -> tuple[int, float]:
        """Score of a matching turn, higher is better: words in the prompt, then BM25's measure.

        That is how often the words occur, ever less important, in relation to the length. How rare a
        word is tells nothing between turns that have them all.
        """
        said, answered = fold_text(prompt), fold_text(reply or "")
        length = (len(said) + len(answered)) / _USUAL_LENGTH
        measure, in_prompt = 0.0, 0
        for word in self.words:
            asked = sum(1 for _ in self._positions(said, word))
            count = asked + sum(1 for _ in self._positions(answered, word))
            in_prompt += asked > 0
            measure += count / (count + 1.2 * (0.25 + 0.75 * length))
        return in_prompt, measure

    def spans(self, text: str) -> list[tuple[int, int]]:
        """Spans of the words in `text`, from and to, in order and without overlaps."""
        folded = fold_text(text)
        found = sorted(
            {(at, at + len(word)) for word in self.words for at in self._positions(folded, word)},
            key=lambda span: (span[0], -span[1]),
        )
        apart: list[tuple[int, int]] = []
        for start, stop in found:
            if not apart or start >= apart[-1][1]:
                apart.append((start, stop))
        is_same_length = len(folded) == len(text) and is_normalized("NFC", text)
        return apart if is_same_length else _spans_before_folding(text, apart)

    def _is_in(self, text: str, word: str) -> bool:
        return next(self._positions(text, word), -1) >= 0

    def _positions(self, text: str, word: str) -> Iterator[int]:
        """Positions of `word` in `text`, both of them folded."""
        at = text.find(word)
        if at < 0:
            return
        begins_word = self._spaced.match(word) is not None
        while at >= 0:
            if begins_word and at and (around := self._spaced.match(text, at - 1)):
                at = text.find(word, around.end())  # inside of a longer word: on behind it
            else:
                yield at
                at = text.find(word, at + len(word))


def best_hits(hits: Iterable[SearchHit], query: SearchQuery, limit: int | None) -> list[SearchHit]:
    """The best of `hits`, which come newest first, best first; of equal ones the newest first."""

    def worth(hit: SearchHit) -> tuple[int, float]:
        in_prompt, measure = query.rank(hit.prompt, hit.reply)
        return -in_prompt, -measure

    if limit is None:
        return sorted(hits, key=worth)
    from heapq import nsmallest

    return nsmallest(limit, hits, key=worth)


def islice_limit(limit: int | None) -> int | None:
    """A limit that somebody gave, however large, as one that Python can count to."""
    return None if limit is None else min(limit, sys.maxsize)


def _spans_before_folding(text: str, spans: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans of the folded text as spans of `text`: folding makes many characters of one, and one of many."""
    from bisect import bisect_left, bisect_right

    starts = _composition_starts(text)
    stops = [*starts[1:], len(text)]
    ends = list(
        accumulate(len(fold_text(text[start:stop])) for start, stop in zip(starts, stops, strict=True))
    )
    last = len(ends) - 1
    return [
        (starts[min(bisect_right(ends, start), last)], stops[min(bisect_left(ends, stop), last)])
        for start, stop in spans
    ]


def _composition_starts(text: str) -> list[int]:
    """Positions in `text` where a character begins that does not compose with the text before it."""
    starts: list[int] = []
    for position, character in enumerate(text):
        if starts and not character.isascii():
            before = text[starts[-1] : position]
            if fold_text(before + character) != fold_text(before) + fold_text(character):
                continue
        starts.append(position)
    return starts
