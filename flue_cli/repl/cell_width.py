"""Text fitted to columns of the screen; a character takes two columns, one, or none."""

from __future__ import annotations

from prompt_toolkit.utils import get_cwidth


def fit_prefix(text: str, columns: int) -> str:
    """Return the longest prefix of `text` that fits into `columns`."""
    width = 0
    for index, character in enumerate(text):
        width += get_cwidth(character)
        if width > columns:
            return text[:index]
    return text


def fit_suffix(text: str, columns: int) -> str:
    """Return the end of `text` that fits into `columns`, after an ellipsis if it is not all."""
    if get_cwidth(text) <= columns:
        return text
    return "…" + fit_prefix(text[::-1], columns - 1)[::-1] if columns > 0 else ""


def truncate_cells(text: str, columns: int) -> str:
    """Shorten `text` to `columns`, with an ellipsis at its end if it is wider."""
    if get_cwidth(text) <= columns:
        return text
    return fit_prefix(text, columns - 1).rstrip() + "…" if columns > 0 else ""


def pad_cells(text: str, columns: int, *, align_right: bool = False) -> str:
    """Shorten or pad `text` to exactly `columns`; `align_right` puts the blanks before it."""
    text = truncate_cells(text, columns)
    blanks = " " * (columns - get_cwidth(text))
    return blanks + text if align_right else text + blanks
