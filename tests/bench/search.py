"""What searching a million messages costs, and what its index takes.

    python tests/bench/search.py [FOLDER] [MESSAGES]

FOLDER is where the store is made: put it on the disk that you ask about. Messages are of 200 bytes, of
60,000 words that are as unevenly common as people's are. All times are of an open store, the best of
several. Five questions:

  common, middling, rare   the newest 20 turns that say a word: the most common one, one that a turn in a
                           hundred has, one that is in a handful of all
  nowhere                  a word that nobody said
  two                      a middling word and the most common one in one turn
  bytes                    the size of the store against the text in it
  ranked                   the best 20 for the most common word, of all turns that have it; seconds, no limit
  delete                   a session of 100 turns, and what the index has of it; seconds, no limit
  fill                     what the index adds to a turn, in microseconds, no limit
"""

from __future__ import annotations

import itertools
import json
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

from flue_cli.stores import open_store
from flue_cli.stores.records import Entry

MESSAGES = 1_000_000
A_SESSION = 100
LENGTH = 200
RARE, RARE_EVERY = "quokka", 60_000
LIMITS = {"common": 5.0, "middling": 5.0, "rare": 5.0, "nowhere": 5.0, "two": 5.0, "bytes": 2.0}
SYLLABLES = "ba be bi bo bu da de di do du ka ke ki ko ku la le li lo lu ma me mi mo mu na ne ni no".split()


class Speaker:
    """Says texts of words, the first of which are the most common ones (Zipf's law)."""

    def __init__(self) -> None:
        self._dice = random.Random(7)
        self._count = 0
        made = ("".join(self._dice.choices(SYLLABLES, k=1 + number % 4)) for number in range(200_000))
        self.words = list(dict.fromkeys(made))[:60_000]
        self._shares = list(itertools.accumulate(1 / (rank + 3) for rank in range(len(self.words))))

    def text(self) -> str:
        """Something of just the right length."""
        return " ".join(self._dice.choices(self.words, cum_weights=self._shares, k=80))[:LENGTH]

    def share(self, word: str) -> float:
        """How many of the turns say the word, about."""
        rank = self.words.index(word)
        return 2 * LENGTH / 7 / (rank + 3) / self._shares[-1]

    def turns(self, count: int) -> Iterator[Entry]:
        """So many answered prompts."""
        for turn in range(1, count + 1):
            prompt = self.text()
            if self._count % RARE_EVERY == 0:
                prompt = f"{RARE} {prompt}"[:LENGTH]
            self._count += 1
            data = json.dumps({"turn": turn})
            yield Entry(
                *(turn, "prompt", "completed", None, prompt, self.text(), (), turn, turn, None, {}, data)
            )


def milliseconds(act: Callable[[], object], rounds: int = 1) -> float:
    """How long it takes, at best."""
    found = []
    for _ in range(rounds):
        began = time.perf_counter()
        act()
        found.append((time.perf_counter() - began) * 1000)
    return min(found)


def size(path: Path) -> int:
    """The bytes of a store that nobody has open."""
    return sum(file.stat().st_size for file in path.parent.glob(f"{path.name}*"))


def words(speaker: Speaker) -> dict[str, str]:
    """The words to look for, by question."""
    middling = next(word for word in speaker.words if len(word) > 6 and speaker.share(word) < 0.01)
    common = speaker.words[0]
    return {
        "common": common,
        "middling": middling,
        "rare": RARE,
        "nowhere": "xyzzy",
        "two": f"{middling} {common}",
    }


def main() -> None:
    """Measure and print."""
    turns = (int(sys.argv[2]) if len(sys.argv) > 2 else MESSAGES) // 2
    with tempfile.TemporaryDirectory(dir=sys.argv[1] if len(sys.argv) > 1 else None) as place:
        path = Path(place, "flue.db")
        speaker = Speaker()
        with closing(open_store(str(path))) as store:
            for number in range(turns // A_SESSION):
                store.import_session("bench", f"session {number}", speaker.turns(A_SESSION))
        bare = size(path)
        with closing(open_store(str(path))) as store:
            filled = milliseconds(store.reindex)
        print(f"{'':10}{'':>10}{'limit':>8}   {2 * turns:,} messages")

        def show(name: str, found: float, unit: str, details: str) -> None:
            limit = f"{LIMITS[name]:8.2f}" if name in LIMITS else f"{'':8}"
            print(f"{name:10}{found:10.2f}{limit} {unit}  {details}", flush=True)

        text = 2 * turns * LENGTH
        show("bytes", size(path) / text, "", f"times the text; without the index {bare / text:.2f}")
        show("fill", filled * 1000 / turns, "us", "a turn")
        with closing(open_store(str(path))) as store:
            for name, query in words(speaker).items():
                found = store.search(query.split(), limit=20)
                spent = milliseconds(partial(store.search, query.split(), limit=20), 20)
                show(name, spent, "ms", f"{query}: {len(found)} turns")
            one = [speaker.words[0]]
            show("ranked", milliseconds(lambda: store.search(one, limit=20, ranked=True)) / 1000, "s", one[0])
            head = store.head("bench", "session 3")
            began = time.perf_counter()
            store.delete(head)
        show("delete", time.perf_counter() - began, "s", "until the store is closed")


if __name__ == "__main__":
    main()
