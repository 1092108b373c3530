"""Text for so many columns of a screen, on which some characters take two and others none."""

from __future__ import annotations

from prompt_toolkit.utils import get_cwidth


def fit_prefix(text: str, columns: int) -> str:
    """As much of the beginning of `text` as there is room for."""
    taken = 0
    for index, character in enumerate(text):
        taken += get_cwidth(character)
        if taken > columns:
            return text[:index]
    return text


def truncate_cells(text: str, columns: int) -> str:
    """`text`, with an ellipsis at its end if it is wider than `columns`."""
    if get_cwidth(text) <= columns:
        return text
    return fit_prefix(text, columns - 1).rstrip() + "…" if columns > 0 else ""


def pad_cells(text: str, columns: int, *, align_right: bool = False) -> str:
    """`text` in exactly so many columns: shortened, or filled up with blanks, before it if it is `right`."""
    text = truncate_cells(text, columns)
    blanks = " " * (columns - get_cwidth(text))
    return blanks + text if align_right else text + blanks
