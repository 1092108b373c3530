"""Long pastes, each folded into one placeholder: shown as `[pasted 214 lines]`, sent whole.

A placeholder is one character of a Unicode private use area; a table has the text behind it. So the cursor
steps over the paste in one move, Backspace deletes all of it, and the same label typed by hand is just text.
"""

from __future__ import annotations

import re
from bisect import bisect_right

from prompt_toolkit.buffer import Buffer
from prompt_toolkit.document import Document
from prompt_toolkit.formatted_text import fragment_list_to_text
from prompt_toolkit.layout.processors import Processor, Transformation, TransformationInput

from flue_cli.text import pluralize, safe_text

MAX_UNFOLDED_LINES = 8
MAX_UNFOLDED_CHARACTERS = 2_000
"""Limits above which a paste is folded."""

MAX_DRAFT_CHARACTERS, _DRAFT_START_CHARACTERS = 10_000, 100
"""Characters above which a draft is folded to fit the screen, and length of the start that stays visible."""

_FIRST_PLACEHOLDER, _LAST_PLACEHOLDER = 0x100000, 0x10FFFC
_PASTED_AT_SIGN = "\U0010fffd"
"""A pasted `@`. It mentions no file: the author of a pasted text must not choose which files are sent."""

_PLACEHOLDER = re.compile("[\U00100000-\U0010fffd]")
_MENTION_SIGN = re.compile(r"(?<!\S)@")
_TAB_SPACES = "    "


class PasteFolder:
    """The folded pastes of a chat: placeholder characters to the texts they stand for."""

    def __init__(self) -> None:
        self._texts = {_PASTED_AT_SIGN: "@"}
        self._labels = {_PASTED_AT_SIGN: "@"}

    def fold_paste(self, pasted: str) -> str:
        """Return the text to insert for a paste: the paste itself, or a placeholder if it is long."""
        text = pasted.replace("\r\n", "\n").replace("\r", "\n")
        lines = text.count("\n") + (not text.endswith("\n"))
        if lines > MAX_UNFOLDED_LINES or len(text) > MAX_UNFOLDED_CHARACTERS or _PLACEHOLDER.search(text):
            size = pluralize(lines, "line") if lines > 1 else pluralize(len(text), "character")
            return self._fold(text, f"[pasted {size}]")
        return _MENTION_SIGN.sub(_PASTED_AT_SIGN, text)

    def fold_draft(self, text: str) -> str:
        """Return the text to insert for a draft; the part that is shown counts as typed."""
        shown = (
            0
            if _PLACEHOLDER.search(text)
            else len(text)
            if len(text) <= MAX_DRAFT_CHARACTERS
            else _DRAFT_START_CHARACTERS
        )
        rest = text[shown:]
        return text[:shown] + (self._fold(rest, f"[{pluralize(len(rest), 'character')}]") if rest else "")

    def expand(self, line: str) -> str:
        """Replace all placeholders of a line by their texts."""
        return _PLACEHOLDER.sub(lambda mark: self._texts.get(mark[0], mark[0]), line)

    def label(self, character: str) -> str:
        """Return the label of a placeholder; "" for any other character."""
        return self._labels.get(character, "")

    def has_foldings(self, line: str) -> bool:
        """True if the line has a folded text that can be expanded."""
        return self._unfold_text(line) != line

    def unfold(self, buffer: Buffer) -> None:
        """Replace the folded texts in the line by themselves; undo in the editor folds them again."""
        before, after = buffer.document.text_before_cursor, buffer.document.text_after_cursor
        if self.has_foldings(before + after):
            buffer.save_to_undo_stack()
            before = self._unfold_text(before)
            buffer.document = Document(before + self._unfold_text(after), len(before))

    def _unfold_text(self, line: str) -> str:
        """Replace the placeholders of a line whose texts can stand in it."""
        return _PLACEHOLDER.sub(lambda mark: self._unfold_placeholder(mark[0]), line)

    def _unfold_placeholder(self, placeholder: str) -> str:
        text = self._texts.get(placeholder, placeholder)
        return (
            placeholder
            if placeholder == _PASTED_AT_SIGN or _PLACEHOLDER.search(text)
            else _MENTION_SIGN.sub(_PASTED_AT_SIGN, text)
        )

    def _fold(self, text: str, label: str) -> str:
        mark = chr(_FIRST_PLACEHOLDER + len(self._texts))
        if mark > chr(_LAST_PLACEHOLDER):
            return text  # after 65,000 pastes in one chat, further ones are not folded
        self._texts[mark], self._labels[mark] = text, label
        return mark


class PasteProcessor(Processor):
    """Shows a placeholder as its label, and a control character as its name."""

    def __init__(self, pastes: PasteFolder) -> None:
        self._pastes = pastes

    def apply_transformation(self, transformation_input: TransformationInput) -> Transformation:
        """Make the displayed line, and the maps between its positions and those of the text."""
        fragments = transformation_input.fragments
        line = fragment_list_to_text(fragments)
        if "\t" not in line and safe_text(line) == line and not _PLACEHOLDER.search(line):
            return Transformation(fragments)
        shown = [
            (style, self._display_text(character)) for style, text, *_ in fragments for character in text
        ]
        starts = [0]
        for _, text in shown:
            starts.append(starts[-1] + len(text))
        last = len(starts) - 1
        return Transformation(
            [*shown],
            source_to_display=lambda place: starts[min(place, last)] + max(0, place - last),
            display_to_source=lambda place: bisect_right(starts, place) - 1 + max(0, place - starts[last]),
        )

    def _display_text(self, character: str) -> str:
        return self._pastes.label(character) or safe_text(character).replace("\t", _TAB_SPACES)
