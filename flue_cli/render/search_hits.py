"""The part of a turn that a search found it for, on one line. Imports no rich."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from flue_cli.render import machine_output
from flue_cli.text import fold_text
from flue_cli.times import format_iso

if TYPE_CHECKING:
    from flue_cli.stores.records import SearchHit
    from flue_cli.stores.search_query import SearchQuery

_EXCERPT_CHARACTERS = 100
_CHARACTERS_BEFORE_HIT = 30


def hit_excerpt(hit: SearchHit, query: SearchQuery) -> list[tuple[str, bool]]:
    """Return the text around the first match in pieces, each with True if it is a word of the query.

    From the prompt, unless more of the words are in the reply. A cut is marked with an ellipsis.
    """
    text, spans = max(
        ((text, query.spans(text)) for text in (hit.prompt, hit.reply or "")),
        key=lambda found: len({fold_text(found[0][start:stop]) for start, stop in found[1]}),
    )
    start = _excerpt_start(text, spans[0][0] if spans else 0)
    end = min(len(text), start + _EXCERPT_CHARACTERS)
    pieces, at = [("…", False)] if start else [], start
    for first, last in spans:
        if first >= end:
            break
        pieces += [(text[at:first], False), (text[first : min(last, end)], True)]
        at = min(last, end)
    pieces += [(text[at:end], False), ("…" if end < len(text) else "", False)]
    return [(re.sub(r"\s+", " ", piece), is_word) for piece, is_word in pieces if piece]


def hit_rows(hits: Iterable[SearchHit], query: SearchQuery) -> str:
    """Hits as tab-separated lines: agent, session, turn, time, excerpt."""
    return machine_output.tab_separated(
        (
            hit.agent,
            hit.name,
            hit.turn,
            format_iso(hit.started_at),
            "".join(piece for piece, _ in hit_excerpt(hit, query)).strip(),
        )
        for hit in hits
    )


def hit_document(hit: SearchHit) -> dict[str, Any]:
    """A hit as `--json` gives it; `at` is when the turn began."""
    return {
        "agent": hit.agent,
        "session": hit.name,
        "turn": hit.turn,
        "at": format_iso(hit.started_at),
        "prompt": hit.prompt,
        "reply": hit.reply,
    }


def _excerpt_start(text: str, match: int) -> int:
    """Return the position at which the excerpt begins: before the match, at a word if there is one."""
    start = max(0, match - _CHARACTERS_BEFORE_HIT)
    if not start:
        return 0
    blank = re.search(r"\s", text[start - 1 : match])
    return start + blank.end() - 1 if blank else start
