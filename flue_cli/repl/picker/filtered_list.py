"""A list with a filter and a cursor, of which a page is on the screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from flue_cli.text import fold_text

Item = TypeVar("Item")


class FilteredList(Generic[Item]):
    """A list whose filter leaves the items that have every word in their text; one of them is selected."""

    def __init__(self) -> None:
        self.items: Sequence[Item] = ()
        self.filtered: Sequence[Item] = ()
        self.cursor = 0
        """Index of the selected item in `filtered`."""
        self.page_height = 1
        """Number of rows on the screen when it was last drawn."""
        self._texts: Sequence[str] = ()
        self._identities: Sequence[object] = ()
        self._filtered_identities: Sequence[object] = ()
        self._words: list[str] = []
        self._first_row = 0

    @property
    def selected(self) -> Item | None:
        """The selected item; None if the filter matches none."""
        return self.filtered[self.cursor] if self.filtered else None

    @property
    def is_filtered(self) -> bool:
        """True if the filter has a word."""
        return bool(self._words)

    def replace_items(
        self, items: Sequence[Item], texts: Sequence[str], identities: Sequence[object]
    ) -> None:
        """Replace the items, the texts that are searched, and values that tell items apart.

        The same item stays selected; if it is gone, the one now in its place.
        """
        selected = self._selected_identity()
        self.items, self._identities = items, identities
        self._texts = [fold_text(text) for text in texts]
        self._apply_filter(selected, self.cursor)

    def filter(self, text: str) -> None:
        """Show only items with every word of `text`, ignoring case.

        If the selected item is not among them, the first one is selected.
        """
        self._words = fold_text(text).split()
        self._apply_filter(self._selected_identity(), 0)

    def select(self, identity: object) -> None:
        """Select the item with this identity, if the filter shows it."""
        if identity in self._filtered_identities:
            self.cursor = self._filtered_identities.index(identity)

    def move_cursor(self, rows: int) -> None:
        """Select the item `rows` below, or above if negative, but not beyond the first and last."""
        self.cursor = max(0, min(self.cursor + rows, len(self.filtered) - 1))

    def visible_rows(self, height: int) -> Sequence[tuple[Item, bool]]:
        """Return the items that fit on `height` lines, each with True if it is the selected one."""
        self.page_height = height
        last = max(0, len(self.filtered) - height)
        self._first_row = min(max(self._first_row, self.cursor - height + 1), self.cursor, last)
        page = self.filtered[self._first_row : self._first_row + height]
        return [(item, index == self.cursor) for index, item in enumerate(page, self._first_row)]

    def _selected_identity(self) -> object:
        return self._filtered_identities[self.cursor] if self._filtered_identities else None

    def _apply_filter(self, identity: object, otherwise: int) -> None:
        """Filter the list, and select the item with this identity, or if it is not there, by position."""
        indices = [
            index for index, text in enumerate(self._texts) if all(word in text for word in self._words)
        ]
        self.filtered = [self.items[index] for index in indices]
        self._filtered_identities = [self._identities[index] for index in indices]
        self.cursor = min(otherwise, max(0, len(self.filtered) - 1))
        self.select(identity)
